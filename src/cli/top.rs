//! The command `top`: what the machine and its services do, again and again on a terminal, once elsewhere.

mod terminal;
mod view;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::observe::machine::{Report, Sample};
use crate::sys::print;

use super::args::{Sort, Top};
use super::client::Client;
use super::{Failure, Screen, render};
use terminal::Taken;

/// Control-C and control-D, as a terminal sends them when they are not made into signals.
const ENDS: [u8; 2] = [3, 4];

/// Runs `desktopd top`.
pub(super) async fn top(client: &Client, args: &Top, config: &Config) -> Result<(), Failure> {
    let screen = Screen::of(&config.env);
    if screen.moves && !args.once && !args.json {
        return live(client, args.sort, config).await;
    }
    let report: Report = client.get("/api/machine").await?;
    let late = || Failure::of("the daemon could not read the machine's figures in time");
    let sample = report.now.ok_or_else(late)?;
    render::print(args.json, &sample, || view::text(&sample, args.sort, screen))
}

/// Shows each sample in the place of the one before, until a key or a signal ends it.
async fn live(client: &Client, mut sort: Sort, config: &Config) -> Result<(), Failure> {
    let mut stream = client.stream("/api/machine/stream").await?;
    // Before the terminal is changed: otherwise a signal would leave it changed.
    let mut ends = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        ends.push(signal(kind)?);
    }
    let mut resized = signal(SignalKind::window_change())?;
    let mut taken = Taken::new()?;
    let mut last: Option<Sample> = None;
    loop {
        let mut signals: Vec<_> = ends.iter_mut().map(|end| Box::pin(end.recv())).collect();
        tokio::select! {
            event = stream.next() => match event? {
                Some((name, data)) if name == "sample" => last = serde_json::from_str(&data).ok().or(last),
                Some(_) => continue,
                None => break,
            },
            key = taken.key() => match key {
                b'q' | b'Q' => break,
                end if ENDS.contains(&end) => break,
                b'c' | b'C' => sort = Sort::Cpu,
                b'm' | b'M' => sort = Sort::Memory,
                _ => continue,
            },
            _ = resized.recv() => {}
            _ = futures_util::future::select_all(&mut signals) => break,
        }
        if let Some(sample) = &last {
            Taken::show(&view::text(sample, sort, Screen::of(&config.env)))?;
        }
    }
    let ended = last.is_none();
    drop(taken);
    if ended {
        print::error("desktopd: no figures came");
    }
    Ok(())
}
