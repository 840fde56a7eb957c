//! Requests that name the daemon itself: starting does nothing, restarting reads the configuration again, and stopping
//! the daemon alone is refused.

use axum::http::StatusCode;

use crate::config::env::NEXT_START;
use crate::config::own::is_own;
use crate::supervise::Verb;

use super::problem::Problem;
use super::sources::Api;

/// Divides names into those of the daemon itself and those of units. Requests that the daemon cannot carry out are
/// refused before anything is done.
pub(super) fn split(
    api: &Api,
    verb: Verb,
    names: Vec<String>,
) -> Result<(Vec<String>, Vec<String>), Problem> {
    let (own, units): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_own(name));
    let Some(first) = own.first() else { return Ok((own, units)) };
    if verb == Verb::Stop {
        let text = format!(
            "'{first}' is part of desktopd itself and cannot be stopped alone: `desktopd shutdown` stops everything"
        );
        return Err(Problem(StatusCode::CONFLICT, text));
    }
    let unknown = |name: &&String| api.watch.borrow().unit(name).is_none();
    units.iter().find(unknown).map_or(Ok(()), |name| Err(api.unknown(name)))?;
    Ok((own, units))
}

/// Carries out the daemon's part. Returns sentences for the user.
pub(super) async fn attend(api: &Api, verb: Verb, own: &[String]) -> Result<Vec<String>, Problem> {
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let who = format!("{}: part of desktopd itself, which", own.join(", "));
    if verb != Verb::Restart {
        return Ok(vec![format!("{who} runs already")]);
    }
    let changes = api.reload("a reload was requested").await?;
    let read = format!("{who} read its configuration again: {changes}");
    let snapshot = api.watch.borrow();
    // A user who edits a file and restarts the service needs to know which changes apply only at the next start.
    let waiting = snapshot.problems.iter().filter(|problem| problem.contains(NEXT_START));
    Ok(std::iter::once(read).chain(waiting.cloned()).collect())
}
