//! Cleaning up even when the test cannot: a runner may kill a test that takes too long, and then no `Drop` runs.
//!
//! So a shell waits on a pipe that only the test's process holds open. The pipe closes when the guard is dropped and
//! also when the process dies by SIGKILL, and then the shell cleans up. Success, panic and SIGKILL use the same path.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs its script once, when dropped or when this process has ended.
pub struct Cleanup {
    shell: Child,
}

impl Cleanup {
    /// `script` is for `sh`, with `args` as `$1`, `$2`, … .
    pub fn new(script: &str, args: &[&str]) -> Cleanup {
        let shell = Command::new("sh")
            // The test never writes, so `read` returns when the pipe has no writer left.
            .args(["-c", &format!("read -r _; {script}"), "cleanup"])
            .args(args)
            .stdin(Stdio::piped())
            // With an inherited output, the runner would wait although the test is over.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Outside the test's process group, which is what a runner kills.
            .process_group(0)
            .spawn()
            .expect("start sh for the clean-up");
        Cleanup { shell }
    }
}

impl Cleanup {
    /// Does the same as the kernel when this process is killed: closes the pipe, and nothing else.
    pub fn abandon(mut self) {
        drop(self.shell.stdin.take());
        std::mem::forget(self);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
