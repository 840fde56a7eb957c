//! What this machine is made of.

use std::path::Path;

use maud::{Markup, html};

use crate::sys::{read, version};

/// The version of the host's kernel.
const KERNEL: &str = "/proc/sys/kernel/osrelease";

/// The version of NVIDIA's driver in the kernel, where it is loaded.
const NVIDIA: &str = "/proc/driver/nvidia/version";

pub(super) fn section() -> Markup {
    let build = version::build();
    let text = |path: &str| read::text(Path::new(path), read::BY_HAND).ok();
    let kernel = text(KERNEL).map(|text| text.trim().to_owned());
    let driver = text(NVIDIA).and_then(|text| driver(&text));
    html! {
        section #versions aria-labelledby="versions-title" {
            h2 #versions-title { "Versions" }
            dl {
                dt { "desktopd" } dd { (build.version) }
                dt { "Revision" }
                dd {
                    (build.revision.unwrap_or("unknown"))
                    @if build.changed == Some(true) { ", with changes that are not committed" }
                }
                @if let Some(kernel) = kernel { dt { "Kernel" } dd { (kernel) } }
                @if let Some(driver) = driver { dt { "NVIDIA's driver" } dd { (driver) } }
                dt { "Licences" } dd { "of all programs of the image: " code { "/usr/share/doc/*/copyright" } }
                dt { "For a bug report" } dd { code { "desktopd doctor --bundle" } }
            }
        }
    }
}

/// The first line without its name.
fn driver(text: &str) -> Option<String> {
    let (_, version) = text.lines().next()?.split_once(':')?;
    Some(version.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_read_as_the_kernel_module_writes_it() {
        let text =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version:  gcc 12\n";
        assert_eq!(driver(text).as_deref(), Some("NVIDIA UNIX x86_64 Kernel Module 535.183.01 Sun May 12"));
        assert_eq!(driver(""), None);
    }
}
