//! Asks the daemon for a new plan, for a step that changed what the plan is made of (users, keys, the environment). It
//! uses the control socket, as `desktopd reload` does, and waits for the answer. The services after the step are then
//! started by the new plan.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::sys::read;

/// How long the daemon may take to examine the machine again.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than the daemon's answer. Bytes.
const LONGEST: u64 = 1 << 20;

/// Asks the daemon whose folder is `run_dir` to examine everything again. A failure is reported but is no error: the
/// step itself did its work.
pub(super) fn ask(run_dir: &Path) {
    if let Err(error) = asked(&run_dir.join("control.sock")) {
        eprintln!("asking for a new plan: {error}; `desktopd reload` makes one");
    }
}

fn asked(socket: &Path) -> Result<(), String> {
    let talk = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            "POST /api/changed HTTP/1.1\r\nHost: desktopd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        read::all(stream, LONGEST)
    };
    let answer = talk().map_err(|error: std::io::Error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        // A mistake in a file: the daemon keeps its present plan, and the answer names the mistake.
        _ => Err(body.trim().to_owned()),
    }
}
