//! What all units print, together: what is there already in the order in which it was printed, then what comes.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::cli::args::Logs;
use crate::cli::client::Client;
use crate::cli::screen::Screen;
use crate::cli::{Failure, render};
use crate::logs::{Line, OWN_LOG};

use super::{Rows, number, query};

/// A line, and whose it is.
#[derive(Serialize)]
struct Named<'a> {
    unit: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

/// The command.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    let query = query(args, jiff::Timestamp::now().as_millisecond());
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
    // The time of the last line that is shown of each, and how many are of that time.
    let mut shown: BTreeMap<usize, (i64, usize)> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let mut found = client.log(&format!("{name}?{query}")).await?;
        // It comes again, changed.
        found.retain(|line| !args.follow || !line.open);
        if let Some(last) = found.last().map(|line| line.at) {
            // Of one time all or none: they cannot be told apart when they come again.
            let mut same = client.log(&format!("{name}?since={last}")).await?;
            same.retain(|line| line.at == last && !(args.follow && line.open));
            found.retain(|line| line.at != last);
            shown.insert(at, (last, same.len()));
            found.append(&mut same);
        }
        lines.extend(found.into_iter().map(|line| (at, line)));
    }
    lines.sort_by_key(|(_, line)| line.at);
    // The last of all logs, not of each.
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
