//! The files that the pages load: style sheets, the icon, and the scripts. All are part of the program.
//!
//! The scripts are compiled from `portal/web` before the program, where the feature `web` is on; without it the pages
//! work without scripts. Each address holds a number made from the file's content, so that browsers may keep the file.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
    /// Differs between versions of the file.
    version: u64,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static ALL: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files = [
        (
            "portal.css",
            CSS,
            concat!(include_str!("../gateway/assets/tokens.css"), include_str!("assets/portal.css"))
                .as_bytes(),
        ),
        ("display.css", CSS, include_bytes!("assets/display.css")),
        ("terminal.css", CSS, TERMINAL_CSS.as_bytes()),
        ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    ];
    let files = files.into_iter().chain(SCRIPTS.iter().copied());
    let versioned = files.map(|(name, kind, content)| {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Asset { name, kind, content, version: hasher.finish() }
    });
    versioned.collect()
});

#[cfg(feature = "web")]
macro_rules! compiled {
    ($name:literal) => {
        include_bytes!(concat!(env!("DESKTOPD_WEB"), "/", $name))
    };
}

#[cfg(feature = "web")]
const SCRIPTS: &[(&str, &str, &[u8])] = &[
    ("app.js", SCRIPT, compiled!("app.js")),
    ("machine.js", SCRIPT, compiled!("machine.js")),
    ("uplot.css", CSS, compiled!("uplot.css")),
    ("terminal.js", SCRIPT, compiled!("terminal.js")),
];

/// The style sheet of the terminal's library.
#[cfg(feature = "web")]
const XTERM: &str = include_str!(concat!(env!("DESKTOPD_WEB"), "/terminal.css"));

#[cfg(not(feature = "web"))]
const XTERM: &str = "";

static TERMINAL_CSS: LazyLock<String> =
    LazyLock::new(|| format!("{XTERM}{}", include_str!("assets/terminal.css")));

#[cfg(not(feature = "web"))]
const SCRIPTS: &[(&str, &str, &[u8])] = &[];

/// Whether this build has the scripts with which pages keep themselves up to date.
pub const fn has_scripts() -> bool {
    !SCRIPTS.is_empty()
}

/// The address of a file, relative to every page.
pub(super) fn address(name: &str) -> String {
    let version = ALL.iter().find(|asset| asset.name == name).map_or(0, |asset| asset.version);
    format!("{name}?v={version:x}")
}

/// Serves all files.
pub(super) fn router() -> Router {
    ALL.iter().fold(Router::new(), |router, asset| {
        let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "private, max-age=31536000, immutable")];
        let content = asset.content;
        router.route(&format!("/{}", asset.name), get(async move || (headers, content)))
    })
}
