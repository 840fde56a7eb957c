//! The command `logs`: the output of units.

mod query;
mod rows;
mod together;

use crate::logs::Line;

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
    let query = query(args);
    let mut rows = Rows::new(screen, args.json);
    let mut print = |line: &Line| {
        rows.print(0, line.open && args.follow, line, || format!("{} {}", render::time(line.at), line.text))
    };
    if !args.follow {
        let lines = client.log(&format!("{}?{query}", args.name)).await?;
        return lines.iter().try_for_each(print);
    }
    let stream = client.stream(&format!("/api/logs/{}/stream?{query}", args.name)).await?;
    stream.each("line", |line| print(&line)).await
}
