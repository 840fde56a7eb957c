//! What the sections of the page share: reasons with their remedies, commands to copy, and lists of terms.

use maud::{Markup, html};

use crate::facts::remedy::{Command, Place};
use crate::plan::display::Report;
use crate::plan::display::report::Mend;

/// Reasons begin in the middle of a sentence. A path or a name with a sign in it stays as it is.
pub(super) fn begun(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    if word.len() == text.len() || !word.chars().all(|c| c.is_ascii_lowercase()) {
        return text.to_owned();
    }
    let mut begun = text.to_owned();
    if let Some(first) = begun.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    begun
}

/// A reason with its remedy and the commands in the remedy. `of` says for a screen reader what the commands mend.
pub(super) fn reason(report: &Report, reason: &str, of: &str) -> Markup {
    html! {
        (said(report, reason))
        @if let Some(Mend { commands: given, .. }) = report.mends.get(reason) { (commands(given, of)) }
    }
}

/// A reason with its remedy, without the commands.
pub(super) fn said(report: &Report, reason: &str) -> Markup {
    html! {
        @match report.mends.get(reason) {
            None => p { bdi { (begun(reason)) } },
            Some(mend) => {
                p { bdi { (begun(&mend.what)) } }
                p.remedy { bdi { (mend.remedy) } }
            }
        }
    }
}

fn commands(commands: &[Command], of: &str) -> Markup {
    html! {
        @if !commands.is_empty() {
            ul.commands aria-label={ "Commands for " (of) } {
                @for Command { place, text } in commands {
                    li {
                        code { (text) }
                        small { (place_name(*place)) }
                        button type="button" data-copy=(text) aria-label={ "Copy " (text) } hidden { "Copy" }
                    }
                }
            }
        }
    }
}

fn place_name(place: Place) -> &'static str {
    match place {
        Place::Start => "option of docker run",
        Place::Host => "on the host",
        Place::Container => "in the container",
    }
}

/// Names and values. Values may come from drivers and programs, so each keeps its own direction of writing; empty ones are
/// left out.
pub(super) fn terms(pairs: &[(&str, String)]) -> Markup {
    html! {
        dl {
            @for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
                dt { (name) } dd { bdi { (value) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_begins_as_a_sentence_and_names_stay() {
        for (reason, sentence) in [
            ("no GPU is here", "No GPU is here"),
            ("/dev/dri is missing", "/dev/dri is missing"),
            ("llvmpipe", "llvmpipe"),
            ("nvidia_drv.so is missing", "nvidia_drv.so is missing"),
            ("été comme hiver", "été comme hiver"),
            ("", ""),
        ] {
            assert_eq!(begun(reason), sentence);
        }
    }
}
