//! What a service file cannot say because it has to be computed: one function per unit, without I/O.

use std::ffi::OsString;

use crate::config::Config;
use crate::facts::Facts;

use super::display::Decision;
use super::{Fate, Unit};

/// Edits one planned unit.
pub(super) fn apply(unit: &mut Unit, config: &Config, _facts: &Facts, display: &Decision) {
    match unit.name.as_str() {
        "x-server" => x_server(unit, display),
        "selkies" => selkies(unit, config),
        _ => {}
    }
}

fn x_server(unit: &mut Unit, display: &Decision) {
    if display.taken().is_none() && unit.fate == Fate::Run {
        let reasons: Vec<_> =
            display.candidates.iter().map(|c| format!("{}: {}", c.kind, c.reason)).collect();
        unit.fate = Fate::Skip(format!("no display is possible: {}", reasons.join("; ")));
    }
}

fn selkies(unit: &mut Unit, config: &Config) {
    turn(unit, config);
    encoder(unit, config);
}

/// Without a TURN server of the user's the file with no servers at all stays: Selkies' own defaults are public ones.
fn turn(unit: &mut Unit, config: &Config) {
    let vars = &config.env.vars;
    if vars.turn_host.is_none() {
        return;
    }
    unit.launch.env.remove(&OsString::from("SELKIES_RTC_CONFIG_JSON"));
    if let Some(password) = &vars.turn_password {
        unit.launch.env.insert("SELKIES_TURN_PASSWORD".into(), password.reveal().into());
    }
}

/// Selkies 1.6's encoder names, which people's templates set, in the words of Selkies 2.
fn encoder(unit: &mut Unit, config: &Config) {
    let Some(asked) = &config.env.vars.webrtc_encoder else { return };
    let (encoder, cpu) = match asked.as_str() {
        "nvh264enc" | "vah264enc" => ("h264enc", false),
        "x264enc" | "openh264enc" => ("h264enc", true),
        "nvh265enc" | "vah265enc" => ("h265enc", false),
        "x265enc" => ("h265enc", true),
        "nvav1enc" | "vaav1enc" => ("av1enc", false),
        "svtav1enc" | "av1enc" => ("av1enc", true),
        other => (other, false),
    };
    let mut set =
        |name: &str, value: &str| unit.launch.env.insert(OsString::from(name), OsString::from(value));
    set("SELKIES_ENCODER", encoder);
    if cpu {
        set("SELKIES_USE_CPU", "true");
    }
}
