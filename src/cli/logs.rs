//! The command `logs`: the output of units.

mod query;
mod rows;
mod together;

use crate::logs::Line;
use crate::sys::print::error;

use super::Failure;
use super::args::Logs;
use super::client::Client;
use super::render;
use super::screen::Screen;
use query::query;
use rows::Rows;

/// Runs the command.
pub(super) async fn logs(client: &Client, args: &Logs, screen: Screen) -> Result<(), Failure> {
    if args.all {
        return together::logs(client, args, screen).await;
    }
    let query = query(args, jiff::Timestamp::now().as_millisecond());
    let mut rows = Rows::new(screen, args.json);
    let mut print = |line: &Line| {
        rows.print(0, line.open && args.follow, line, || format!("{} {}", render::time(line.at), line.text))
    };
    if !args.follow {
        let lines = client.log(&format!("{}?{query}", args.name)).await?;
        return lines.iter().try_for_each(print);
    }
    let mut stream = client.stream(&format!("/api/logs/{}/stream?{query}", args.name)).await?;
    while let Some((name, data)) = stream.next().await? {
        match (name.as_str(), serde_json::from_str(&data)) {
            ("line", Ok(line)) => print(&line)?,
            ("lost", _) => error(&format!("desktopd: {data} lines came too fast and are left out")),
            _ => {}
        }
    }
    Ok(())
}
