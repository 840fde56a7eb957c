//! What moves, what stays, and how a killed run is continued, on temporary folders.

use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::service::step::WorkspaceKeys;

/// A container's files and a volume.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["opt", "run", "venv", "work"] {
            fs::create_dir(world.at(folder)).unwrap();
        }
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| format!("({path}: {error})"))
    }

    fn is_link(&self, path: &str) -> bool {
        self.at(path).is_symlink()
    }

    fn sync(&self, folders: &str, mounted: &str) -> Result<(), String> {
        let root = self.dir.path().canonicalize().unwrap();
        let workspace = WorkspaceKeys {
            folder: self.at("work"),
            mounted: mounted.to_owned(),
            ..WorkspaceKeys::default()
        };
        let (folders, wait) = (folders.to_owned(), Duration::from_millis(100));
        Sync { root: &root, step: OptSync { workspace, folders, environments: true, wait } }.run()
    }

    /// Temporary files and folders that were left behind.
    fn leftovers(&self) -> Vec<String> {
        let folders =
            ["opt", "venv", "work", "run", "work/environments/python"].map(|folder| self.at(folder));
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != LOCK && (name.starts_with('.') || name == "workspace_sync")).collect()
    }
}

#[test]
fn folders_and_environments_move_and_stay_moved() {
    let world = World::new();
    world.file("opt/app one/bin/run", "app");
    world.file("opt/other/file", "stays");
    world.file("venv/main/pyvenv.cfg", "version = 3.13.5\n");
    world.file("venv/no-environment/file", "stays");
    world.file("run/workspace_sync", "");
    for _ in 0..2 {
        world.sync("app one:absent", "force").unwrap();
        assert!(world.is_link("opt/app one") && world.is_link("venv/main"));
        assert!(!world.is_link("opt/other") && !world.is_link("venv/no-environment"));
        assert_eq!(world.text("opt/app one/bin/run"), "app");
        assert_eq!(world.text("work/app one/bin/run"), "app");
        assert_eq!(world.text("work/environments/python/main/pyvenv.cfg"), "version = 3.13.5\n");
        assert_eq!(world.text("work/app one/.move_complete"), "1\n");
        assert_eq!(world.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn nothing_moves_without_a_mounted_volume() {
    let world = World::new();
    world.file("opt/app/file", "app");
    // The temporary folder of tests may be on a volume itself.
    let keys = WorkspaceKeys { folder: world.at("work"), ..WorkspaceKeys::default() };
    let volume = Volume::of(&keys).unwrap();
    if volume.kind.is_none() {
        world.sync("app", "").unwrap();
        assert!(!world.is_link("opt/app") && !world.at("work/app").exists());
    }
}

#[test]
fn a_run_killed_at_any_step_is_continued_by_the_next_run() {
    type Damage = fn(&World);
    let moments: [(&str, Damage); 7] = [
        ("in the middle of the copy", |world| {
            world.file("work/.app.desktopd-sync/.file.Xa81", "ha");
        }),
        ("before the copy got its name", |world| {
            world.file("work/.app.desktopd-sync/file", "whole");
            world.file("work/.app.desktopd-sync/deep/file", "whole");
            world.file("work/.app.desktopd-sync/.move_complete", "1");
        }),
        ("before anything was replaced", |world| {
            world.file("work/app/file", "whole");
            world.file("work/app/deep/file", "whole");
            world.file("work/app/.move_complete", "1");
        }),
        ("with the link made", |world| {
            world.file("work/app/file", "whole");
            world.file("work/app/deep/file", "whole");
            world.file("work/app/.move_complete", "1");
            symlink(world.at("work/app"), world.at("opt/.app.desktopd-moved")).unwrap();
        }),
        ("with the original half removed", |world| {
            world.file("work/app/file", "whole");
            world.file("work/app/deep/file", "whole");
            world.file("work/app/.move_complete", "1");
            symlink(world.at("work/app"), world.at("opt/.app.desktopd-moved")).unwrap();
            fs::remove_dir_all(world.at("opt/app/deep")).unwrap();
        }),
        ("with the original removed", |world| {
            world.file("work/app/file", "whole");
            world.file("work/app/deep/file", "whole");
            world.file("work/app/.move_complete", "1");
            symlink(world.at("work/app"), world.at("opt/.app.desktopd-moved")).unwrap();
            fs::remove_dir_all(world.at("opt/app")).unwrap();
        }),
        ("with the original to be removed yet", |world| {
            world.file("work/app/file", "whole");
            world.file("work/app/deep/file", "whole");
            world.file("work/app/.move_complete", "1");
            fs::rename(world.at("opt/app"), world.at("opt/.app.desktopd-moved")).unwrap();
            symlink(world.at("work/app"), world.at("opt/app")).unwrap();
        }),
    ];
    for (moment, damage) in moments {
        let world = World::new();
        world.file("opt/app/file", "whole");
        world.file("opt/app/deep/file", "whole");
        damage(&world);
        world.sync("app", "force").unwrap_or_else(|why| panic!("{moment}: {why}"));
        assert!(world.is_link("opt/app"), "{moment}");
        assert_eq!(world.text("opt/app/file") + &world.text("opt/app/deep/file"), "wholewhole", "{moment}");
        assert_eq!(world.leftovers(), Vec::<String>::new(), "{moment}");
        assert!(!world.at("work/app/.file.Xa81").exists(), "{moment}");
    }
}

#[test]
fn existing_folders_on_the_volume_are_used_and_never_changed() {
    let world = World::new();
    world.file("opt/app/file", "the image's");
    world.file("work/app/file", "theirs");
    world.file("work/app/.move_complete", "1");
    // An unfinished copy of an older image, or a folder of the user.
    world.file("opt/half/file", "the image's");
    world.file("opt/half/more", "the image's");
    world.file("work/half/file", "theirs");
    world.sync("app:half", "force").unwrap();
    assert_eq!(world.text("opt/app/file"), "theirs");
    assert_eq!(
        (world.text("opt/half/file"), world.text("opt/half/more")),
        ("theirs".into(), "the image's".into())
    );
}

#[test]
fn folders_that_cannot_move_stay_in_use_and_the_reason_is_reported() {
    let world = World::new();
    world.file("opt/desktopd/file", "");
    world.file("opt/file", "");
    world.file("opt/blocked/file", "");
    world.file("opt/works/file", "");
    world.file("work/blocked", "not a folder");
    world.file("opt/lost/file", "half of it");
    symlink(world.at("work/lost"), world.at("opt/.lost.desktopd-moved")).unwrap();
    symlink(world.at("work/gone"), world.at("opt/gone")).unwrap();
    symlink(world.at("opt/works"), world.at("opt/link")).unwrap();
    world.file("venv/main/pyvenv.cfg", "home = /usr/bin\nversion = 3.13.5\n");
    world.file("work/environments/python/main/pyvenv.cfg", "version_info = 3.11.2.final.0\n");
    world.file("work/environments/python/main/.move_complete", "1");
    world.file("opt/environments/python/main/pyvenv.cfg", "");
    let folders = "desktopd:..:a/b:file:blocked:lost:gone:link:works";
    let told = world.sync(folders, "force").unwrap_err();
    for words in [
        "/opt/desktopd belongs to the image",
        "\"..\" is not",
        "\"a/b\" is not",
        "opt/file is not a folder",
        "work/blocked is not a folder",
        "opt/lost was being replaced",
        "opt/gone was moved",
        "Python 3.11, and this image has Python 3.13",
        "opt/environments/python/main stays where it is",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("opt/link"), "{told}");
    assert!(world.is_link("opt/works"), "the others move nevertheless");
    for stays in ["opt/desktopd", "opt/blocked", "opt/lost", "venv/main"] {
        assert!(!world.is_link(stays) && world.at(stays).is_dir(), "{stays}");
    }
}

/// Other users can write to a volume, and root makes the copy.
#[test]
fn links_on_the_volume_that_lead_out_of_it_are_not_followed() {
    let world = World::new();
    world.file("opt/app/file", "app");
    world.file("theirs/kept", "theirs");
    world.file("venv/main/pyvenv.cfg", "version = 3.13.5\n");
    symlink(world.at("theirs"), world.at("work/.app.desktopd-sync")).unwrap();
    symlink(world.at("theirs"), world.at("work/environments")).unwrap();
    let told = world.sync("app:instance-tools", "force").unwrap_err();
    assert!(told.contains("main is not in the workspace"), "{told}");
    assert!(told.contains("/opt/instance-tools belongs to the image"), "{told}");
    assert!(world.is_link("opt/app") && !world.is_link("venv/main"));
    let left = fs::read_dir(world.at("theirs")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn waiting_for_another_container_on_the_volume_has_a_limit() {
    let world = World::new();
    world.file("opt/app/file", "app");
    let lock = Lock::take(&world.at("work").join(LOCK), "ext4", Duration::ZERO).unwrap();
    let told = world.sync("app", "force").unwrap_err();
    assert!(told.contains("since") && told.contains(LOCK), "{told}");
    assert!(!world.is_link("opt/app") && world.leftovers().is_empty());
    drop(lock);
    world.sync("app", "force").unwrap();
    assert!(world.is_link("opt/app"));
}
