//! The lists of the image's programs, and the script that chooses them.

use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_value_of_apps_has_its_lists_and_another_value_is_refused_in_one_sentence() {
    for (value, lists) in [
        ("minimal", &[][..]),
        ("standard", &["apps-standard.txt"]),
        ("studio", &["apps-standard.txt", "apps-studio.txt"]),
        ("dev", &["apps-standard.txt", "apps-dev.txt"]),
    ] {
        let output = Command::new(root().join("docker/install/apps.sh")).arg(value).output().expect("run it");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{value}");
        assert_eq!(printed.lines().collect::<Vec<_>>(), lists, "{value}");
        for list in lists {
            let file = root().join("docker/packages").join(list);
            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{list}: {error}"));
            assert!(text.lines().any(|line| !line.starts_with('#')), "{list} has no package");
        }
    }
    // On a base image without bash this script works, so that the sentence of prepare.sh is the only one.
    for script in ["apps.sh", "prepare.sh"] {
        let text = std::fs::read_to_string(root().join("docker/install").join(script)).expect("a script");
        assert!(text.starts_with("#!/bin/sh\n"), "{script} is for any shell");
    }
    for value in ["", "Standard", "full"] {
        let output = Command::new(root().join("docker/install/apps.sh")).arg(value).output().expect("run it");
        assert_eq!(output.status.code(), Some(1), "{value}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            format!(
                "apps.sh: the build argument APPS is '{value}': it must be minimal, standard, studio or dev\n"
            )
        );
    }
}
