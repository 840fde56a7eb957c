//! Tests of versions and of the judgement. Whole machines are in `tests/machines`.

use std::fs;
use std::path::Path;

use super::*;

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn toolkit(text: &str, compat: bool) -> Toolkit {
    let path = format!("/usr/local/cuda-{text}");
    Toolkit { version: version(text), compat: compat.then(|| format!("{path}/compat")), path }
}

#[test]
fn a_branch_offers_its_version_of_cuda() {
    for (module, expected) in [
        ("550.54.14", Some("12.4")),
        ("590.44.01", Some("13.1")),
        ("552.10", Some("12.4")),
        ("999.1", Some("13.1")),
        ("440.1", None),
        ("x", None),
    ] {
        assert_eq!(of_branch(module).map(|version| version.to_string()).as_deref(), expected, "{module}");
    }
}

#[test]
fn toolkits_are_found_the_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["cuda-13.9", "cuda-13.10/compat", "cuda-13", "cuda-12.x", "cudax-13.1"] {
        fs::create_dir_all(dir.path().join("usr/local").join(folder)).unwrap();
    }
    fs::write(dir.path().join("usr/local/cuda-13.10/compat/libcuda.so.1"), "").unwrap();
    fs::write(dir.path().join("usr/local/cuda-14.1"), "no folder").unwrap();
    assert_eq!(toolkits(Root::new(dir.path())), [toolkit("13.10", true), toolkit("13.9", false)]);
}

#[test]
fn consumers_gpus_are_known_by_name() {
    for (name, expected) in [
        ("NVIDIA GeForce RTX 3090", true),
        ("NVIDIA TITAN RTX", true),
        ("NVIDIA H100 80GB HBM3", false),
        ("NVIDIA RTX 6000 Ada Generation", false),
        ("Tesla T4", false),
    ] {
        assert_eq!(is_for_consumers(name), expected, "{name}");
    }
}

#[test]
fn each_machine_has_its_state() {
    let (new, old, minor) = (toolkit("13.1", true), toolkit("12.2", false), toolkit("12.9", true));
    let bare = toolkit("13.1", false);
    let tried = |library: &str, result| Trial {
        driver: "550.54.14".into(),
        gpus: vec!["NVIDIA H100".into()],
        library: library.into(),
        result,
    };
    let of_new = |result| vec![tried("/usr/local/cuda-13.1/compat/libcuda.so.1", result)];
    let driver = "/usr/lib/x86_64-linux-gnu/libcuda.so.1";
    let compat = "/usr/local/cuda-13.1/compat/libcuda.so.1";
    let unknown = Err("it crashed".to_owned());
    let known = Ok(version("12.4"));
    for (toolkits, gpu, offers, library, trials, state, text) in [
        (vec![], "NVIDIA H100", &known, driver, vec![], State::NotNeeded, "no CUDA toolkit"),
        (vec![old.clone()], "NVIDIA H100", &known, driver, vec![], State::NotNeeded, "enough for"),
        (vec![new.clone()], "NVIDIA H100", &unknown, driver, vec![], State::Unknown, "it crashed"),
        (vec![new.clone()], "NVIDIA H100", &known, driver, vec![], State::Untried, "/cuda-13.1/compat"),
        // A failure that may pass does not count.
        (vec![new.clone()], "NVIDIA H100", &known, driver, of_new(999), State::Untried, "tries"),
        (vec![new.clone()], "NVIDIA H100", &known, driver, of_new(804), State::Refused, "answers 804"),
        (
            vec![new.clone(), old.clone()],
            "NVIDIA H100",
            &known,
            driver,
            of_new(803),
            State::Refused,
            "; use the toolkit in /usr/local/cuda-12.2, or use a host whose driver is 580 or newer",
        ),
        // What was tried with another GPU says nothing.
        (vec![new.clone()], "Tesla T4", &known, driver, of_new(804), State::Untried, ""),
        (
            vec![new.clone()],
            "NVIDIA GeForce RTX 3090",
            &known,
            driver,
            vec![],
            State::Refused,
            "NVIDIA GeForce RTX 3090 is none; use a host whose driver is 580 or newer",
        ),
        (
            vec![bare],
            "NVIDIA H100",
            &known,
            driver,
            vec![],
            State::Missing,
            "; install the package cuda-compat-13-1 in the image",
        ),
        (
            vec![minor],
            "NVIDIA GeForce RTX 3090",
            &known,
            driver,
            vec![],
            State::MinorVersion,
            "minor-version compatibility",
        ),
        (vec![new.clone()], "NVIDIA H100", &known, compat, vec![], State::On, "CUDA 13.1 from /usr/local"),
    ] {
        let machine = Machine {
            has_gpu: true,
            driver: offers.clone(),
            module: Some("550.54.14"),
            toolkits: &toolkits,
            gpus: vec![gpu.to_owned()],
            listed: vec![gpu.to_owned()],
            library: Some(library),
            trials,
        };
        let found = judge(Root::new(Path::new("/nonexistent")), &machine);
        assert_eq!(found.state, state, "{gpu} {toolkits:?}: {found:?}");
        assert!(found.reason.contains(text), "{text}: {found:?}");
        let none = judge(Root::new(Path::new("/nonexistent")), &Machine { has_gpu: false, ..machine });
        assert_eq!(none.state, State::NotNeeded);
    }
}
