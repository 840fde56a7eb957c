//! The completions of a shell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]

/// In a real shell, with a program that answers like ours.
#[test]
fn bash_completes_commands_and_names() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("desktopd");
    std::fs::write(&program, "#!/bin/sh\n[ \"$*\" = 'ps --quiet' ] && printf 'kde\\nkwallet\\nselkies\\n'\n")
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = std::process::Command::new(env!("CARGO_BIN_EXE_desktopd"))
        .args(["completions", "bash"])
        .output()
        .unwrap();
    std::fs::write(dir.path().join("script"), script.stdout).unwrap();
    for (words, expected) in [
        ("restart k", "kde kwallet"),
        ("--config /x status s", "selkies"),
        ("restart --wait k", "kde kwallet"),
        ("screensh", "screenshot"),
        ("env k", ""),
    ] {
        let count = words.split(' ').count();
        let test = format!(
            "PATH='{0}':$PATH; . '{0}/script'; COMP_WORDS=(desktopd {words}); COMP_CWORD={count}; \
             COMP_LINE='desktopd {words}'; \
             _desktopd_with_services desktopd \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            dir.path().display()
        );
        let done = std::process::Command::new("bash").args(["--norc", "-c", &test]).output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        assert_eq!(out.trim(), expected, "{words}: {done:?}");
    }
}
