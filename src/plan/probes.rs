//! The probes of a unit's readiness and health, with their templates expanded.

use crate::config::service::{Health, Probe, Ready};

use super::expander::Expander;

pub(super) fn ready(spec: &Ready, expander: &mut Expander<'_>) -> Ready {
    match spec {
        Ready::Started => Ready::Started,
        Ready::Notify => Ready::Notify,
        Ready::Descriptor => Ready::Descriptor,
        Ready::Probe(spec) => Ready::Probe(probe("ready", spec, expander)),
        Ready::File(path) => Ready::File(expander.text("ready.path", path)),
        // Not expanded: in a pattern, a dollar sign means the end of a line.
        Ready::Log(pattern) => Ready::Log(pattern.clone()),
        Ready::Delay(time) => Ready::Delay(*time),
        Ready::DBus { name, bus } => {
            Ready::DBus { name: expander.text("ready.name", name), bus: expander.text("ready.bus", bus) }
        }
    }
}

pub(super) fn health(spec: &Health, expander: &mut Expander<'_>) -> Health {
    Health { probe: probe("health", &spec.probe, expander), ..spec.clone() }
}

fn probe(table: &str, spec: &Probe, expander: &mut Expander<'_>) -> Probe {
    let mut text = |key: &str, text: &str| expander.text(&format!("{table}.{key}"), text);
    let probe = match spec {
        Probe::Socket(path) => Probe::Socket(text("path", path)),
        Probe::Banner { path, expect } => Probe::Banner { path: text("path", path), expect: expect.clone() },
        Probe::DBus { bus, objects } => Probe::DBus { bus: text("bus", bus), objects: objects.clone() },
        Probe::Tcp(address) => Probe::Tcp(text("address", address)),
        Probe::Http(url) => Probe::Http(text("url", url)),
        Probe::Exec(argv) => Probe::Exec(expander.list(&format!("{table}.command"), argv)),
        Probe::X11 { display, xauthority } => {
            Probe::X11 { display: text("display", display), xauthority: text("xauthority", xauthority) }
        }
    };
    // A text that could not be expanded is empty, and its error has been reported already.
    match &probe {
        Probe::Http(url) if !url.is_empty() && !is_plain_http(url) => {
            let message = format!("\"{url}\" is not a URL such as \"http://127.0.0.1:80/\"");
            expander.problem(&format!("{table}.url"), message);
        }
        Probe::X11 { display, .. } if !display.is_empty() && display_number(display).is_none() => {
            let message = format!("\"{display}\" is not an X display of this machine such as \":0\"");
            expander.problem(&format!("{table}.display"), message);
        }
        _ => {}
    }
    probe
}

/// Only http: the probed services are on this machine, without TLS.
fn is_plain_http(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

/// The number in `:0` or `:0.0`.
pub fn display_number(display: &str) -> Option<u32> {
    let number = display.strip_prefix(':')?;
    let (number, screen) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(screen) && digits(number) { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_of_this_machine_have_a_number() {
        for (text, expected) in [
            (":0", Some(0)),
            (":12.0", Some(12)),
            ("host:0", None),
            (":", None),
            (":0.", None),
            (":-1", None),
            ("0", None),
            (":99999999999", None),
        ] {
            assert_eq!(display_number(text), expected, "{text}");
        }
    }

    #[test]
    fn urls_of_this_machine_are_plain() {
        for (url, expected) in [
            ("http://127.0.0.1:16100/api/health", true),
            ("http://localhost", true),
            ("https://127.0.0.1/", false),
            ("127.0.0.1:80", false),
            ("/health", false),
            ("http:// x", false),
        ] {
            assert_eq!(is_plain_http(url), expected, "{url}");
        }
    }
}
