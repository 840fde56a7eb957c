//! The facts for a display besides the GPUs: displays that are in use, pictures that the host shows, and what failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::sys::read;

/// The programs that decide which kinds of display are possible.
pub const PROGRAMS: [&str; 3] = ["Xorg", "Xvfb", "vglrun"];

/// How many entries of a folder are looked at.
const MOST: usize = 4096;

/// One kind of display, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DisplayKind"))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Xorg with the GPU's own driver.
    Xorg,
    /// Xvfb; programs render on the GPU through VirtualGL.
    Virtualgl,
    /// Xvfb, rendered by the CPU.
    Llvmpipe,
}

impl Kind {
    /// The name of what draws, for sentences.
    pub fn short(self) -> &'static str {
        match self {
            Self::Xorg => "Xorg",
            Self::Virtualgl => "VirtualGL",
            Self::Llvmpipe => "llvmpipe",
        }
    }

    /// The kind as `DESKTOPD_DISPLAY` names it, and as folders of settings are named.
    pub fn word(self) -> &'static str {
        match self {
            Self::Xorg => "xorg",
            Self::Virtualgl => "virtualgl",
            Self::Llvmpipe => "llvmpipe",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xorg => "Xorg with the GPU's driver",
            Self::Virtualgl => "Xvfb with VirtualGL",
            Self::Llvmpipe => "Xvfb with llvmpipe",
        })
    }
}

/// The most connectors that are looked at.
const MOST_CONNECTORS: usize = 256;

/// The facts for a display that are not about GPUs alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisplayFacts {
    /// X displays whose sockets exist.
    pub taken: BTreeSet<u32>,
    /// X displays of other servers that are in use. Kept here beside [`crate::facts::gpu::Container::foreign_x`] because
    /// these facts are probed once, before our own server runs.
    pub foreign: BTreeSet<u32>,
    /// Cards that show a picture now, each with the connector: a console or an X server of the host holds the modes of
    /// such a card. By PCI address, or by name (`card0`) for a card that is not on PCI.
    pub showing: BTreeMap<String, String>,
    /// The kinds that were tried since the start and failed, with the reasons. Not probed: known while running.
    pub failed: BTreeMap<Kind, String>,
}

impl DisplayFacts {
    /// Probes below `root`, which is `/` except in tests and for plans of other machines.
    pub fn probe(root: &Path) -> Self {
        let taken = names(&root.join("tmp/.X11-unix"));
        let taken = taken.iter().filter_map(|name| name.strip_prefix('X')?.parse().ok()).collect();
        Self { taken, showing: showing(&root.join("sys/class/drm")), ..Self::default() }
    }
}

/// The cards with a connector that shows a picture. A container sees them also without the device nodes.
fn showing(folder: &Path) -> BTreeMap<String, String> {
    let names = names(folder);
    let connectors = names.iter().filter_map(|name| {
        let (card, connector) = name.split_once('-')?;
        card.starts_with("card").then_some((name, card, connector))
    });
    let mut showing = BTreeMap::new();
    for (name, card, connector) in connectors.take(MOST_CONNECTORS) {
        if read::kernel_text(folder.join(name).join("enabled")).trim() != "enabled" {
            continue;
        }
        let device = read::kernel_text(folder.join(card).join("device/uevent"));
        let pci = device.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="));
        showing.entry(pci.unwrap_or(card).trim().to_owned()).or_insert_with(|| connector.to_owned());
    }
    showing
}

/// The names in a folder that are text.
fn names(folder: &Path) -> Vec<String> {
    read::names_where(folder, MOST, |_| true).0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn displays_and_pictures_of_the_host_are_found_below_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let drm = "sys/class/drm";
        for (file, text) in [
            ("tmp/.X11-unix/X7", ""),
            ("tmp/.X11-unix/lock", ""),
            (&*format!("{drm}/card0-HDMI-A-1/enabled"), "disabled\n"),
            (&format!("{drm}/card0-DP-1/enabled"), "enabled\n"),
            (&format!("{drm}/card0/device/uevent"), "DRIVER=nvidia\nPCI_SLOT_NAME=0000:01:00.0\n"),
            (&format!("{drm}/card1-Virtual-1/enabled"), "enabled\n"),
            (&format!("{drm}/card2-VGA-1/enabled"), "disabled\n"),
            (&format!("{drm}/version"), "drm"),
        ] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let facts = DisplayFacts::probe(root.path());
        assert_eq!(facts.taken, BTreeSet::from([7]));
        let pairs = [("0000:01:00.0", "DP-1"), ("card1", "Virtual-1")];
        assert_eq!(facts.showing, pairs.map(|(card, at)| (card.to_owned(), at.to_owned())).into());
    }

    #[test]
    fn a_machine_without_files_has_no_displays() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(DisplayFacts::probe(root.path()), DisplayFacts::default());
    }
}
