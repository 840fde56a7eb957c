//! The screen as planned, and what the container may do.

use maud::{Markup, html};

use crate::plan::display::Report;
use crate::plan::display::report::Screen;

use super::parts::terms;

pub(super) fn screen(report: &Report) -> Markup {
    let Screen { width, height, room, resize, dpi, depth, refresh } = &report.screen;
    let limit = if *resize {
        format!("{room}; browsers choose the size up to this")
    } else {
        format!("{room}; WEBRTC_ENABLE_RESIZE lets browsers choose the size")
    };
    let facts = [
        ("Display", format!(":{}", report.number)),
        ("Size at the start", format!("{width}x{height}")),
        ("Largest size", limit),
        ("Dots per inch", dpi.to_string()),
        ("Colour depth", format!("{depth} bits")),
        ("Highest frame rate", format!("{refresh} frames a second")),
        ("Encoder", report.encoder.clone()),
    ];
    html! {
        section #screen aria-labelledby="screen-title" { h2 #screen-title { "Screen and stream" } (terms(&facts)) }
    }
}

pub(super) fn container(report: &Report) -> Markup {
    let container = &report.probe.container;
    let known = |value: Option<bool>, no: &str| match value {
        None => "not known".to_owned(),
        Some(true) => "yes".to_owned(),
        Some(false) => no.to_owned(),
    };
    let displays: Vec<String> = container.foreign_x.iter().map(|number| format!(":{number}")).collect();
    let (user, groups) = report.user.as_ref().map_or_else(Default::default, |user| {
        let groups = user.groups.iter().map(|(id, name)| match name {
            Some(name) => format!("{name} ({id})"),
            None => id.to_string(),
        });
        (format!("{} ({})", user.name, user.uid), groups.collect::<Vec<_>>().join(", "))
    });
    let facts = [
        ("Privileged", known(container.privileged, "no")),
        ("CAP_SYS_ADMIN", known(container.sys_admin, "no")),
        ("CAP_MKNOD", known(container.mknod, "no: device nodes cannot be made here")),
        ("/dev/shm", container.shm.map(|bytes| format!("{} MiB", bytes >> 20)).unwrap_or_default()),
        (
            "Displays of other X servers",
            if displays.is_empty() { "none".to_owned() } else { displays.join(" ") },
        ),
        ("WSL", if container.wsl { "yes".to_owned() } else { String::new() }),
        ("NVIDIA_VISIBLE_DEVICES", container.visible.clone().unwrap_or_default()),
        ("NVIDIA_DRIVER_CAPABILITIES", container.capabilities.clone().unwrap_or_default()),
        ("User", user),
        ("Groups", groups),
    ];
    html! {
        section #container aria-labelledby="container-title" { h2 #container-title { "Container" } (terms(&facts)) }
    }
}
