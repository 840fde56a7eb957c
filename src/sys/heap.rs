//! Gives memory that was freed back to the system. glibc keeps what lies between two allocations that are still in use,
//! so a crowd of connections leaves nearly all behind that it once took. An allocator that gives memory back by itself
//! costs more at rest, in each of our processes, than a service does.

#![expect(unsafe_code, reason = "glibc's malloc_trim has no safe interface")]

/// Gives back what can be given back. It takes some milliseconds for each hundred megabytes, in which threads that
/// allocate may wait. C libraries other than glibc have no such call, and nothing happens there.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer, and glibc allows it to any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
