//! Changes to requests and responses of a route, for services that were not written to run behind a reverse proxy.

use std::collections::BTreeMap;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, SET_COOKIE};
use serde::{Serialize, Serializer};

use super::table::Reader;

/// The changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rewrite {
    /// Whether requests get `localhost` as Host in place of the name that the client used, and in our own Origin and
    /// Referer.
    pub localhost: bool,
    /// Whether requests get headers about the client (`X-Forwarded-For` and similar ones).
    pub forwarded: bool,
    /// Whether the names of headers are written `Like-This`.
    pub title_case: bool,
    /// The longest path, and the longest value of a header that is part of a WebSocket's handshake. Bytes.
    pub handshake_limit: Option<usize>,
    /// Headers that every response gets, in place of the service's own.
    #[serde(serialize_with = "as_texts")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Old paths, which users may have as bookmarks: these paths and all paths below them lead to the route's own path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<String>,
}

impl Default for Rewrite {
    fn default() -> Self {
        Self {
            localhost: false,
            forwarded: true,
            title_case: false,
            handshake_limit: None,
            headers: Vec::new(),
            moved: Vec::new(),
        }
    }
}

impl Rewrite {
    /// Whether nothing is changed.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

fn as_texts<S: Serializer>(headers: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer
        .collect_map(headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default())))
}

/// Reads the keys of `[route]` about changes. A `bridged` service gets no HTTP requests.
pub(super) fn read(table: &mut Reader<'_>, bridged: bool) -> Rewrite {
    let before = table.count();
    let yes_or_no = "true or false";
    let localhost = table.word("host", &[("keep", false), ("localhost", true)]).unwrap_or(false);
    let forwarded = table.get("forwarded", yes_or_no).unwrap_or(true);
    let title_case = table.get("title-case", yes_or_no).unwrap_or(false);
    let handshake_limit =
        table.parse("handshake-limit", "a size of at least \"64B\" such as \"1KiB\"", |text| {
            super::quantity::size(text).and_then(|size| usize::try_from(size).ok()).filter(|size| *size >= 64)
        });
    if bridged && table.count() == before {
        for key in ["host", "forwarded", "title-case", "handshake-limit"] {
            if !table.untouched(key) {
                table.problem(key, "with `bridge` no request reaches the service");
            }
        }
    }
    let (headers, moved) = (headers(table), moved(table));
    Rewrite { localhost, forwarded, title_case, handshake_limit, headers, moved }
}

fn moved(table: &mut Reader<'_>) -> Vec<String> {
    let paths: Vec<String> =
        table.get("moved", "a list of paths such as [\"/guacamole\"]").unwrap_or_default();
    let plain = |path: &String| {
        path.len() > 1
            && path.starts_with('/')
            && !path.contains("//")
            && !path.ends_with('/')
            && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b))
    };
    let (paths, wrong): (Vec<_>, Vec<_>) = paths.into_iter().partition(plain);
    for path in wrong {
        table.problem("moved", format!("\"{path}\" is not a path such as \"/guacamole\""));
    }
    paths
}

fn headers(table: &mut Reader<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let texts: BTreeMap<String, String> =
        table.get("headers", "a table of Name = \"value\"").unwrap_or_default();
    let mut headers = Vec::new();
    for (name, value) in texts {
        let key = format!("headers.{name}");
        match (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            (Err(_), _) => table.problem(&key, format!("\"{name}\" is not the name of a header")),
            (Ok(name), _) if is_not_for_files(&name) => {
                table.problem(&key, format!("{name} says how an answer is sent, which no file can know"));
            }
            (Ok(_), Err(_)) => table.problem(&key, format!("\"{value}\" is not the value of a header")),
            (Ok(_), Ok(value)) if value.is_empty() || value.to_str().is_err() => {
                table.problem(&key, "it is not the value of a header: visible ASCII, and some of it");
            }
            (Ok(name), Ok(value)) => headers.push((name, value)),
        }
    }
    headers
}

/// Whether a header belongs to one response or one connection, so that a file must not set it.
fn is_not_for_files(name: &HeaderName) -> bool {
    const CONNECTION: [&str; 9] = [
        "connection",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    CONNECTION.contains(&name.as_str())
        || [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, SET_COOKIE].contains(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str, bridged: bool) -> (Rewrite, Vec<String>) {
        let mut problems = Vec::new();
        let mut table = Reader::new(Path::new("x.toml"), text, &mut problems);
        let rewrite = read(&mut table, bridged);
        table.finish();
        (rewrite, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_is_changed_by_default() {
        assert!(parse("", false).0.is_nothing());
        let (rewrite, problems) = parse(
            "host = \"localhost\"\nforwarded = false\ntitle-case = true\nhandshake-limit = \"1KiB\"\n\
             moved = [\"/a\", \"/b/c\"]\n[headers]\nCross-Origin-Opener-Policy = \"same-origin\"\n",
            false,
        );
        assert_eq!(problems, [""; 0]);
        assert!(rewrite.localhost && !rewrite.forwarded && rewrite.title_case);
        assert_eq!((rewrite.handshake_limit, rewrite.moved), (Some(1024), vec!["/a".into(), "/b/c".into()]));
        assert_eq!(rewrite.headers[0].0, "cross-origin-opener-policy");
    }

    #[test]
    fn mistakes_are_reported_and_not_used() {
        let (rewrite, problems) = parse(
            "host = \"local\"\nforwarded = 1\nhandshake-limit = \"1\"\nmoved = [\"/\", \"a\", \"//a\", \"/a?\", \"/a/\"]\n[headers]\n\"a b\" = \"1\"\nX-Ok = \"1\"\n\
             Content-Length = \"1\"\nSet-Cookie = \"a\"\nX-Line = \"a\\nb\"\nX-Empty = \"\"\n",
            false,
        );
        assert_eq!(rewrite.headers, [("x-ok".parse().unwrap(), HeaderValue::from_static("1"))]);
        for part in [
            "host: \"local\" is not one of \"keep\", \"localhost\"",
            "forwarded: 1 is not true or false",
            "handshake-limit: \"1\" is not a size",
            "moved: \"/\" is not a path",
            "moved: \"a\" is not a path",
            "moved: \"//a\" is not a path",
            "moved: \"/a?\" is not a path",
            "moved: \"/a/\" is not a path",
            "headers.a b: \"a b\" is not the name of a header",
            "headers.Content-Length: content-length says how",
            "headers.Set-Cookie: set-cookie says how",
            "headers.X-Line: \"a\\nb\" is not the value",
            "headers.X-Empty: it is not the value",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part} in {problems:#?}");
        }
        assert_eq!(problems.len(), 13, "{problems:#?}");
    }

    #[test]
    fn keys_without_effect_on_a_bridge_are_reported() {
        let (_, problems) = parse("host = \"localhost\"\n[headers]\nX-Ok = \"1\"\n", true);
        assert_eq!(problems, ["x.toml: host: with `bridge` no request reaches the service"]);
    }
}
