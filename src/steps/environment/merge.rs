//! Whose value of a variable holds: that of the file, which somebody may have edited, or today's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::Variables;
use crate::config::env::is_unchosen;

/// What has to change in a file with the variables `found`, of which we wrote `written` the last time, now that `planned`
/// is right. `None`: the variable goes. Before the first time, `noted` is what the file said before any script ran.
pub(super) fn merge<'a>(
    found: &Variables,
    (written, noted): (Option<&'a Variables>, Option<&Variables>),
    planned: &'a Variables,
) -> BTreeMap<&'a OsStr, Option<OsString>> {
    let mut wanted = BTreeMap::new();
    for (name, value) in planned {
        let takes = match (written, found.get(name)) {
            // What an image brings along is older than what the container was started with; what a script has
            // changed since is not.
            (None, found) => noted.is_none_or(|noted| noted.get(name) == found),
            // Who appends all of a shell's environment appends the image's own display, too.
            (Some(written), Some(found)) => written.get(name) == Some(found) || is_unchosen(name, found),
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
            let merged = merge(&found, (written.as_ref(), None), &planned);
            let merged = merged.get(OsStr::new("A")).cloned();
            assert_eq!(merged, expected, "{found:?} {written:?} {planned:?}");
        }
    }

    #[test]
    fn the_image_s_own_display_is_no_edit() {
        let display = |value: &str| Variables::from([("DISPLAY".into(), value.into())]);
        let planned = display(":20");
        for (found, taken) in [(":0.0", true), (":7", false)] {
            let merged = merge(&display(found), (Some(&planned), None), &planned);
            assert_eq!(merged.contains_key(OsStr::new("DISPLAY")), taken, "{found}");
        }
    }

    #[test]
    fn what_a_script_changed_before_the_first_time_stays() {
        let (image, script, ours) = (Some("image"), Some("script"), Some("ours"));
        for (noted, found, expected) in [
            (image, image, Some("ours")),
            (None, None, Some("ours")),
            (image, script, None),
            (None, script, None),
            // The script took it away.
            (image, None, None),
        ] {
            let (found, noted, planned) = (one(found), one(noted), one(ours));
            let merged = merge(&found, (None, Some(&noted)), &planned);
            let taken = merged.get(OsStr::new("A")).cloned().flatten();
            assert_eq!(taken, expected.map(OsString::from), "{noted:?} {found:?}");
        }
    }
}
