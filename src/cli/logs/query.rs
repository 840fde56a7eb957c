//! The part of the log that a command asks for.

use crate::cli::args::Logs;

/// Number of lines if neither a number nor a time is given.
const LINES: usize = 100;

/// The query of the request to the API.
pub(super) fn query(args: &Logs) -> String {
    let lines = number(args).map(|lines| format!("lines={lines}"));
    let since = args.since.map(|since| format!("since={since}"));
    lines.into_iter().chain(since).collect::<Vec<_>>().join("&")
}

/// The number of lines, if it is limited.
pub(super) fn number(args: &Logs) -> Option<usize> {
    args.lines.or(if args.since.is_none() { Some(LINES) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Args, Command};

    #[test]
    fn lines_are_limited_by_number_by_time_or_by_both() {
        for (words, expected) in [
            (&["logs"][..], "lines=100"),
            (&["logs", "-n", "7"], "lines=7"),
            (&["logs", "--since", "1970-01-01T00:00:05Z"], "since=5000"),
            (&["logs", "--since", "1970-01-01T00:00:05Z", "-n", "7"], "lines=7&since=5000"),
        ] {
            let words = ["desktopd"].iter().chain(words).map(Into::into).collect();
            match Args::read(words).unwrap().command {
                Command::Logs(args) => assert_eq!(query(&args), expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
