//! The commands `start`, `stop` and `restart`, and waiting for their result.

use crate::config::own;
use crate::observe::UnitState;
use crate::portal::api::{Names, Units};
use crate::supervise::Verb;

use super::args::Change;
use super::client::Client;
use super::wait::{End, Waiting};
use super::{Failure, names, render};

/// Runs one of the commands.
pub(super) async fn change(client: &Client, verb: Verb, args: &Change, only: bool) -> Result<(), Failure> {
    let snapshot = client.status().await?;
    let asked = if snapshot.units.is_empty() {
        // The daemon has no plan yet; its own error message says so.
        args.names.clone()
    } else {
        let (own, others): (Vec<String>, Vec<String>) =
            args.names.iter().cloned().partition(|name| own::is_own(name));
        let units = names::resolve(&snapshot, &others, false, verb.name())?;
        own.into_iter().chain(units.into_iter().map(|unit| unit.name.clone())).collect()
    };
    let path = format!("/api/units/{}", verb.name());
    let answer: Units = client.post(&path, &Names { names: asked, only }).await?;
    if !args.wait {
        return render::print(args.json, &answer, || said(verb, &answer));
    }
    let notes = answer.notes.clone();
    // A restart may be over before the next status request: it is recognized by the snapshot from before and all events
    // since.
    let known = answer.units.iter().all(|name| snapshot.unit(name).is_some());
    let before = if known { snapshot } else { client.status().await? };
    let mut waiting = Waiting::new(verb, answer, &before);
    let ended = tokio::time::timeout(args.timeout, follow(client, &mut waiting)).await;
    let late = ended.is_err();
    ended.unwrap_or(Ok(()))?;
    let note = |note| End { name: own::NAMES[0], state: UnitState::Ready, reason: note, done: true };
    let ends: Vec<End<'_>> = notes.iter().map(|text| note(text.as_str())).chain(waiting.ends()).collect();
    let said = |end: &End<'_>| {
        let colon = if end.reason.is_empty() { "" } else { ": " };
        format!("{} is {}{colon}{}", end.name, end.state.name(), end.reason)
    };
    let (done, not_done): (Vec<&End<'_>>, Vec<&End<'_>>) = ends.iter().partition(|end| end.done);
    render::print(args.json, &ends, || done.iter().map(|end| said(end) + "\n").collect())?;
    if not_done.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = not_done.iter().map(|end| said(end)).collect();
    let late = if late { format!("not done within {:?}: ", args.timeout) } else { String::new() };
    Err(Failure::of(format!("{late}{}", told.join("; "))))
}

/// The accepted request: a line for the units, and one for each action of the daemon itself.
fn said(verb: Verb, answer: &Units) -> String {
    let units = (!answer.units.is_empty()).then(|| format!("{}: {}\n", verb.name(), answer.units.join(", ")));
    units.into_iter().chain(answer.notes.iter().map(|note| format!("{note}\n"))).collect()
}

/// Processes events until every unit has a result.
async fn follow(client: &Client, waiting: &mut Waiting) -> Result<(), Failure> {
    // From the snapshot on, so that no event is missed.
    let mut stream = client.stream(&format!("/api/events/stream?since={}", waiting.seen())).await?;
    while !waiting.is_over() {
        match stream.next().await? {
            None => return Err(Failure::of("the daemon has ended")),
            Some((name, data)) if name == "event" => {
                if let Ok(event) = serde_json::from_str(&data) {
                    waiting.take(&event);
                }
            }
            Some(_) => waiting.look(&client.status().await?),
        }
    }
    Ok(())
}
