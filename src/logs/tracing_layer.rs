//! A `tracing` layer that writes the daemon's own messages to a log like those of the units.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};

use super::{Logs, OWN_LOG};

/// The `tracing` target of messages that are not copied to the container's output by default.
pub const QUIET: &str = "desktopd::quiet";

struct IntoLogs(Logs);

/// The message, which comes first, and the fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber> Layer<S> for IntoLogs {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        let mut text = Text(level.to_owned());
        event.record(&mut text);
        if event.metadata().target() == QUIET {
            self.0.push_quietly(OWN_LOG, &text.0);
        } else {
            self.0.push(OWN_LOG, &text.0);
        }
    }
}

/// Sends everything that `tracing` records to the log [`OWN_LOG`]. A second call in one process has no effect.
pub fn init(logs: &Logs, debug: bool) {
    let filter = EnvFilter::new(if debug { "warn,desktopd=debug" } else { "warn,desktopd=info" });
    let _ = registry().with(filter).with(IntoLogs(logs.clone())).try_init();
}
