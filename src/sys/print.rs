//! What a command writes to its own outputs. The macros of the standard library end the process when the reader has
//! gone; a reader that has seen enough (`| head`) is no failure.

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

/// Writes a line for people to standard error. A reader that has gone misses the line.
pub fn error(line: &str) {
    let line = format!("{}\n", terminal::safe(line));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
