//! Classifies variables by name: whether a variable is in the table, whether its value is a secret, and whether each
//! process has its own value of it.
//!
//! Also finds values that no user chose: the display that the image sets for `docker exec`, and the service links that
//! Kubernetes (and Docker's old `--link`) makes from the names of other services: `SSH_PORT=tcp://10.0.0.1:22`
//! describes a service called ssh and is not a port of ours.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::table::{Flag, TABLE, Variable};
use crate::config::problem::nearest;

/// Variables that each shell sets for itself.
pub const OF_SHELL: [&str; 5] = ["_", "OLDPWD", "PWD", "SHLVL", "TERM"];

/// Variables that bash sets itself and that are read-only: bash would stop reading a file at the first of these.
pub const OF_BASH: [&str; 6] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"];

/// Variables that describe the user of a process.
pub const OF_USER: [&str; 4] = ["HOME", "LOGNAME", "SHELL", "USER"];

/// Variables that describe what one process of the daemon, of a session or of a unit may use.
pub const OF_UNIT: [&str; 10] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PULSE_SERVER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
];

/// Whether a variable is in one of these lists.
pub fn is_one_of(name: &OsStr, lists: &[&[&str]]) -> bool {
    lists.iter().any(|names| names.iter().any(|own| name == *own))
}

/// The row of the table with this name.
pub fn row(name: &str) -> Option<&'static Variable> {
    TABLE.iter().find(|variable| variable.names.contains(&name))
}

/// The other name of a setting of Selkies, from before or after its version 1.6.
pub(super) fn twin(name: &str) -> Option<String> {
    let swapped = |from: &str, to: &str| Some(format!("{to}{}", name.strip_prefix(from)?));
    swapped("SELKIES_", "WEBRTC_").or_else(|| swapped("WEBRTC_", "SELKIES_"))
}

/// Whether a variable's value should be masked wherever variables are shown.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "TOKEN",
        "SECRET",
        "CREDENTIAL",
        "PRIVATE_KEY",
        "API_KEY",
        "ACCESS_KEY",
    ];
    let ends = ["_KEY", "_PASS", "_PWD", "APIKEY", "PRIVATEKEY", "ACCESSKEY"];
    is_own_secret(&name)
        || parts.iter().any(|part| name.contains(part))
        || ends.iter().any(|end| name.ends_with(end))
}

/// Whether a variable is one of our own secrets, which reach only the units that name them.
pub fn is_own_secret(name: &str) -> bool {
    row(name).is_some_and(|variable| variable.secret)
}

/// Whether a variable is fixed when the gateway opens its ports.
pub(super) fn is_startup(name: &OsStr) -> bool {
    name.to_str().and_then(row).is_some_and(|variable| variable.is(Flag::Startup))
}

/// The name of a known variable that is most similar to `name`, for messages about templates.
pub fn nearest_variable(name: &str) -> Option<&'static str> {
    nearest(name, TABLE.iter().flat_map(|variable| variable.names.iter().copied()))
}

/// `NAME=value` with a name that a shell could export.
pub(super) fn split(argument: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = argument.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
    crate::sys::env_file::is_name(name).then_some((name, value))
}

/// The display in the image's own `ENV`, for programs that `docker exec` starts without a shell. It means the display
/// `:0` in an unusual form, so that `DISPLAY=:0` from a user differs from the image's value.
const IMAGE_DISPLAY: &str = ":0.0";

/// Whether a variable of the process counts as unset.
pub fn is_unchosen(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { return false };
    let ours = || row(name).is_some() || twin(name).is_some();
    (name == "DISPLAY" && value == IMAGE_DISPLAY) || (is_service_link(name, value) && ours())
}

/// Whether a variable has the form of a service link: `NAME_PORT`, `NAME_PORT_22_TCP` and the parts of that,
/// `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` and `NAME_SERVICE_PORT_WEB`.
fn is_service_link(name: &str, value: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().is_ok();
    let url = || {
        let (protocol, rest) = value.split_once("://")?;
        let (host, number) = rest.rsplit_once(':')?;
        Some(["tcp", "udp", "sctp"].contains(&protocol) && !host.is_empty() && port(number))
    };
    if name.ends_with("_PORT") && url() == Some(true) {
        return true;
    }
    // `22_TCP`, `22_TCP_ADDR`.
    let of_port = name.rsplit_once("_PORT_").is_some_and(|(_, rest)| {
        let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
        let after = ["TCP", "UDP", "SCTP"].iter().find_map(|protocol| rest.strip_prefix(protocol));
        port(number) && after.is_some_and(|after| ["", "_ADDR", "_PORT", "_PROTO"].contains(&after))
    });
    of_port || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "WEB_PASSWORD",
            "HF_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "RCLONE_CONFIG_X_PASS",
            "CONTAINER_API_KEY",
            "SMTP_PASS",
            "MYSQL_PWD",
            "SSH_PASSPHRASE",
            "OPENAI_APIKEY",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["PATH", "KEYBOARD", "LANG", "SSH_PUBKEY", "OLDPWD", "PWD", "BYPASS"] {
            assert!(!looks_secret(name), "{name}");
        }
        // The aliases of a secret variable are secret as well.
        assert!(is_own_secret("SELKIES_TURN_PASSWORD") && !is_own_secret("HF_TOKEN"));
    }

    #[test]
    fn service_links_and_the_image_s_display_count_as_unset() {
        for (name, value, expected) in [
            ("DISPLAY", ":0.0", true),
            ("DISPLAY", ":0", false),
            ("DISPLAY", ":20", false),
            ("SSH_PORT", "tcp://10.0.0.1:22", true),
            ("SSH_PORT", "tcp://[fd00::1]:22", true),
            ("SSH_PORT", "2022", false),
            ("SSH_PORT", "tcp://10.0.0.1", false),
            ("SSH_PORT", "http://10.0.0.1:22", false),
            ("TURN_PORT", "udp://10.0.0.1:3478", true),
            ("SELKIES_TURN_PORT", "tcp://10.0.0.1:3478", true),
            ("SELKIES_PORT", "tcp://10.0.0.1:80", true),
            ("SELKIES_PORT_6100_TCP", "tcp://10.0.0.1:6100", true),
            ("SELKIES_PORT_6100_TCP_ADDR", "10.0.0.1", true),
            ("SELKIES_PORT_6100_TCP_PROTO", "tcp", true),
            ("SELKIES_SERVICE_HOST", "10.0.0.1", true),
            ("SELKIES_SERVICE_PORT_WEB", "6100", true),
            ("SELKIES_PORT_HOST", "6100", false),
            ("SELKIES_PORT_LOCAL", "16100", false),
            // Names that are not in the table are passed on unchanged.
            ("REDIS_PORT", "tcp://10.0.0.1:6379", false),
            ("REDIS_SERVICE_HOST", "10.0.0.1", false),
        ] {
            assert_eq!(is_unchosen(name.as_ref(), value.as_ref()), expected, "{name}={value}");
        }
    }
}
