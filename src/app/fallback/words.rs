//! The sentences about displays that failed. Pure.

use std::collections::BTreeMap;

use crate::config::env::DisplayChoice;
use crate::plan::display::Kind;

use super::chain::Failure;

/// Characters of the log in a sentence.
const QUOTED: usize = 160;

/// How many lines of the log are in a sentence.
const LINES: usize = 3;

/// How to have the better displays tried again.
const AGAIN: &str = "`desktopd restart x-server` tries again";

/// Lines that X servers print whatever the error is. Without logind, as in containers, Xorg needs none.
const NO_ERROR: [&str; 6] = [
    "Fatal server error",
    "Please",
    "Server terminated with error",
    "Backtrace",
    "Failed to rename log file",
    "systemd-logind: ",
];

/// The failure in one sentence, with what the log of the failed run says.
pub(super) fn sentence(failure: &Failure, lines: &[&str]) -> String {
    let Failure { name, reason, of_desktop, .. } = failure;
    let mut text = match reason.strip_prefix("it ") {
        Some(what) => format!("{name} {what}"),
        None => format!("{name}: {reason}"),
    };
    if *of_desktop {
        text = format!("{text}, on {}", failure.kind.short());
    }
    match error(lines) {
        error if error.is_empty() => text,
        error => format!("{text}: {error}"),
    }
}

/// The display of a plan, with the kinds that failed, for `status` and the portal.
pub(in crate::app) fn shown(summary: &str, failed: &BTreeMap<Kind, String>) -> String {
    if failed.is_empty() {
        return summary.to_owned();
    }
    let reasons: Vec<String> = failed.iter().map(|(kind, reason)| named(*kind, reason)).collect();
    format!("{summary} ({})", reasons.join("; "))
}

/// The failures as problems of the machine, one sentence each.
pub(in crate::app) fn shortcomings(
    summary: &str,
    choice: DisplayChoice,
    failed: &BTreeMap<Kind, String>,
) -> Vec<String> {
    let line = |(kind, reason): (&Kind, &String)| {
        let again = if reason.contains(AGAIN) { String::new() } else { format!("; {AGAIN}") };
        match wish(choice) {
            Some((wished, word)) if wished == *kind => {
                format!("DESKTOPD_DISPLAY={word}: {reason}; the display is {summary}{again}")
            }
            _ => format!("the display is {summary}: {}{again}", named(*kind, reason)),
        }
    };
    failed.iter().map(line).collect()
}

/// The display stays as it is, although a start now would choose another one.
pub(in crate::app) fn stays(summary: &str, next: &str) -> String {
    format!(
        "the display stays {summary}, so that open programs are not lost: `desktopd restart x-server` moves the desktop \
         to {next} and ends the programs that are open in it"
    )
}

/// Why nothing better draws while the display stays.
pub(in crate::app) fn leads_to(next: &str) -> String {
    format!("`desktopd restart x-server` moves the desktop to {next}")
}

/// The reason for a kind that failed at an earlier start.
pub(super) fn remembered(date: &str, reason: &str) -> String {
    format!("failed on this driver version on {date}: {reason}; {AGAIN}")
}

/// The kind that `DESKTOPD_DISPLAY` names, and its word.
pub(super) fn wish(choice: DisplayChoice) -> Option<(Kind, &'static str)> {
    match choice {
        DisplayChoice::Auto => None,
        DisplayChoice::Xorg => Some((Kind::Xorg, "xorg")),
        DisplayChoice::VirtualGl => Some((Kind::Virtualgl, "virtualgl")),
        DisplayChoice::Llvmpipe => Some((Kind::Llvmpipe, "llvmpipe")),
    }
}

fn named(kind: Kind, reason: &str) -> String {
    let name = kind.short();
    if reason.starts_with(&format!("{name} ")) { reason.to_owned() } else { format!("{name}: {reason}") }
}

