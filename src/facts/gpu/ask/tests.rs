//! Tests of the questions and of the joined answers. The children themselves run in the tests of the whole program.

use std::fs;

use super::*;
use crate::facts::gpu::line::COLOR;

fn config(variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let mut problems = Vec::new();
    let env = crate::config::Environment::new(variables, &[], &mut problems);
    Config::read("/nonexistent".into(), env, problems)
}

#[test]
fn only_what_has_a_driver_to_ask_is_asked() {
    for (files, nvml, egl) in [
        (&[][..], false, false),
        // Left by a library of root, on a machine without a GPU.
        (&["dev/nvidiactl"], true, false),
        (&["dev/nvidia0", "dev/nvidiactl"], true, true),
        (&["proc/driver/nvidia/version"], true, false),
        (&["dev/dri/renderD128"], false, true),
        (&["dev/dri/card0"], false, true),
        (&["dev/dri/by-path"], false, false),
        (&["dev/dxg"], true, true),
        (&["sys/bus/pci/devices/0000:01:00.0/vendor"], false, false),
    ] {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let questions = Questions::of(&config(&[]), root.path(), false);
        assert_eq!((questions.nvml, questions.egl), (nvml, egl), "{files:?}");
        assert!(Questions::of(&config(&[]), root.path(), true).egl, "{files:?}");
    }
}

#[test]
fn drivers_are_asked_again_when_libraries_were_brought_or_named() {
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("dev/nvidia0", "");
    let mut before = Questions::of(&config(&[]), root.path(), false);
    for (file, text) in [
        ("opt/nvidia-drivers/version", "550.54.14\n"),
        ("opt/nvidia-drivers/version", "550.90.07\n"),
        ("usr/share/glvnd/egl_vendor.d/10_nvidia.json", "{}"),
    ] {
        write(file, text);
        let after = Questions::of(&config(&[]), root.path(), false);
        assert_ne!(before, after, "{file}: {text}");
        before = after;
    }
}

#[test]
fn driver_in_the_library_path_is_asked_and_a_child_gets_no_other_variable() {
    let root = tempfile::tempdir().unwrap();
    let path = format!(":/nonexistent:{}", root.path().display());
    let config =
        config(&[("LD_LIBRARY_PATH", &path), ("HF_TOKEN", "hf_secret"), ("GALLIUM_DRIVER", "llvmpipe")]);
    let before = Questions::of(&config, root.path(), false);
    assert!(!before.nvml);
    fs::write(root.path().join("libnvidia-ml.so.1"), "").unwrap();
    let questions = Questions::of(&config, root.path(), false);
    assert!(questions.nvml);
    assert_ne!(questions, before);
    let names: Vec<_> = questions.env.keys().map(|name| name.to_str().unwrap()).collect();
    let expected =
        ["GALLIUM_DRIVER", "LD_LIBRARY_PATH", "MESA_SHADER_CACHE_DISABLE", "__GL_SHADER_DISK_CACHE"];
    assert_eq!(names, expected);
}

#[test]
fn gpus_without_an_answer_have_the_reason_and_the_others_keep_theirs() {
    let driver = |count| Line::Driver { driver: "580.1".to_owned(), cuda: None, count };
    let gpu = |name: &str| NvmlDevice { name: Some(name.to_owned()), ..NvmlDevice::default() };
    let joined = |lines: Vec<Line>, asked: Result<(), &str>| {
        let mut heard = NvmlHeard::default();
        for line in lines {
            heard.take(line);
        }
        heard.joined(asked.map_err(str::to_owned))
    };
    assert_eq!(joined(vec![], Err("late")), Err("late".to_owned()));
    assert_eq!(joined(vec![], Ok(())), Err("NVML's library gave no answer".to_owned()));
    assert_eq!(joined(vec![driver(0)], Ok(())).unwrap().devices, []);
    let lost = NvmlDevice { error: Some("late".to_owned()), ..NvmlDevice::default() };
    let found = joined(vec![driver(2), Line::Gpu(gpu("a"))], Err("late")).unwrap();
    assert_eq!(found.devices, [gpu("a"), lost]);
    // More GPUs than were announced, and more than can be.
    assert_eq!(
        joined(vec![driver(1), Line::Gpu(gpu("a")), Line::Gpu(gpu("b"))], Ok(())).unwrap().devices.len(),
        1
    );
    assert_eq!(joined(vec![driver(u32::MAX)], Err("late")).unwrap().devices.len(), MOST_GPUS as usize);
}

#[test]
fn devices_that_could_not_be_initialized_are_not_counted() {
    let listed = |card: &str| Listed { card: Some(card.to_owned()), ..Listed::default() };
    let drawn = Drawn { vendor: None, renderer: Some("llvmpipe".to_owned()), pixel: COLOR };
    let heard = |initialized, drawn, error: Option<&str>| DeviceHeard {
        initialized,
        drawn,
        error: error.map(str::to_owned),
    };
    let rendered = joined(
        ["a", "b", "c", "d"].map(listed).to_vec(),
        vec![
            heard(false, None, Some("refused")),
            heard(true, Some(drawn.clone()), None),
            heard(true, None, Some("crashed")),
            heard(true, Some(Drawn { pixel: [0; 4], ..drawn }), None),
        ],
    );
    let found: Vec<_> =
        rendered.devices.iter().map(|device| (device.index, device.pixel, &device.error)).collect();
    let error = |text: &str| Some(text.to_owned());
    let expected = [
        (None, false, error("refused")),
        (Some(0), true, None),
        (Some(1), false, error("crashed")),
        (Some(2), false, error("the pixel that was drawn came back with another color")),
    ];
    assert_eq!(found, expected.each_ref().map(|(index, pixel, error)| (*index, *pixel, error)));
    assert!(rendered.devices[1].software && !rendered.devices[2].software);
}

#[test]
fn without_a_list_there_is_a_reason() {
    let reason = |error: Option<&str>| {
        joined(Vec::new(), vec![DeviceHeard { error: error.map(str::to_owned), ..DeviceHeard::default() }])
            .reason
    };
    assert_eq!(reason(Some("crashed")).as_deref(), Some("crashed"));
    assert!(reason(None).unwrap().contains("libegl-mesa0"));
}
