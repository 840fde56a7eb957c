//! Addresses in links and redirects of our own pages. A proxy may serve us under a path prefix (`/desktop/`), which it
//! removes before it passes a request on. So our addresses do not begin with a slash: they are relative to the
//! requested address, or begin with the prefix that the proxy reports in a header.
//!
//! Invariant: all addresses made here lead to this host, whatever a header says.

/// The longest accepted prefix. Bytes.
const LONGEST: usize = 256;

/// Maximum of folder levels for a relative address. None of our own addresses is deeper, and so many `../` would be
/// longer than the address itself.
const DEEPEST: usize = 32;

/// The path under which a proxy serves us, without a slash at its end: `/desktop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Accepts only a plain absolute path, which a browser cannot interpret differently.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let plain = |segment: &str| {
            let bytes = segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
            bytes && !matches!(segment, "" | "." | "..")
        };
        let plain = path.len() <= LONGEST && path.strip_prefix('/')?.split('/').all(plain);
        plain.then(|| Self(path.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The base for addresses in the answer to one request.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    prefix: Option<Prefix>,
    /// The number of folder levels of the requested path.
    depth: usize,
}

impl Base {
    /// For the answer to a request for `path`, which came through a proxy that serves us under `prefix`.
    pub(crate) fn new(prefix: Option<Prefix>, path: &str) -> Self {
        Self { prefix, depth: path.bytes().filter(|b| *b == b'/').count().saturating_sub(1) }
    }

    pub(crate) fn prefix(&self) -> Option<&Prefix> {
        self.prefix.as_ref()
    }

    /// The address of one of our paths, such as `/desktopd/login?next=/`, for a link or a redirect.
    pub(crate) fn to(&self, path: &str) -> String {
        let rest = path.trim_start_matches('/');
        match (&self.prefix, self.depth) {
            (Some(prefix), _) => format!("{}/{rest}", prefix.0),
            (None, 0) => format!("./{rest}"),
            (None, depth @ ..=DEEPEST) => "../".repeat(depth) + rest,
            (None, _) => format!("/{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_prefixes() {
        for (text, prefix) in
            [("/desktop", "/desktop"), ("/desktop/", "/desktop"), ("/a/b-c_d.e~1/", "/a/b-c_d.e~1")]
        {
            assert_eq!(Prefix::parse(text).unwrap().as_str(), prefix);
        }
        for text in [
            "",
            "/",
            "desktop",
            "//evil",
            "/a//b",
            "/a//",
            "/../a",
            "/a/..",
            "/./a",
            "/\\evil",
            "/a b",
            "/a\tb",
            "/a?b",
            "/a#b",
            "/a;b",
            "/a:b",
            "/%2fevil",
            "/a,/b",
            "/\"><script>",
            "https://evil/a",
            "/ü",
        ] {
            assert_eq!(Prefix::parse(text), None, "{text:?}");
        }
        assert_eq!(Prefix::parse(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn links_stay_on_this_host_and_below_the_prefix() {
        for (asked, to, address) in [
            ("/", "/", "./"),
            ("/", "/desktopd/login", "./desktopd/login"),
            ("/a", "/desktopd/login?next=/a", "./desktopd/login?next=/a"),
            ("/a/b/c", "/desktopd/login", "../../desktopd/login"),
            ("/desktopd/login", "/x?y", "../x?y"),
            ("/a/", "/", "../"),
            ("//a", "/b", "../b"),
            ("/", "/a:b", "./a:b"),
            ("/", "//evil", "./evil"),
            ("/a/", "//evil", "../evil"),
        ] {
            assert_eq!(Base::new(None, asked).to(to), address, "{asked} {to}");
        }
        assert_eq!(Base::new(None, &"/a".repeat(100)).to("//b"), "/b");
        let prefix = Prefix::parse("/desktop/");
        for (asked, to, address) in [
            ("/", "/", "/desktop/"),
            ("/a/b", "/desktopd/login", "/desktop/desktopd/login"),
            ("/a/b", "//evil", "/desktop/evil"),
        ] {
            assert_eq!(Base::new(prefix.clone(), asked).to(to), address);
        }
    }
}
