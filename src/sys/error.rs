//! Errors in words, and errors that are none.

use std::io;

use nix::errno::Errno;

/// The system's message for an error, without its number.
pub fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::from_raw(errno).desc().to_owned())
}

/// An error with its causes, in one line. A cause that the line names already is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let texts = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let joined =
        texts.reduce(|told, more| if told.contains(&more) { told } else { format!("{told}: {more}") });
    joined.unwrap_or_default()
}

/// For an operation that needs no file, such as a removal: a missing file is no error, and has the value of an empty one.
pub fn unless_missing<T: Default>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound { Ok(T::default()) } else { Err(error) }
}
