//! Answers for people, or as JSON for programs.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::observe::{Phase, Snapshot, UnitState};
use crate::portal::Credentials;

use super::Failure;

/// Prints `value` as JSON, or the text.
pub(super) fn print(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text().as_bytes())?;
    }
    Ok(())
}

/// All units as a table.
pub(super) fn status(snapshot: &Snapshot) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let mut rows = vec![["NAME", "STATE", "SINCE", "PID", "RESTARTS", "REASON"].map(str::to_owned)];
    for unit in &snapshot.units {
        rows.push([
            unit.name.clone(),
            unit.state.name().to_owned(),
            age(now - unit.since),
            unit.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            unit.restarts.to_string(),
            unit.reason.clone(),
        ]);
    }
    let mut text = table(&rows);
    let ways: Vec<String> = snapshot
        .routes
        .iter()
        .map(|route| match &route.problem {
            None => format!("{} on port {}", route.title, route.port),
            Some(problem) => format!("{} on port {}: {problem}", route.title, route.port),
        })
        .collect();
    for (name, value) in [("display", &snapshot.display), ("ways in", &ways.join(", "))] {
        if !value.is_empty() {
            text.extend([name, ": ", value.as_str(), "\n"]);
        }
    }
    for problem in &snapshot.problems {
        text.extend(["problem: ", problem.as_str(), "\n"]);
    }
    text
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn age(milliseconds: i64) -> String {
    let seconds = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Whether people can get in.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) healthy: bool,
    pub(super) reason: String,
}

impl Health {
    /// Healthy is a daemon that runs, with every service behind the front door ready. What else is wrong is in `status`.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        if snapshot.phase != Phase::Running {
            return Self { healthy: false, reason: "the daemon is starting or stopping".to_owned() };
        }
        let not_in = snapshot.routes.iter().filter_map(|route| {
            let unit = snapshot.unit(&route.unit)?;
            let problem = route.problem.as_deref();
            (problem.is_some() || !matches!(unit.state, UnitState::Ready | UnitState::Stopped)).then(|| {
                format!(
                    "{} is {}{}",
                    unit.name,
                    unit.state.name(),
                    problem.map(|p| format!(" ({p})")).unwrap_or_default()
                )
            })
        });
        let reasons: Vec<String> = not_in.collect();
        if reasons.is_empty() {
            Self { healthy: true, reason: "healthy".to_owned() }
        } else {
            Self { healthy: false, reason: reasons.join("; ") }
        }
    }
}

/// What a person types into the login page.
pub(super) fn credentials(credentials: &Credentials) -> String {
    let password = credentials.password.as_deref().unwrap_or("(only its hash is known)");
    format!("user:     {}\npassword: {password}\ntoken:    {}\n", credentials.user, credentials.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (ms, expected) in
            [(-5, "0s"), (59_999, "59s"), (61_000, "1m1s"), (3_660_000, "1h1m"), (90_000_000, "1d1h")]
        {
            assert_eq!(age(ms), expected);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |a: &str| [a, "b", "", "", "", "c"].map(str::to_owned);
        assert_eq!(table(&[row("x"), row("long")]), "x     b        c\nlong  b        c\n");
    }
}
