//! The services that are shipped, on each kind of display.

use std::ffi::OsStr;

use super::*;
use crate::facts::gpu::{Container, Gpu, Gpus, Libraries, Nodes, Nvidia, Vendor};

/// A machine on which all kinds of display are possible.
fn machine() -> Facts {
    let gpu = Gpu {
        vendor: Vendor::Nvidia,
        name: Some("NVIDIA L4".into()),
        pci: Some("0000:c1:00.0".into()),
        uuid: None,
        driver: None,
        nodes: Nodes { card: Some("/dev/dri/card0".into()), ..Nodes::default() },
        egl: None,
        cuda: None,
        encoder: None,
        encoder_reason: None,
        usable: true,
        reason: String::new(),
    };
    let gpus = Gpus {
        gpus: vec![gpu],
        nvidia: Nvidia { nodes: vec!["nvidia-modeset".into()], ..Nvidia::default() },
        libraries: Libraries {
            glx_nvidia: Some("/lib/libGLX_nvidia.so.0".into()),
            xorg_nvidia: Some("/opt/nvidia/xorg/nvidia_drv.so".into()),
            ..Libraries::default()
        },
        container: Container { privileged: Some(false), ..Container::default() },
        ..Gpus::default()
    };
    let programs = ["Xorg", "Xvfb", "vglrun", "startplasma-x11", "dbus-daemon", "selkies"];
    let programs = programs.map(|name| (name, format!("/usr/bin/{name}")));
    let programs = Programs::given("/usr/bin", programs.iter().map(|(name, file)| (*name, file.as_str())));
    Facts { programs, gpus, ..facts() }
}

fn planned(environment: &[(&str, &str)]) -> Plan {
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let settings = "[desktop-environment]\nVGL_DISPLAY = \"${vgl-device}\"\n";
    let config = config(environment, settings, &services);
    assert_eq!(config.problems, []);
    Plan::build(&config, &machine())
}

#[test]
fn each_display_has_its_server_and_other_services_need_it_by_the_same_name() {
    for (wish, server, other, why) in [
        ("auto", "xorg", "xvfb", "the display is Xorg with the GPU's driver"),
        ("virtualgl", "xvfb", "xorg", "the display is Xvfb with VirtualGL"),
        ("llvmpipe", "xvfb", "xorg", "the display is Xvfb with llvmpipe"),
    ] {
        let plan = planned(&[("DESKTOPD_DISPLAY", wish)]);
        assert_eq!((reason(&plan, server), reason(&plan, other)), (String::new(), why.to_owned()));
        assert_eq!(plan.unit(server).unwrap().aliases, ["x-server", "x"], "{wish}");
        assert_eq!(plan.unit(other).unwrap().aliases, Vec::<String>::new(), "{wish}");
        for name in ["kde", "selkies"] {
            assert!(
                plan.unit(name).unwrap().relations.needs.iter().any(|need| need == server),
                "{wish}: {name}"
            );
        }
        assert_eq!(plan.unit("kde").unwrap().relations.restart_with.as_deref(), Some(server));
    }
}

#[test]
fn xorg_runs_as_root_with_the_configuration_of_the_chosen_gpu() {
    let plan = planned(&[("DISPLAY_SIZEW", "1280"), ("DISPLAY_SIZEH", "720"), ("VIDEO_PORT", "DP-0")]);
    let unit = plan.unit("xorg").unwrap();
    assert_eq!(unit.launch.identity, None);
    assert_eq!(unit.restart.limit, Some(2));
    let [file] = &unit.launch.files[..] else { panic!("{:?}", unit.launch.files) };
    let config = unit.launch.argv.iter().position(|word| word == "-config").unwrap();
    assert_eq!(unit.launch.argv[config + 1], file.path.display().to_string());
    for line in [
        "BusID \"PCI:193@0:0:0\"",
        "Modeline \"1280x720R\" ",
        "Virtual 1280 720",
        "Option \"ConnectedMonitor\" \"DP-0\"",
        "ModulePath \"/opt/nvidia/xorg\"",
    ] {
        assert!(file.content.contains(line), "{line} is not in {}", file.content);
    }
    let resizable = planned(&[("WEBRTC_ENABLE_RESIZE", "true")]);
    assert_eq!(reason(&resizable, "x-screen"), "Xorg starts with this size");
}

#[test]
fn the_session_is_under_virtualgl_only_on_its_display() {
    let session = |environment: &[(&str, &str)]| {
        let plan = planned(environment);
        let kde = plan.unit("kde").unwrap();
        let value = |name: &str| kde.launch.env.get(OsStr::new(name)).map(|v| v.to_str().unwrap().to_owned());
        (kde.launch.argv.join(" "), value("VGL_DISPLAY"), value("VGL_FPS"))
    };
    let wish = ("DESKTOPD_DISPLAY", "virtualgl");
    let under = "/usr/bin/vglrun +wm /usr/bin/startplasma-x11".to_owned();
    let device = || Some("/dev/dri/card0".to_owned());
    assert_eq!(session(&[wish]), (under.clone(), device(), Some("60".into())));
    assert_eq!(session(&[wish, ("REFRESH", "30")]), (under.clone(), device(), Some("30".into())));
    // A frame rate of the user's has priority. The device is the one that was chosen by the user's.
    let mine = [wish, ("VGL_FPS", "20"), ("VGL_DISPLAY", "egl")];
    assert_eq!(session(&mine), (under, device(), Some("20".into())));
    for kind in ["xorg", "llvmpipe"] {
        let plain = ("/usr/bin/startplasma-x11".to_owned(), None, None);
        assert_eq!(session(&[("DESKTOPD_DISPLAY", kind), ("VGL_DISPLAY", "egl")]), plain, "{kind}");
    }
}
