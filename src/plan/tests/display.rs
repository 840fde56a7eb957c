//! The services that are shipped, on each kind of display.

use std::ffi::OsStr;

use super::*;
use crate::facts::gpu::{Container, Gpu, Gpus, Libraries, Nodes, Nvidia, Vendor};
use crate::sys::launch::Orders;

/// The part of the settings that is about VirtualGL.
const SETTINGS: &str = "[desktop-environment]\nVGL_DISPLAY = \"${vgl-device}\"\nVGL_FPS = \"${vgl-fps}\"\n";

/// A machine on which all kinds of display are possible.
fn machine() -> Facts {
    let gpu = Gpu {
        vendor: Vendor::Nvidia,
        name: Some("NVIDIA L4".into()),
        pci: Some("0000:c1:00.0".into()),
        nodes: Nodes { card: Some("/dev/dri/card0".into()), ..Nodes::default() },
        usable: true,
        ..Gpu::default()
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
    let programs = ["Xorg", "Xvfb", "vglrun", "startplasma-x11", "dbus-daemon", "selkies", "app"];
    let programs = programs.map(|name| (name, format!("/usr/bin/{name}")));
    let programs = Programs::given("/usr/bin", programs.iter().map(|(name, file)| (*name, file.as_str())));
    Facts { programs, gpus, ..facts() }
}

fn planned(environment: &[(&str, &str)]) -> Plan {
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let config = config(environment, SETTINGS, &services);
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

const WISH: (&str, &str) = ("DESKTOPD_DISPLAY", "virtualgl");

/// A command line, and what VirtualGL reads from its environment: the device and the frame rate.
type Drawing = (String, Option<String>, Option<String>);

fn drawing(orders: &Orders) -> Drawing {
    let value = |name: &str| orders.env.get(OsStr::new(name)).map(|v| v.to_str().unwrap().to_owned());
    (orders.argv.join(" "), value("VGL_DISPLAY"), value("VGL_FPS"))
}

fn expected(line: &str, device: &str, rate: &str) -> Drawing {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (line.to_owned(), some(device), some(rate))
}

#[test]
fn the_session_is_under_virtualgl_only_on_its_display() {
    let session = |environment: &[(&str, &str)]| drawing(&planned(environment).unit("kde").unwrap().launch);
    let under = "/usr/bin/vglrun /usr/bin/startplasma-x11";
    assert_eq!(session(&[WISH]), expected(under, "/dev/dri/card0", "60"));
    assert_eq!(session(&[WISH, ("REFRESH", "30")]), expected(under, "/dev/dri/card0", "30"));
    // A frame rate of the user's has priority. The device is the one that was chosen by the user's.
    let mine = [WISH, ("VGL_FPS", "20"), ("VGL_DISPLAY", "egl")];
    assert_eq!(session(&mine), expected(under, "/dev/dri/card0", "20"));
    for kind in ["xorg", "llvmpipe"] {
        let plain = expected("/usr/bin/startplasma-x11", "", "");
        assert_eq!(session(&[("DESKTOPD_DISPLAY", kind), ("VGL_DISPLAY", "egl")]), plain, "{kind}");
    }
}

#[test]
fn of_the_shipped_services_the_session_alone_is_under_virtualgl() {
    let plan = planned(&[WISH]);
    let under = |unit: &&Unit| unit.launch.argv.iter().any(|word| word.ends_with("vglrun"));
    assert_eq!(plan.units.iter().filter(under).map(|unit| &*unit.name).collect::<Vec<_>>(), ["kde"]);
}

#[test]
fn what_users_start_draws_as_the_session_does() {
    for (title, text, line, device, rate) in [
        ("outside the desktop", "", "/usr/bin/app", "", ""),
        ("in the desktop", "desktop = true", "/usr/bin/vglrun /usr/bin/app", "/dev/dri/card0", "60"),
        ("draws nothing", "desktop = true\nvirtualgl = false", "/usr/bin/app", "/dev/dri/card0", "60"),
        ("draws, no desktop", "virtualgl = true", "/usr/bin/vglrun /usr/bin/app", "/dev/dri/card0", "60"),
        (
            "names another GPU",
            "desktop = true\nenvironment = { VGL_DISPLAY = \"egl1\", VGL_FPS = \"5\" }",
            "/usr/bin/vglrun /usr/bin/app",
            "egl1",
            "5",
        ),
    ] {
        let service = format!("command = [\"app\"]\n{text}");
        let config = config(&[WISH], SETTINGS, &[("app", &service)]);
        assert_eq!(config.problems, [], "{title}");
        let plan = Plan::build(&config, &machine());
        assert_eq!(drawing(&plan.unit("app").unwrap().launch), expected(line, device, rate), "{title}");
    }
    let service = "user = \"own\"\nvirtualgl = true\n[step]\nname = \"prepare\"";
    let step = config(&[], "", &[("prepare", service)]);
    assert!(
        step.problems.iter().any(|problem| problem.to_string().contains("virtualgl: a step draws nothing"))
    );
}

#[test]
fn programs_from_outside_get_the_session_and_always_its_user() {
    let session = |environment: &[(&str, &str)]| planned(environment).session.unwrap();
    let orders = session(&[WISH, ("WEB_PASSWORD", "secret-password"), ("HF_TOKEN", "mine")]);
    assert_eq!(drawing(&orders), expected("/usr/bin/vglrun", "/dev/dri/card0", "60"));
    assert_eq!(orders.identity.map(|identity| identity.uid), Some(1000));
    assert_eq!(orders.env.get(OsStr::new("HOME")), Some(&"/home/user".into()));
    assert_eq!(orders.env.get(OsStr::new("HF_TOKEN")), Some(&"mine".into()));
    assert_eq!(orders.env.get(OsStr::new("WEB_PASSWORD")), None);
    for kind in ["xorg", "llvmpipe"] {
        assert_eq!(drawing(&session(&[("DESKTOPD_DISPLAY", kind)])), expected("", "", ""), "{kind}");
    }
    // Where the daemon is not root, root still has to become its user.
    let daemon = Identity { uid: 1000, gid: 1000, groups: Vec::new() };
    let orders = Plan::build(&config(&[], SETTINGS, &[]), &Facts { daemon, ..machine() }).session.unwrap();
    assert_eq!(orders.identity.map(|identity| identity.uid), Some(1000));
    let daemon = Identity { uid: 4321, gid: 4321, groups: Vec::new() };
    let missing = Facts { daemon, account: Err("no user".into()), ..machine() };
    assert_eq!(Plan::build(&config(&[], SETTINGS, &[]), &missing).session, Err("no user".to_owned()));
}

#[test]
fn the_gpu_composes_the_screen_only_where_it_draws_the_screen() {
    let folders = |kind: &str, forced: Option<&str>| {
        let text = include_str!("../../../config/desktopd.toml");
        let services = shipped();
        let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let plan = Plan::build(&config(&[("DESKTOPD_DISPLAY", kind)], text, &services), &machine());
        let orders = [plan.unit("kde").unwrap().launch.clone(), plan.session.unwrap()];
        orders.map(|orders| {
            let compose = orders.env.get(OsStr::new("KWIN_COMPOSE")).map(|value| value.to_str().unwrap());
            assert_eq!(compose, forced, "{kind}");
            orders.env[OsStr::new("XDG_CONFIG_DIRS")].to_str().unwrap().to_owned()
        })
    };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let kinds = [("xorg", "true", None), ("virtualgl", "false", Some("N")), ("llvmpipe", "false", None)];
    for (kind, composed, forced) in kinds {
        for folders in folders(kind, forced) {
            // The first folder that has the file wins.
            let file = |folder: &str| shipped.join(folder.strip_prefix("/c/")?).join("kwinrc").into();
            let mut files = folders.split(':').filter_map(file).filter(|file: &PathBuf| file.exists());
            let text = std::fs::read_to_string(files.next().unwrap()).unwrap();
            assert!(
                text.ends_with(&format!("[Compositing]\nEnabled={composed}\n")),
                "{kind}: {folders}: {text}"
            );
        }
    }
}
