//! The part of the logs that a command asks for.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::args::Logs;

/// Number of rows if neither a number nor a time is given.
const ROWS: usize = 100;

/// The query of the request to the API. `names` are the services; all, if there are none.
pub(super) fn query(args: &Logs, names: &[String]) -> String {
    let usual = (args.since.is_none() && args.until.is_none()).then_some(ROWS);
    let tail = match args.lines.or(usual) {
        None | Some(usize::MAX) => "all".to_owned(),
        Some(rows) => rows.to_string(),
    };
    let flag = |wanted: bool| wanted.then(|| "1".to_owned());
    let mut pairs: Vec<(&str, Option<String>)> =
        names.iter().map(|name| ("service", Some(name.clone()))).collect();
    pairs.extend([
        ("tail", Some(tail)),
        ("follow", Some(u8::from(args.follow).to_string())),
        ("since", args.since.map(time)),
        ("until", args.until.map(time)),
        ("grep", args.grep.clone()),
        ("regex", flag(args.regex)),
        ("case", flag(args.case)),
        ("level", args.level.clone()),
    ]);
    let pairs = pairs
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", utf8_percent_encode(&value?, NON_ALPHANUMERIC))));
    pairs.collect::<Vec<_>>().join("&")
}

/// A time as the API reads it, whatever the number of its digits.
fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at)
        .unwrap_or(if at < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Args, Command};

    #[test]
    fn any_time_is_one_that_the_api_reads() {
        for (at, expected) in
            [(0, 0), (-5, -5), (i64::MIN, -377_705_023_201_000), (i64::MAX, 253_402_207_200_999)]
        {
            assert_eq!(crate::config::time(&time(at), 0), Some(expected), "{at}");
        }
    }

    #[test]
    fn options_become_the_query() {
        for (words, names, expected) in [
            (&["logs"][..], &[][..], "tail=100&follow=0"),
            (&["logs", "-n", "7", "-f", "x"], &["a", "b"], "service=a&service=b&tail=7&follow=1"),
            (&["logs", "-n", "all"], &[], "tail=all&follow=0"),
            (
                &["logs", "--since", "1970-01-01T00:00:05Z"],
                &[],
                "tail=all&follow=0&since=1970%2D01%2D01T00%3A00%3A05Z",
            ),
            (
                &["logs", "--grep", "a&b=ü", "--regex", "--case", "--level", "warn"],
                &[],
                "tail=100&follow=0&grep=a%26b%3D%C3%BC&regex=1&case=1&level=warn",
            ),
        ] {
            let words = ["desktopd"].iter().chain(words).map(Into::into).collect();
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            match Args::read(words).unwrap().command {
                Command::Logs(args) => assert_eq!(query(&args, &names), expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