/// The last lines that say what is wrong; where none does, the last line.
fn error(lines: &[&str]) -> String {
    // X servers mark each line of an error, some at both ends.
    // A full stop within the sentence would end it.
    let plain = |line: &str| line.replace("(EE)", " ").trim().trim_end_matches('.').to_owned();
    let useful = |line: &str| {
        let frame = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        !line.is_empty() && !frame && !NO_ERROR.iter().any(|start| line.starts_with(start))
    };
    let marked = |line: &&&str| line.contains("(EE)");
    let wrong = |line: &&&str| {
        let line = line.to_lowercase();
        ["error", "fatal", "fail", "cannot", "not "].iter().any(|word| line.contains(word))
    };
    let of = |wanted: &dyn Fn(&&&str) -> bool| -> Vec<String> {
        lines.iter().filter(wanted).map(|line| plain(line)).filter(|line| useful(line)).collect()
    };
    let mut found = of(&marked);
    // Xorg also prints lines such as "Not automatically adding GPU devices", so words decide only without a mark.
    if found.is_empty() {
        found = of(&wrong);
    }
    found.dedup();
    if found.is_empty() {
        found = of(&|_| true);
        found = found.split_off(found.len().saturating_sub(1));
    }
    let text = found[found.len().saturating_sub(LINES)..].join("; ");
    if text.chars().count() <= QUOTED {
        return text;
    }
    text.chars().take(QUOTED).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &str) -> Failure {
        let (kind, name) = (Kind::Xorg, "Xorg".to_owned());
        Failure { kind, unit: "x".into(), name, reason: reason.into(), began: 0, of_desktop: false }
    }

    #[test]
    fn a_failure_is_one_sentence_with_the_error_of_the_log() {
        let xorg = [
            "X.Org X Server 1.21.1.16",
            "(==) Log file: \"/var/log/Xorg.0.log\", Time: Mon Nov 30 04:00:00 2026",
            "(EE) No devices detected.",
            "(EE) ",
            "Fatal server error:",
            "(EE) no screens found(EE) ",
            "(EE) ",
            "Please consult the The X.Org Foundation support ",
            "\t at http://wiki.x.org",
            " for help. ",
            "(EE) Please also check the log file at \"/var/log/Xorg.0.log\" for additional information.",
            "(EE) Server terminated with error (1). Closing log file.",
        ];
        let without_driver = [
            "(**) Not automatically adding GPU devices",
            "(WW) The directory \"/usr/share/fonts/X11/75dpi\" does not exist.",
            "(EE) systemd-logind: failed to get session: Launch helper exited with unknown return code 1",
            "(WW) Warning, couldn't open module nvidia",
            "(EE) Failed to load module \"nvidia\" (module does not exist, 0)",
            "(EE) No drivers available.",
            "Fatal server error:",
            "(EE) no screens found(EE) ",
        ];
        let crash =
            ["(EE) Backtrace:", "(EE) 0: Xorg (OsSigHandler+0x29)", "(EE) Segmentation fault at address 0x0"];
        let long = "error ".repeat(100);
        for (reason, lines, expected) in [
            (
                "it ended with exit code 1",
                &xorg[..],
                "Xorg ended with exit code 1: No devices detected; no screens found",
            ),
            (
                "it ended with exit code 1",
                &without_driver,
                "Xorg ended with exit code 1: Failed to load module \"nvidia\" (module does not exist, 0); No drivers \
                 available; no screens found",
            ),
            (
                "it ended with signal ABRT",
                &crash,
                "Xorg ended with signal ABRT: Segmentation fault at address 0x0",
            ),
            ("it was not ready within 20s", &[], "Xorg was not ready within 20s"),
            ("it ended with exit code 2", &["hello", "bye.", ""], "Xorg ended with exit code 2: bye"),
            ("exec: no permission", &[], "Xorg: exec: no permission"),
        ] {
            assert_eq!(sentence(&failure(reason), lines), expected);
        }
        let text = sentence(&failure("it ended"), &[&long]);
        assert!(text.chars().count() < 200 && text.ends_with('…'), "{text}");
        let desktop = Failure { name: "kde".into(), of_desktop: true, ..failure("it ended, 5 times") };
        assert_eq!(sentence(&desktop, &[]), "kde ended, 5 times, on Xorg");
    }

    #[test]
    fn status_has_the_display_and_what_failed() {
        let display = "Xvfb with llvmpipe on :0";
        let mut failed = BTreeMap::new();
        assert_eq!(shown(display, &failed), "Xvfb with llvmpipe on :0");
        assert_eq!(shortcomings(display, DisplayChoice::Xorg, &failed), [""; 0]);
        failed.insert(Kind::Xorg, "Xorg ended with exit code 1: no screens found".to_owned());
        failed.insert(Kind::Virtualgl, remembered("2026-11-30", "Xvfb ended"));
        assert_eq!(
            shown(display, &failed),
            "Xvfb with llvmpipe on :0 (Xorg ended with exit code 1: no screens found; VirtualGL: failed on this \
             driver version on 2026-11-30: Xvfb ended; `desktopd restart x-server` tries again)"
        );
        assert_eq!(
            shortcomings(display, DisplayChoice::Xorg, &failed),
            [
                "DESKTOPD_DISPLAY=xorg: Xorg ended with exit code 1: no screens found; the display is Xvfb with \
                 llvmpipe on :0; `desktopd restart x-server` tries again",
                "the display is Xvfb with llvmpipe on :0: VirtualGL: failed on this driver version on 2026-11-30: \
                 Xvfb ended; `desktopd restart x-server` tries again",
            ]
        );
        let auto = shortcomings(display, DisplayChoice::Auto, &failed);
        assert!(auto[0].starts_with("the display is Xvfb with llvmpipe on :0: Xorg ended with"), "{auto:?}");
    }
}
