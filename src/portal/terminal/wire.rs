//! The terminal's addresses: whether there is one, a ticket for the password, and the WebSocket.

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::{MOST, Standing, Terminals, relay, tickets};
use crate::gateway::auth::{Denied, SessionId};
use crate::gateway::{Visitor, socket};
use crate::portal::api::{Api, Problem};
use crate::supervise::Asker;
use crate::sys::pty::Size;

/// The password, typed again.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Typed {
    password: String,
}

/// A ticket for one terminal.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Issued {
    /// What the WebSocket has to show.
    ticket: String,
    /// How long it is valid, in seconds.
    seconds: u64,
}

/// What the address of the WebSocket says.
#[derive(Deserialize)]
pub(in crate::portal) struct Wanted {
    ticket: String,
    columns: u16,
    rows: u16,
}

/// Whether there is a terminal.
pub(in crate::portal) async fn status(State(api): State<Api>) -> Result<Json<Standing>, Problem> {
    Ok(Json(terminals(&api)?.standing()))
}

/// Checks the password, and answers with a ticket.
pub(in crate::portal) async fn ticket(
    State(api): State<Api>,
    visitor: Option<Extension<Visitor>>,
    body: Result<Json<Typed>, JsonRejection>,
) -> Result<Json<Issued>, Problem> {
    let terminals = terminals(&api)?;
    let (visitor, session) = session(terminals, visitor)?;
    // The rejection's own text may quote what was sent.
    let Ok(Json(Typed { password })) = body else {
        return Err(Problem(StatusCode::BAD_REQUEST, "the password is required, as JSON".into()));
    };
    match visitor.confirm(&terminals.parts.auth, password.as_bytes()).await {
        Ok(()) => {}
        Err(Denied::TooMany(wait)) => {
            let text = format!("too many attempts; try again in {} s", wait.as_secs().max(1));
            return Err(Problem(StatusCode::TOO_MANY_REQUESTS, text));
        }
        Err(_) => {
            tracing::warn!("a terminal was refused to {}: the password is wrong", visitor.peer);
            return Err(Problem(StatusCode::FORBIDDEN, "the password is wrong".into()));
        }
    }
    // The session may have ended while the password was checked.
    if visitor.guard.is_revoked() {
        return Err(Problem(StatusCode::FORBIDDEN, "the session has ended".into()));
    }
    terminals.parts.tickets.clear(session);
    let Some(permit) = terminals.permit() else {
        let text = format!("{MOST} terminals are open already; close one first");
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let ticket = terminals.parts.tickets.issue(session, permit);
    Ok(Json(Issued { ticket, seconds: tickets::LIFETIME.as_secs() }))
}

/// Opens a terminal for a ticket.
pub(in crate::portal) async fn socket(
    State(api): State<Api>,
    visitor: Option<Extension<Visitor>>,
    asker: Option<Extension<Asker>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let terminals = terminals(&api)?.clone();
    let (visitor, session) = session(&terminals, visitor)?;
    let Ok(Query(Wanted { ticket, columns, rows })) = wanted else {
        return Err(Problem(StatusCode::BAD_REQUEST, "expected ticket, columns and rows".into()));
    };
    let Some(permit) = terminals.parts.tickets.redeem(&ticket, session) else {
        let text = "the ticket is not valid, or not any more; give the password again";
        return Err(Problem(StatusCode::FORBIDDEN, text.into()));
    };
    let (by, guard) = (asker.unwrap_or_default().0.0, visitor.guard.clone());
    let serve = async move |client| {
        if guard.ended().is_cancelled() {
            return;
        }
        let shell = terminals.parts.start(Size { columns, rows }, permit, by);
        relay::carry(client, shell, guard).await;
    };
    Ok(socket::open(request, &visitor, relay::SIZES, serve).into_response())
}

fn terminals(api: &Api) -> Result<&Terminals, Problem> {
    api.terminals.as_ref().ok_or_else(|| Problem(StatusCode::NOT_FOUND, "there is no terminal here".into()))
}

/// The client and its session, where there may be a terminal.
fn session(
    terminals: &Terminals,
    visitor: Option<Extension<Visitor>>,
) -> Result<(Visitor, SessionId), Problem> {
    terminals.user().map_err(|why| Problem(StatusCode::FORBIDDEN, format!("the terminal is off: {why}")))?;
    let session = visitor.and_then(|Extension(visitor)| visitor.session.map(|session| (visitor, session)));
    session
        .ok_or_else(|| Problem(StatusCode::FORBIDDEN, "a terminal needs a session of the login page".into()))
}
