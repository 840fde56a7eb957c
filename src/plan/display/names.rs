//! GPUs as people know them.

use crate::facts::gpu::{Gpu, Vendor};

/// The GPU's name and address: `NVIDIA GeForce RTX 4090 (0000:01:00.0)`.
pub(super) fn of(gpu: &Gpu) -> String {
    let driver = gpu.driver.as_ref().map_or("unknown", |driver| &driver.name);
    let name = gpu.name.clone().unwrap_or_else(|| match gpu.vendor {
        Vendor::Nvidia | Vendor::Amd | Vendor::Intel => gpu.title().to_owned(),
        Vendor::Display => "card without 3D".to_owned(),
        Vendor::Virtual | Vendor::Other => format!("{driver} GPU"),
    });
    let name = plain(&name);
    match place(gpu) {
        Some(place) => format!("{name} ({place})"),
        None => name,
    }
}

/// A name that a driver told, without characters that move the cursor of a terminal or turn the direction of the text.
pub(super) fn plain(name: &str) -> String {
    let turns = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars().filter(|c| !c.is_control() && !turns(c)).collect()
}

/// The most telling address of a GPU.
fn place(gpu: &Gpu) -> Option<&str> {
    [&gpu.pci, &gpu.nodes.card, &gpu.nodes.render, &gpu.nodes.nvidia].into_iter().find_map(Option::as_deref)
}
