//! Writes to standard output and standard error of a command. The macros of the standard library panic when the reader
//! has closed the pipe; here a reader that stops early (`| head`) causes no panic.

use std::io::{self, Write};

use super::terminal;

/// Writes text for people to standard output.
pub fn out(text: &str) -> io::Result<()> {
    data(terminal::safe(text).as_bytes())
}

/// Writes data for programs to standard output, as it is.
pub fn data(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes a line for people to standard error. Errors of writing are ignored.
pub fn error(line: &str) {
    let line = format!("{}\n", terminal::safe(line));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
