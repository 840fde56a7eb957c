//! What each endpoint is for, what it takes and what it answers. The types say the rest.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::config::env::Row as Variable;
use crate::gateway::builtin;
use crate::logs::{Line, Row};
use crate::observe::machine::{History, Report, Sample};
use crate::observe::{Event, Snapshot, Timeline};
use crate::portal::DisplayState;
use crate::portal::api::{
    Changed, EndSessions, ErrorBody, LogRows, LogStart, Names, Sampled, Sessions, Units,
};
use crate::portal::pages::commands::Command;
use crate::portal::terminal::{Issued, Standing, Typed};

/// A key of the query, and what it is for.
pub(super) struct Query(pub(super) &'static str, pub(super) &'static str);

pub(super) enum Answer {
    Json(Schema),
    /// A text, or a file, of this media type.
    Text(&'static str),
    /// A stream of events with these names and data.
    Events(Vec<(&'static str, Schema)>),
}

pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) query: &'static [Query],
    pub(super) body: Option<Schema>,
    pub(super) answer: Answer,
    pub(super) error: Schema,
}

const SINCE: &[Query] = &[Query("since", "The number of the last event that is known already.")];

const LOGS: &[Query] = &[
    Query(
        "service",
        "A service, or several with commas between; may be there several times. All, if it is missing.",
    ),
    Query(
        "since",
        "The earliest time: `10m`, `2026-01-31`, `2026-01-31T12:00:00Z`, or milliseconds since 1970.",
    ),
    Query("until", "The latest time."),
    Query("grep", "Only rows that contain this."),
    Query("mark", "A text whose places in the rows are wanted, as `hits`."),
    Query("regex", "`1`: `grep` and `mark` are regular expressions."),
    Query("case", "`1`: upper and lower case are different."),
    Query("level", "The least level: `error`, `warn`, `info` or `debug`."),
    Query("tail", "How many of the last rows, or `all`."),
    Query("row", "The number of the row around which rows are wanted."),
    Query("after", "The position at which an earlier answer ended."),
    Query("follow", "`0`: a stream ends with the rows that there are."),
    Query("colour", "`0`: a text without colours."),
];

#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn endpoints(generator: &mut SchemaGenerator) -> Vec<Endpoint> {
    fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
    let g = generator;
    let error = of::<ErrorBody>(g);
    let get = |path, about, query, answer| Endpoint {
        method: "get",
        path,
        about,
        query,
        body: None,
        answer,
        error: error.clone(),
    };
    vec![
        get("/api/status", "The whole state.", &[], Answer::Json(of::<Snapshot>(g))),
        get(
            "/api/status/stream",
            "The state at each change.",
            &[Query("brief", "`true`: only that the state changed.")],
            Answer::Events(vec![("snapshot", of::<Snapshot>(g)), ("changed", of::<Changed>(g))]),
        ),
        get(
            "/api/display",
            "The display, why it is the one, and what mends it.",
            &[],
            Answer::Json(of::<DisplayState>(g)),
        ),
        get("/api/events", "The last events.", SINCE, Answer::Json(of::<Vec<Event>>(g))),
        get(
            "/api/events/stream",
            "Events as they come.",
            SINCE,
            Answer::Events(vec![("event", of::<Event>(g)), ("lost", of::<u64>(g))]),
        ),
        get("/api/timeline", "How the start went.", &[], Answer::Json(of::<Timeline>(g))),
        get(
            "/api/timeline.svg",
            "The same as a picture.",
            &[Query("theme", "`light` or `dark`.")],
            Answer::Text("image/svg+xml"),
        ),
        get(
            "/api/machine",
            "The figures of the machine, now and in the past.",
            &[],
            Answer::Json(of::<Report>(g)),
        ),
        get(
            "/api/machine/stream",
            "The past, and then the figures once a second.",
            &[Query("brief", "`true`: only that there are new figures.")],
            Answer::Events(vec![
                ("history", of::<History>(g)),
                ("sample", of::<Sample>(g)),
                ("sampled", of::<Sampled>(g)),
            ]),
        ),
        get("/api/logs", "Rows of any services in one order.", LOGS, Answer::Json(of::<LogRows>(g))),
        get(
            "/api/logs/stream",
            "Rows as they come.",
            LOGS,
            Answer::Events(vec![
                ("start", of::<LogStart>(g)),
                ("rows", of::<Vec<Row>>(g)),
                ("end", of::<()>(g)),
            ]),
        ),
        get(
            "/api/logs/download",
            "Rows as text, as `desktopd logs` prints them.",
            LOGS,
            Answer::Text("text/plain"),
        ),
        get(
            "/api/logs/{unit}",
            "The lines of a single log.",
            &[
                Query("lines", "How many of the last lines."),
                Query("since", "The earliest time, in milliseconds since 1970."),
            ],
            Answer::Json(of::<Vec<Line>>(g)),
        ),
        Endpoint {
            method: "post",
            body: Some(of::<Names>(g)),
            ..get(
                "/api/units/{verb}",
                "Starts, stops or restarts services.",
                &[],
                Answer::Json(of::<Units>(g)),
            )
        },
        get(
            "/api/environment",
            "The variables, with secrets masked, and where their values come from.",
            &[],
            Answer::Json(of::<Vec<Variable>>(g)),
        ),
        get("/api/sessions", "Who is logged in.", &[], Answer::Json(of::<Sessions>(g))),
        Endpoint {
            method: "post",
            body: Some(of::<EndSessions>(g)),
            ..get(
                "/api/sessions/end",
                "Ends a session, or all other sessions. The answer has no content (204).",
                &[],
                Answer::Text("text/plain"),
            )
        },
        get("/api/terminal", "Whether there is a terminal.", &[], Answer::Json(of::<Standing>(g))),
        Endpoint {
            method: "post",
            body: Some(of::<Typed>(g)),
            ..get(
                "/api/terminal/ticket",
                "Checks the password again, and gives a ticket for one terminal.",
                &[],
                Answer::Json(of::<Issued>(g)),
            )
        },
        get(
            "/api/terminal/socket",
            "A terminal: a WebSocket that carries what is typed and what is printed.",
            &[
                Query("ticket", "The ticket."),
                Query("columns", "The width of the terminal, in characters."),
                Query("rows", "Its height, in lines."),
            ],
            Answer::Text("application/octet-stream"),
        ),
        get(
            "/api/commands",
            "What the list of commands of the portal offers.",
            &[],
            Answer::Json(of::<Vec<Command>>(g)),
        ),
        get(
            builtin::SCREENSHOT,
            "A picture of the desktop.",
            &[Query("width", "The width in pixels; that of the display, if it is missing.")],
            Answer::Text("image/png"),
        ),
    ]
}
