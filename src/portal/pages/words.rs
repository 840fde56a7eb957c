//! Times and states as the pages show them.

use maud::{Markup, html};

use crate::observe::{UnitHealth, UnitState, UnitStatus};

/// A length of time in its largest unit.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    for (size, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= size {
            return format!("{} {name}", seconds / size);
        }
    }
    format!("{seconds} s")
}

/// How long ago something was. Scripts keep the text right.
pub(super) fn ago(at: i64, now: i64) -> Markup {
    html! { time datetime=(timestamp(at)) title=(timestamp(at)) data-ago { (span(now - at)) } }
}

/// The time of day, in UTC; scripts show it in the browser's time zone.
pub(super) fn clock(at: i64) -> Markup {
    let text = timestamp(at);
    let time = text.get(11..19).unwrap_or(&text).to_owned();
    html! { time datetime=(text) title=(text) data-clock { (time) } }
}

/// Milliseconds as a length of time in seconds, such as `1.23 s`.
pub(super) fn seconds(milliseconds: i64) -> String {
    format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10)
}

fn timestamp(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.0}"))
}

/// The state as a word with its colour. Text, so that colours are not needed to read it.
pub(super) fn chip(class: &str, word: &str) -> Markup {
    html! { span class={ "state " (class) } { (word) } }
}

/// The state of a service.
pub(super) fn state(unit: &UnitStatus) -> Markup {
    if unit.health == Some(UnitHealth::Unhealthy) {
        return chip("failed", "unhealthy");
    }
    chip(unit.state.name(), unit.state.name())
}

/// Whether the service runs or is on its way.
pub(super) fn is_up(unit: &UnitStatus) -> bool {
    use UnitState::{Backoff, Ready, Starting, Stopping, Waiting};
    matches!(unit.state, Starting | Ready | Backoff | Waiting | Stopping)
}

/// Whether the service needs a person's attention.
pub(super) fn is_wrong(unit: &UnitStatus) -> bool {
    matches!(unit.state, UnitState::Failed | UnitState::Backoff) || unit.health == Some(UnitHealth::Unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        for (milliseconds, text) in
            [(-5, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (7_199_000, "1 h"), (172_800_000, "2 d")]
        {
            assert_eq!(span(milliseconds), text);
        }
        assert_eq!(seconds(1_239), "1.23 s");
    }
}
