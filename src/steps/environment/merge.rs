//! Whose value of a variable holds: that of the file, which somebody may have edited, or today's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::Variables;

/// What has to change in a file with the variables `found`, of which we wrote `written` the last time, now that `planned`
/// is right. `None`: the variable goes.
pub(super) fn merge<'a>(
    found: &Variables,
    written: Option<&'a Variables>,
    planned: &'a Variables,
) -> BTreeMap<&'a OsStr, Option<OsString>> {
    let mut wanted = BTreeMap::new();
    for (name, value) in planned {
        let takes = match (written, found.get(name)) {
            // What an image brings along is older than what the container was started with.
            (None, _) => true,
            (Some(written), Some(found)) => written.get(name) == Some(found),
            // Somebody took it away; it is not forced upon them, unless it is news.
            (Some(written), None) => written.get(name) != Some(value),
        };
        if takes {
            wanted.insert(name.as_os_str(), Some(value.clone()));
        }
    }
    for (name, value) in written.into_iter().flatten() {
        if !planned.contains_key(name) && found.get(name) == Some(value) {
            wanted.insert(name.as_os_str(), None);
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: Option<&str>) -> Variables {
        value.into_iter().map(|value| ("A".into(), value.into())).collect()
    }

    #[test]
    fn an_edit_is_told_from_what_we_wrote() {
        let (ours, edit, news) = (Some("ours"), Some("edit"), Some("news"));
        let (set, gone) = (|value: &str| Some(Some(OsString::from(value))), Some(None));
        for (found, written, planned, expected) in [
            // The first time.
            (None, None, ours, set("ours")),
            (edit, None, ours, set("ours")),
            (edit, None, None, None),
            // Nobody did anything.
            (ours, Some(ours), ours, set("ours")),
            (ours, Some(ours), news, set("news")),
            (ours, Some(ours), None, gone.clone()),
            // Somebody changed it.
            (edit, Some(ours), ours, None),
            (edit, Some(ours), news, None),
            (edit, Some(ours), None, None),
            (edit, Some(None), None, None),
            (edit, Some(None), news, None),
            // Somebody took it away.
            (None, Some(ours), ours, None),
            (None, Some(ours), news, set("news")),
            (None, Some(None), news, set("news")),
        ] {
            let (found, written, planned) = (one(found), written.map(one), one(planned));
            let merged = merge(&found, written.as_ref(), &planned);
            let merged = merged.get(OsStr::new("A")).cloned();
            assert_eq!(merged, expected, "{found:?} {written:?} {planned:?}");
        }
    }
}
