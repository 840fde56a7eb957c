// Docker forbids the name spaces that a part of Firefox's sandbox is made of. Firefox works without that part (its
// filters of system calls stay), and would show a warning about it at each start.
pref("security.sandbox.warn_unprivileged_namespaces", false);
