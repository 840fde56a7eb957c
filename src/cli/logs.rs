//! What a unit printed, and prints.

mod together;

use crate::logs::Line;

use super::Failure;
use super::args::Logs;
use super::client::Client;
use super::render;
use super::screen::Screen;

/// Lines that are shown when neither a number nor a time is given.
const LINES: usize = 100;

/// The command.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    if args.all {
        return together::logs(client, args, screen).await;
    }
    let query = query(args, jiff::Timestamp::now().as_millisecond());
    if !args.follow {
        let lines = client.log(&format!("{}?{query}", args.name)).await?;
        return lines.iter().try_for_each(|line| print(line, args.json));
    }
    let mut stream = client.stream(&format!("/api/logs/{}/stream?{query}", args.name)).await?;
    while let Some((name, data)) = stream.next().await? {
        match (name.as_str(), serde_json::from_str(&data)) {
            ("line", Ok(line)) => print(&line, args.json)?,
            ("lost", _) => eprintln!("desktopd: {data} lines came too fast and are left out"),
            _ => {}
        }
    }
    Ok(())
}

fn query(args: &Logs, now: i64) -> String {
    let since = args.since.map(|since| since.before(now));
    let lines = args.lines.or(if since.is_none() { Some(LINES) } else { None });
    let lines = lines.map(|lines| format!("lines={lines}"));
    let since = since.map(|since| format!("since={since}"));
    lines.into_iter().chain(since).collect::<Vec<_>>().join("&")
}

fn print(line: &Line, json: bool) -> Result<(), Failure> {
    render::print_line(json, line, || format!("{} {}", render::time(line.at), line.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Args, Command};

    #[test]
    fn a_number_a_time_or_both() {
        for (words, expected) in [
            (&["logs"][..], "lines=100"),
            (&["logs", "-n", "7"], "lines=7"),
            (&["logs", "--since", "5s"], "since=5000"),
            (&["logs", "--since", "5s", "-n", "7"], "lines=7&since=5000"),
        ] {
            let words = ["desktopd"].iter().chain(words).map(Into::into).collect();
            match Args::read(words).unwrap().command {
                Command::Logs(args) => assert_eq!(query(&args, 10_000), expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
