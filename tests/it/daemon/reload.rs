//! Reloads of the configuration: unchanged units are not touched, and a mistake changes nothing.

use std::fs;

use crate::daemon::world::{World, pid_of, until};

#[test]
fn a_reload_without_a_change_alters_no_process() {
    let world = World::running(&[
        ("a", "@polite"),
        ("b", "@polite\nneeds = [\"a\"]"),
        ("once", "type = \"oneshot\"\ncommand = [\"true\"]"),
    ]);
    world.until_up();
    let before = world.status()["units"].clone();
    assert_eq!(world.tell(&["reload"]), "nothing changed\n");
    // Files written again with the same contents.
    for name in ["a", "b"] {
        let file = world.path(&format!("services/{name}.toml"));
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
    }
    assert_eq!(world.tell(&["reload"]), "nothing changed\n");
    assert_eq!(world.status()["units"], before);
}

#[test]
fn changed_files_are_noticed_without_a_reload_command() {
    let world = World::running(&[("a", "@polite"), ("b", "@polite")]);
    world.until_up();
    let (a, b) = (pid_of(&world.unit("a")), pid_of(&world.unit("b")));
    world.service("c", "@polite\nneeds = [\"a\"]");
    world.until_state("c", "ready");
    world.service("b", "@polite\ndescription = \"another\"");
    let changed = until("b runs anew", || {
        let unit = world.unit("b");
        (unit["state"] == "ready" && pid_of(&unit) != b).then_some(unit)
    });
    assert_eq!(changed["description"], "another");
    fs::remove_file(world.path("services/c.toml")).unwrap();
    let gone = world.until_state("c", "skipped");
    assert_eq!(gone["reason"], "its file was removed");
    assert_eq!(pid_of(&world.unit("a")), a, "its process is the same");
}

#[test]
fn a_mistake_changes_nothing_and_is_reported() {
    let world = World::running(&[("a", "@polite"), ("b", "@polite")]);
    world.until_up();
    let before = world.status()["units"].clone();
    world.service("a", "@polite\nned = [\"b\"]");
    world.service("new", "@polite");
    let refused = world.cli(&["reload"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("services/a.toml: ned: unknown key; did you mean `needs`?"), "{refused:?}");
    assert_eq!(world.status()["units"], before);
    world.until_said("but nothing was changed: ");
    // After the correction, all changes apply.
    world.service("a", "@polite\nneeds = [\"b\"]");
    world.until_state("new", "ready");
    let a = until("a runs anew", || {
        let unit = world.unit("a");
        (unit["state"] == "ready" && unit["needs"] == serde_json::json!(["b"])).then_some(unit)
    });
    assert!(pid_of(&a) > 0);
}

#[test]
fn a_changed_file_clears_a_failure() {
    let world = World::running(&[("a", "command = [\"false\"]\nuser = \"own\"\nrestart-limit = 1")]);
    world.until_state("a", "failed");
    world.service("a", "@polite");
    world.until_state("a", "ready");
}
