//! Failed operations of a launch.

use std::io;

/// An operation that failed, in words, and why.
pub(super) type Failure = (String, io::Error);

pub(super) fn at<T, E: Into<io::Error>>(operation: &str, result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| (operation.to_owned(), error.into()))
}
