//! Finds values that no user chose: the display that the image sets for `docker exec`, and the service links that
//! Kubernetes (and Docker's old `--link`) makes from the names of other services: `SSH_PORT=tcp://10.0.0.1:22`
//! describes a service called ssh and is not a port of ours.

use std::ffi::OsStr;

use super::names::row;

/// The display in the image's own `ENV`, for programs that `docker exec` starts without a shell. It means the display
/// `:0` in an unusual form, so that `DISPLAY=:0` from a user differs from the image's value.
pub(super) const IMAGE_DISPLAY: &str = ":0.0";

/// Prefixes of variables that are passed on to Selkies: links of a service with such a name begin with them.
const PASSED_ON: [&str; 2] = ["SELKIES_", "WEBRTC_"];

/// Whether a variable of the process counts as unset.
pub fn is_unchosen(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { return false };
    let ours = || row(name).is_some() || PASSED_ON.iter().any(|prefix| name.starts_with(prefix));
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
