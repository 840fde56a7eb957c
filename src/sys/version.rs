//! What this program was built from. The build of the image, and `tests/run`, give the version and the commit to the
//! compiler (`docker/version` finds them); a plain `cargo build` gives neither.

use std::sync::LazyLock;

use serde::Serialize;

/// The end of a version, and of a commit, of a checkout with changes that are not committed.
const CHANGED: &str = "-dirty";

/// The version: that of the nearest tag in git, else that of `Cargo.toml`.
pub const VERSION: &str = match option_env!("DESKTOPD_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};

/// The commit in git, if it is known.
const REVISION: Option<&str> = match option_env!("DESKTOPD_REVISION") {
    Some(revision) if !revision.is_empty() => Some(revision),
    _ => None,
};

/// What `desktopd version --json` prints.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Build {
    /// The version.
    pub version: &'static str,
    /// The commit in git.
    pub revision: Option<&'static str>,
    /// Whether the checkout had changes that were not committed; `None` where the commit is not known.
    pub changed: Option<bool>,
}

/// This program.
pub fn build() -> Build {
    of(VERSION, REVISION)
}

fn of(version: &'static str, revision: Option<&'static str>) -> Build {
    let changed = revision.map(|revision| revision.ends_with(CHANGED));
    Build { version, revision: revision.map(|revision| revision.trim_end_matches(CHANGED)), changed }
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let revision = self.revision.unwrap_or("unknown");
        let changed = if self.changed == Some(true) { ", with changes that are not committed" } else { "" };
        write!(f, "{} (revision {revision}{changed})", self.version)
    }
}

/// The same as one line, for `--version`.
pub fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(|| build().to_string());
    &LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_is_known() {
        for (revision, said) in [
            (None, "1.2.0 (revision unknown)"),
            (Some("1a2b"), "1.2.0 (revision 1a2b)"),
            (Some("1a2b-dirty"), "1.2.0 (revision 1a2b, with changes that are not committed)"),
        ] {
            assert_eq!(of("1.2.0", revision).to_string(), said);
        }
        let json = |revision| serde_json::to_value(of("1.2.0", revision)).unwrap();
        assert_eq!(
            json(Some("1a2b-dirty")),
            serde_json::json!({"version": "1.2.0", "revision": "1a2b", "changed": true})
        );
        assert_eq!(json(None), serde_json::json!({"version": "1.2.0", "revision": null, "changed": null}));
    }
}
