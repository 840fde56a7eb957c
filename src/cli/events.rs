//! The commands `events` and `timeline`.

use crate::observe::events::{Event, What};
use crate::observe::{UnitChange, timeline};

use super::args::{Events, Timeline};
use super::client::Client;
use super::{Failure, Screen, render};

/// The command `events`.
pub(super) async fn events(client: &Client, args: &Events, screen: Screen) -> Result<(), Failure> {
    let known: Vec<Event> = client.get("/api/events").await?;
    let print = |event: &Event| render::print_line(args.json, event, || line(event, screen));
    known.iter().skip(known.len().saturating_sub(args.lines)).try_for_each(print)?;
    if !args.follow {
        return Ok(());
    }
    // The stream begins after the last event of the list, so that no event is missed.
    let seen = known.last().map_or(0, |event| event.seq);
    let stream = client.stream(&format!("/api/events/stream?since={seen}")).await?;
    stream.each("event", |event| print(&event)).await
}

fn line(event: &Event, screen: Screen) -> String {
    let time = render::time(event.at);
    match &event.what {
        What::Up => format!("{time}  everything is up"),
        What::Down => format!("{time}  not everything is up any more"),
        What::Phase { phase } => format!("{time}  desktopd is {}", phase.name()),
        What::Display { display, reason } => format!("{time}  the display is {display}: {reason}"),
        What::Gpu { reason, lost: true, .. } => format!("{time}  {reason}"),
        What::Gpu { gpu, .. } => format!("{time}  {gpu} can be used again"),
        What::Unit(UnitChange { unit, from, to, reason, pid, .. }) => {
            let from = from.filter(|from| from != to).map(|from| format!(" (was {})", from.name()));
            let pid = pid.map(|pid| format!(" [{pid}]")).unwrap_or_default();
            let colon = if reason.is_empty() { "" } else { ": " };
            let state = screen.paint(*to, to.name());
            format!("{time}  {unit}{pid} is {state}{}{colon}{reason}", from.unwrap_or_default())
        }
    }
}

/// The command `timeline`.
pub(super) async fn timeline(client: &Client, args: &Timeline, screen: Screen) -> Result<(), Failure> {
    if args.svg {
        let picture = client.text("/api/timeline.svg").await?;
        crate::sys::print::data(&picture)?;
        return Ok(());
    }
    let chart = client.get("/api/timeline").await?;
    render::print(args.json, &chart, || timeline::text(&chart, screen.width, screen.colours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::change;
    use crate::observe::{Phase, UnitState as S};

    #[test]
    fn an_event_is_a_sentence() {
        let unit = |from, to, reason: &str, pid| {
            What::Unit(UnitChange { reason: reason.into(), pid, ..change("kde", from, to) })
        };
        for (what, expected) in [
            (What::Up, "everything is up"),
            (What::Down, "not everything is up any more"),
            (What::Phase { phase: Phase::Stopping }, "desktopd is stopping"),
            (
                What::Display { display: "Xvfb on :0".into(), reason: "Xorg ended".into() },
                "the display is Xvfb on :0: Xorg ended",
            ),
            (What::Gpu { gpu: "A".into(), lost: true, reason: "A is lost".into() }, "A is lost"),
            (What::Gpu { gpu: "A".into(), lost: false, reason: String::new() }, "A can be used again"),
            (unit(None, S::Waiting, "for x (starting)", None), "kde is waiting: for x (starting)"),
            (unit(Some(S::Starting), S::Ready, "", Some(7)), "kde [7] is ready (was starting)"),
            (unit(Some(S::Stopping), S::Stopping, "it hangs", Some(7)), "kde [7] is stopping: it hangs"),
        ] {
            let event = Event { seq: 1, at: 0, what };
            assert_eq!(line(&event, Screen::PLAIN), format!("1970-01-01T00:00:00.000Z  {expected}"));
        }
    }
}
