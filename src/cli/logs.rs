//! The command `logs`: the output of services, merged in the order of time.

mod query;
mod rows;

use std::collections::BTreeMap;

use crate::logs::{Row, width};
use crate::portal::api::LogStart;
use crate::sys::terminal;

use super::args::{Logs, quoted};
use super::client::Client;
use super::names;
use super::screen::Screen;
use super::{Failure, render};
use query::query;
use rows::Rows;

/// Runs the command.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    let names = resolved(client, args).await?;
    let path = format!("/api/logs/stream?{}", query(args, &names));
    let mut stream = client.stream(&path).await.map_err(|failure| advised(args, failure))?;
    let mut printer = Printer::new(args, screen);
    while let Some((event, data)) = stream.next().await? {
        match &*event {
            "start" => printer.begin(&parsed::<LogStart>(&data)?),
            "rows" => printer.print(parsed::<Vec<Row>>(&data)?)?,
            "end" => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data)
        .map_err(|error| Failure::of(format!("the daemon's answer is invalid: {error}")))
}

/// The services. Patterns become the names that they match.
async fn resolved(client: &Client, args: &Logs) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    let mut snapshot = None;
    for name in &args.names {
        if name.contains(['*', '?']) {
            if snapshot.is_none() {
                snapshot = Some(client.status().await?);
            }
            let units = snapshot
                .as_ref()
                .map(|snapshot| names::resolve(snapshot, std::slice::from_ref(name), false, "logs"));
            let units = units.transpose().map_err(|failure| advised(args, failure))?;
            all.extend(units.into_iter().flatten().map(|unit| unit.name.clone()));
        } else {
            all.push(name.clone());
        }
    }
    Ok(all)
}

/// The failure, and at its end a command that would work.
fn advised(args: &Logs, failure: Failure) -> Failure {
    let message = failure.message.trim_end();
    let nearest = message.rsplit_once("did you mean '").and_then(|(_, rest)| rest.split('\'').next());
    let instead = match (nearest, &args.grep) {
        (Some(name), _) => format!("desktopd logs {name}"),
        (None, _) if message.starts_with("no service") => {
            "desktopd logs, which shows all services".to_owned()
        }
        (None, Some(grep)) if args.regex && message.starts_with("grep:") => {
            format!("desktopd logs --grep {}, which searches the text as it is", quoted(grep))
        }
        _ => return failure,
    };
    Failure { message: format!("{message}\ntry: {instead}"), ..failure }
}

/// Prints rows as they come.
struct Printer {
    rows: Rows,
    screen: Screen,
    plain: bool,
    json: bool,
    /// The services' names as they are shown; empty for a single service.
    names: BTreeMap<String, String>,
}

impl Printer {
    fn new(args: &Logs, screen: Screen) -> Self {
        let screen = Screen { colours: screen.colours && !args.no_colour, ..screen };
        let rows = Rows::new(screen, args.follow);
        Self { rows, screen, plain: args.no_colour, json: args.json, names: BTreeMap::new() }
    }

    fn begin(&mut self, start: &LogStart) {
        let Some(width) = width(start.services.iter().map(String::as_str)) else { return };
        let shown =
            |(at, name): (usize, &String)| (name.clone(), self.screen.tint(at, &format!("{name:width$}")));
        self.names = start.services.iter().enumerate().map(shown).collect();
    }

    fn print(&mut self, rows: Vec<Row>) -> Result<(), Failure> {
        for row in rows {
            if self.json {
                render::print_line(true, &row, String::new)?;
                continue;
            }
            let text = if self.plain { terminal::without_colours(&row.text) } else { (&*row.text).into() };
            // A service that was not there at the start has no place in the column yet.
            let name = self.names.get(&*row.service).map(String::as_str);
            let name = name.or_else(|| (!self.names.is_empty()).then_some(&*row.service));
            let line = terminal::safe_line(&row.line(name, &text)).into_owned();
            self.rows.add(&row, line);
        }
        self.rows.print()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Args, Command};

    #[test]
    fn a_failure_ends_with_a_command_that_would_work() {
        for (words, message, expected) in [
            ("logs kdee", "no service is named 'kdee'; did you mean 'kde'?", "try: desktopd logs kde"),
            ("logs x", "no service is named 'x'", "try: desktopd logs, which shows all services"),
            (
                "logs -E --grep a(b",
                "grep: unclosed group",
                "try: desktopd logs --grep 'a(b', which searches the text as it is",
            ),
            ("logs", "the daemon does not run here", "the daemon does not run here"),
        ] {
            let words = ["desktopd"].into_iter().chain(words.split(' ')).map(Into::into).collect();
            let Command::Logs(args) = Args::read(words).unwrap().command else { panic!() };
            let told = advised(&args, Failure::of(message)).message;
            assert_eq!(told.lines().last(), Some(expected));
            assert!(told.starts_with(message));
        }
    }
}
