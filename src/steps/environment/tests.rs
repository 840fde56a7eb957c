//! Tests of the files that the step writes.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rustix::fs::flock;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Raw {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn places(root: &Path) -> Places {
    for folder in ["etc", "run", "state"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    Places {
        etc: root.join("etc"),
        zones: "/usr/share/zoneinfo".into(),
        run: root.join("run"),
        written: root.join("state/environment-written"),
        noted: root.join("state/environment-found"),
        user: root.join("user/environment"),
        script: "/nowhere/shell.sh".into(),
    }
}

fn own_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

#[test]
fn etc_environment_is_updated_and_users_edits_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let file = places.machine();
    let text = || fs::read_to_string(&file).unwrap();
    let write = |pairs| machine_file(&places, own_gid(), &variables(pairs)).unwrap();

    assert_eq!(write(&[("A", "it's"), ("B", "1")]), variables(&[("A", "it's"), ("B", "1")]));
    assert!(text().starts_with("# ") && text().ends_with("\nA=\"it's\"\nB=1\n"), "{}", text());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(&places.written).unwrap().mode() & 0o777, 0o600);

    let edited = text().replace("B=1", "B=2 # mine") + "\nC=$A\nrubbish";
    fs::write(&file, &edited).unwrap();
    let merged = write(&[("A", "new"), ("B", "1"), ("D", "4")]);
    assert_eq!(text(), edited.replace("\"it's\"", "new") + "\nD=4\n");
    assert_eq!(merged, variables(&[("A", "new"), ("B", "2"), ("C", "it's"), ("D", "4")]));
    // Once more, and nothing changes.
    let before = text();
    write(&[("A", "new"), ("B", "1"), ("D", "4")]);
    assert_eq!(text(), before);
}

#[test]
fn an_unwritable_folder_does_not_change_the_environment_of_shells() {
    let root = tempfile::tempdir().unwrap();
    let mut places = places(root.path());
    places.etc = root.path().join("missing");
    let planned = variables(&[("A", "1")]);
    assert_eq!(machine_file(&places, own_gid(), &planned).unwrap(), planned);
    assert!(!places.written.exists());
}

#[test]
fn a_pipe_or_a_file_that_is_too_large_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let file = places.machine();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let told = || machine_file(&places, own_gid(), &variables(&[("A", "1")])).unwrap_err().to_string();
    assert_eq!(told(), "is a FIFO, expected a regular file");
    fs::remove_file(&file).unwrap();
    File::create(&file).unwrap().set_len(10 << 30).unwrap();
    assert!(told().contains("larger than 1 MiB"));
    assert_eq!(fs::metadata(&file).unwrap().len(), 10 << 30, "it stays as it is");
}

#[test]
fn another_users_lock_does_not_block_a_writer() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let theirs = File::open(&places.etc).unwrap();
    flock(&theirs, FlockOperation::LockExclusive).unwrap();
    machine_file(&places, own_gid(), &variables(&[("A", "1")])).unwrap();
    assert!(fs::read_to_string(places.machine()).unwrap().ends_with("\nA=1\n"));
    assert!(lock(&root.path().join("missing"), FlockOperation::LockExclusive).unwrap().is_none());
}

#[test]
fn bash_reads_the_script_before_it_checks_whether_it_is_interactive() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let file = places.etc.join("bash.bashrc");
    hooks::install(&places);
    assert!(fs::read_to_string(&file).unwrap().contains("profile.d/desktopd.sh"));
    fs::write(&file, "# theirs\n[ -z \"$PS1\" ] && return\n").unwrap();
    hooks::install(&places);
    hooks::install(&places);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("\n\n# theirs\n[ -z \"$PS1\" ] && return\n"), "{text}");
    assert_eq!(text.matches("&& . /etc/profile.d/desktopd.sh").count(), 1, "{text}");
    assert_eq!(fs::read_link(places.etc.join("profile.d/desktopd.sh")).unwrap(), places.script);
}

#[test]
fn the_system_time_zone_is_set_to_a_zone_that_exists() {
    let root = tempfile::tempdir().unwrap();
    let mut places = places(root.path());
    places.zones = root.path().join("zones");
    fs::create_dir_all(places.zones.join("Europe")).unwrap();
    fs::write(places.zones.join("Europe/Berlin"), "TZif: Berlin").unwrap();
    fs::write(places.zones.join("UTC"), "TZif: UTC").unwrap();
    let zone = || fs::read_to_string(places.etc.join("timezone")).unwrap();
    clock::set(&places, "UTC");
    clock::set(&places, ":Europe/Berlin");
    assert_eq!(zone(), "Europe/Berlin\n");
    assert_eq!(fs::read(places.etc.join("localtime")).unwrap(), b"TZif: Berlin");
    for unknown in ["Mars", "", "../zones/UTC", "/etc/passwd", "CET-1CEST"] {
        clock::set(&places, unknown);
        assert_eq!(zone(), "Europe/Berlin\n", "{unknown}");
    }
}

fn one(value: Option<&str>) -> Raw {
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
        let baseline = Baseline { written, noted: None };
        let merged = merge(&found, &baseline, &planned);
        let merged = merged.get(OsStr::new("A")).cloned();
        assert_eq!(merged, expected, "{found:?} {baseline:?} {planned:?}");
    }
}

#[test]
fn the_images_own_display_does_not_count_as_an_edit() {
    let display = |value: &str| Raw::from([("DISPLAY".into(), value.into())]);
    let planned = display(":20");
    for (found, taken) in [(":0.0", true), (":7", false)] {
        let baseline = Baseline { written: Some(planned.clone()), noted: None };
        let merged = merge(&display(found), &baseline, &planned);
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
        let baseline = Baseline { written: None, noted: Some(noted) };
        let merged = merge(&found, &baseline, &planned);
        let taken = merged.get(OsStr::new("A")).cloned().flatten();
        assert_eq!(taken, expected.map(OsString::from), "{baseline:?} {found:?}");
    }
}
