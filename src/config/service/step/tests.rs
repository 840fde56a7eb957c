//! Keys of steps: mistakes, and templates.

use std::path::Path;

use super::*;
use crate::config::problem::Problem;
use crate::config::service::{Run, Service};

#[test]
fn all_mistakes_are_found_when_the_file_is_read() {
    for (text, expected) in [
        ("step = [\"prepare\"]", &["step: [\"prepare\"] is not a table"][..]),
        ("[step]", &["step.name: it is missing"]),
        (
            "[step]\nname = \"prepar\"",
            &["step.name: \"prepar\" is not a boot step; did you mean \"prepare\"?"],
        ),
        (
            "[step]\nname = \"prepare\"\nhome = 5\nuid = \"x\"\ngid = \"${gid}\"\nhom = \"${home}\"",
            &[
                "step.runtime-dir: it is missing",
                "step.hom: unknown field `hom`",
                "step.home: invalid type: integer `5`",
                "step.uid: \"x\" is not a number",
            ],
        ),
        (
            "[step]\nname = \"hooks\"\nrun-dir = \"/r\"\nlimit = \"5\"\nfolders = [{ path = \"/a\", x = \"\" }]",
            &["step.folders: unknown field `x`", "step.limit: \"5\" is not a duration"],
        ),
        (
            "[step]\nname = \"workspace-files\"\nwait = \"5m\"\n\
             [step.workspace]\nfolder = \"/w\"\nmounted = \"\"\nuid = \"x\"\ngid = \"\"",
            &["step.workspace: \"x\" is not a number"],
        ),
    ] {
        let mut problems = Vec::new();
        assert_eq!(Service::parse(Path::new("/s/a.toml"), text, &mut problems), None);
        let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for expected in expected {
            assert!(told.iter().any(|told| told.contains(expected)), "{expected}: {told:?}");
        }
    }
}

#[test]
fn every_step_is_read_from_the_names_of_its_keys() {
    for (name, keys) in STEPS {
        let texts = keys.iter().map(|key| (key.replace('_', "-"), Value::from("${x}")));
        let spec = StepSpec { name: (*name).to_owned(), keys: texts.collect() };
        assert_eq!(spec.mistakes(), []);
        Step::new(name, Map::new()).unwrap();
    }
    let text = "[step]\nname = \"x-keys\"\ndisplay = \"${display}\"";
    let service = Service::parse(Path::new("/s/a.toml"), text, &mut Vec::new()).unwrap();
    assert!(service.oneshot && matches!(service.run, Run::Step(spec) if spec.name == "x-keys"));
}
