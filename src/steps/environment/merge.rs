//! Decides which value of a variable applies: that of the file, which a user may have edited, or the planned value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::config::env::is_unchosen;

/// Variables by name.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// The changes to a file with the variables `found`, for which we wrote `written` the last time, now that `planned`
/// applies. `None` removes the variable. Before the first time, `noted` has the variables that the file had before any
/// script ran.
pub(super) fn merge<'a>(
    found: &Variables,
    (written, noted): (Option<&'a Variables>, Option<&Variables>),
    planned: &'a Variables,
) -> BTreeMap<&'a OsStr, Option<OsString>> {
    let mut wanted = BTreeMap::new();
    for (name, value) in planned {
        let takes = match (written, found.get(name)) {
            // Values from the image are older than the values that the container was started with; changes that a
            // script made since then are newer.
            (None, found) => noted.is_none_or(|noted| noted.get(name) == found),
            // A script that appends its whole environment also appends the image's own DISPLAY; that is no edit.
            (Some(written), Some(found)) => written.get(name) == Some(found) || is_unchosen(name, found),
            // The user removed the variable; it is not added again unless its value has changed.
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
    fn users_edits_are_kept_and_our_own_values_are_updated() {
        let (ours, edit, news) = (Some("ours"), Some("edit"), Some("news"));
        let (set, gone) = (|value: &str| Some(Some(OsString::from(value))), Some(None));
        for (found, written, planned, expected) in [
            // The first time.
            (None, None, ours, set("ours")),
            (edit, None, ours, set("ours")),
            (edit, None, None, None),
            // No edit.
            (ours, Some(ours), ours, set("ours")),
            (ours, Some(ours), news, set("news")),
            (ours, Some(ours), None, gone.clone()),
            // The user changed the value.
            (edit, Some(ours), ours, None),
            (edit, Some(ours), news, None),
            (edit, Some(ours), None, None),
            (edit, Some(None), None, None),
            (edit, Some(None), news, None),
            // The user removed the variable.
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
    fn the_images_own_display_does_not_count_as_an_edit() {
        let display = |value: &str| Variables::from([("DISPLAY".into(), value.into())]);
        let planned = display(":20");
        for (found, taken) in [(":0.0", true), (":7", false)] {
            let merged = merge(&display(found), (Some(&planned), None), &planned);
            assert_eq!(merged.contains_key(OsStr::new("DISPLAY")), taken, "{found}");
        }
    }

    #[test]
    fn changes_that_a_script_made_before_the_first_write_are_kept() {
        let (image, script, ours) = (Some("image"), Some("script"), Some("ours"));
        for (noted, found, expected) in [
            (image, image, Some("ours")),
            (None, None, Some("ours")),
            (image, script, None),
            (None, script, None),
            // The script removed the variable.
            (image, None, None),
        ] {
            let (found, noted, planned) = (one(found), one(noted), one(ours));
            let merged = merge(&found, (None, Some(&noted)), &planned);
            let taken = merged.get(OsStr::new("A")).cloned().flatten();
            assert_eq!(taken, expected.map(OsString::from), "{noted:?} {found:?}");
        }
    }
}
