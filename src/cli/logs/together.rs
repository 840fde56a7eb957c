//! The logs of all units together: first the existing lines in the order of their times, then new lines.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::cli::args::Logs;
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::cli::{Failure, render};
use crate::logs::{Line, OWN_LOG};

use super::query::{number, query};
use super::rows::Rows;

/// A line with the name of its unit.
#[derive(Serialize)]
struct Named<'a> {
    unit: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

/// Runs `logs --all`.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    let query = query(args);
    let snapshot = client.status().await?;
    let mut names: Vec<&str> = snapshot.units.iter().map(|unit| unit.name.as_str()).collect();
    names.push(OWN_LOG);
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let mut rows = Rows::new(screen, args.json);
    let mut show = |at: usize, line: &Line| {
        let name = screen.tint(at, &format!("{:width$}", names[at]));
        let whole = Named { unit: names[at], line };
        let text = || format!("{} {name} | {}", render::time(line.at), line.text);
        rows.print(at, line.open && args.follow, &whole, text)
    };

    let mut lines = Vec::new();
    // For each log: the time of its last line shown, and the number of lines with that time.
    let mut shown: BTreeMap<usize, (i64, usize)> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let mut found = client.log(&format!("{name}?{query}")).await?;
        // An unfinished line is sent again when it has changed.
        found.retain(|line| !args.follow || !line.open);
        if let Some(last) = found.last().map(|line| line.at) {
            // All lines with this time are shown now: those that are sent again could not be told from new ones.
            let mut same = client.log(&format!("{name}?since={last}")).await?;
            same.retain(|line| line.at == last && !(args.follow && line.open));
            found.retain(|line| line.at != last);
            shown.insert(at, (last, same.len()));
            found.append(&mut same);
        }
        lines.extend(found.into_iter().map(|line| (at, line)));
    }
    lines.sort_by_key(|(_, line)| line.at);
    // The limit applies to all logs together, not to each log.
    if let Some(wanted) = number(args) {
        lines.drain(..lines.len().saturating_sub(wanted));
    }
    for (at, line) in &lines {
        show(*at, line)?;
    }
    if !args.follow {
        return Ok(());
    }

    let (sender, mut coming) = mpsc::channel(64);
    for (at, name) in names.iter().enumerate() {
        let (since, mut again) = shown.get(&at).copied().unwrap_or_default();
        let mut stream = client.stream(&format!("/api/logs/{name}/stream?since={since}")).await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(Some((event, data))) = stream.next().await {
                let line = if event == "line" { serde_json::from_str::<Line>(&data).ok() } else { None };
                let Some(line) = line else { continue };
                if line.at == since && again > 0 {
                    again -= 1;
                } else if sender.send((at, line)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    while let Some((at, line)) = coming.recv().await {
        show(at, &line)?;
    }
    Ok(())
}
