//! The configuration of Xorg for one GPU of NVIDIA's, without a monitor.
//!
//! Nothing of the host may be touched: no virtual terminal, no keyboard or mouse, no other card.

use std::fmt::Write as _;

use crate::config::Config;
use crate::facts::Facts;

use super::Decision;
use super::modeline::Modeline;

/// What NVIDIA's driver must not refuse a mode for: there is no monitor whose limits would count.
const VALIDATION: &str = "NoMaxPClkCheck, NoEdidMaxPClkCheck, NoMaxSizeCheck, NoHorizSyncCheck, NoVertRefreshCheck, \
     NoVirtualSizeCheck, NoExtendedGpuCapabilitiesCheck, NoTotalSizeCheck, NoDualLinkDVICheck, \
     NoDisplayPortBandwidthCheck, AllowNon3DVisionModes, AllowNonHDMI3DModes, AllowNonEdidModes, NoEdidHDMI2Check, \
     AllowDpInterlaced";

/// Where Xorg has its own modules.
const MODULES: &str = "/usr/lib/xorg/modules";

/// Where desktopd puts those of the driver that the container lacks.
const BROUGHT: &str = "/opt/nvidia-drivers/lib64/xorg/modules";

/// What the configuration depends on.
#[derive(Clone, Debug)]
struct Screen<'a> {
    /// The GPU's PCI address. Without one the driver takes the first GPU that it finds.
    pci: Option<&'a str>,
    /// The driver's module `nvidia_drv.so`.
    module: Option<&'a str>,
    /// Whether desktopd has brought what the container lacks of the driver.
    brought: bool,
    width: u32,
    height: u32,
    refresh: u32,
    depth: u32,
    dpi: u32,
    /// The output that counts as connected; `none` for a GPU without outputs.
    port: &'a str,
}

/// The configuration for the display that was decided on.
pub(in crate::plan) fn configuration(decision: &Decision, config: &Config, facts: &Facts) -> String {
    let vars = &config.env.vars;
    text(&Screen {
        pci: decision.candidate().and_then(|candidate| candidate.device.as_deref()),
        module: facts.gpus.libraries.xorg_nvidia.as_deref(),
        brought: facts.gpus.nvidia.brought.version.is_some(),
        width: vars.display_sizew.0,
        height: vars.display_sizeh.0,
        refresh: vars.display_refresh.0,
        depth: vars.display_cdepth.0,
        dpi: vars.display_dpi.0,
        port: &vars.video_port.0,
    })
}

fn text(screen: &Screen<'_>) -> String {
    let mode = Modeline::new(screen.width, screen.height, screen.refresh);
    let (width, height) = mode.size();
    let mut text = String::new();
    let mut section = |name: &str, lines: &[String]| {
        let lines: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "Section \"{name}\"\n{}EndSection\n\n", lines.concat());
    };
    section(
        "ServerFlags",
        &[
            option("AutoAddGPU", "false"),
            option("DontVTSwitch", "true"),
            option("DontZap", "true"),
            option("AllowMouseOpenFail", "true"),
        ],
    );
    section("Files", &modules(screen).map(|folder| format!("ModulePath \"{folder}\"")).collect::<Vec<_>>());
    // All devices match. A privileged container sees the host's keyboard, on which people type elsewhere.
    section("InputClass", &["Identifier \"none\"".to_owned(), option("Ignore", "true")]);
    section("Monitor", &["Identifier \"monitor\"".to_owned(), mode.to_string(), option("DPMS", "false")]);
    section("Device", &device(screen));
    section(
        "Screen",
        &[
            "Identifier \"screen\"".to_owned(),
            "Device \"gpu\"".to_owned(),
            "Monitor \"monitor\"".to_owned(),
            format!("DefaultDepth {}", screen.depth),
            "SubSection \"Display\"".to_owned(),
            format!("    Depth {}", screen.depth),
            format!("    Virtual {width} {height}"),
            format!("    Modes \"{}\"", mode.name()),
            "EndSubSection".to_owned(),
        ],
    );
    section("ServerLayout", &["Identifier \"layout\"".to_owned(), "Screen \"screen\"".to_owned()]);
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn device(screen: &Screen<'_>) -> Vec<String> {
    let mut lines = vec!["Identifier \"gpu\"".to_owned(), "Driver \"nvidia\"".to_owned()];
    lines.extend(screen.pci.and_then(bus_id).map(|id| format!("BusID \"{id}\"")));
    lines.extend([
        option("AllowEmptyInitialConfiguration", "true"),
        option("AllowExternalGpus", "true"),
        option("ProbeAllGpus", "false"),
        option("UseEdid", "false"),
        option("UseEdidDpi", "false"),
        option("DPI", &format!("{0} x {0}", screen.dpi)),
        option("HardDPMS", "false"),
        option("ModeValidation", VALIDATION),
    ]);
    lines.push(match screen.port {
        port if port.eq_ignore_ascii_case("none") => option("UseDisplayDevice", "None"),
        port => option("ConnectedMonitor", port),
    });
    lines
}

fn option(name: &str, value: &str) -> String {
    format!("Option \"{name}\" \"{value}\"")
}

/// The folders of modules: first that of NVIDIA's driver, which may be anywhere. The host may have given the driver
/// without its module for OpenGL.
fn modules<'a>(screen: &Screen<'a>) -> impl Iterator<Item = &'a str> {
    let folder = screen.module.and_then(|path| path.rsplit_once('/')).map(|(folder, _)| folder);
    let folder = folder.map(|folder| folder.strip_suffix("/drivers").unwrap_or(folder));
    // A quotation mark would end the text.
    let folder = folder.filter(|folder| *folder != MODULES && !folder.contains(['"', '\n']));
    let brought = Some(BROUGHT).filter(|brought| screen.brought && folder != Some(brought));
    folder.into_iter().chain(brought).chain([MODULES])
}

/// Xorg's name of a PCI address: `0000:0a:00.0`, in hexadecimal, is `PCI:10@0:0:0`.
fn bus_id(address: &str) -> Option<String> {
    let (domain, rest) = address.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let (bus, domain, device) = (number(bus)?, number(domain)?, number(device)?);
    Some(format!("PCI:{bus}@{domain}:{device}:{}", number(function)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_hexadecimal_becomes_a_bus_id_in_decimal() {
        for (address, expected) in [
            ("0000:01:00.0", Some("PCI:1@0:0:0")),
            ("0000:0a:00.0", Some("PCI:10@0:0:0")),
            ("0000:c1:1f.7", Some("PCI:193@0:31:7")),
            ("10de:ff:00.1", Some("PCI:255@4318:0:1")),
            ("00000001:00:00.0", Some("PCI:0@1:0:0")),
            ("01:00.0", None),
            ("0000:01:00", None),
            ("0000:zz:00.0", None),
            ("", None),
        ] {
            assert_eq!(bus_id(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn the_configuration_of_a_gpu_is_as_reviewed() {
        let screen = Screen {
            pci: Some("0000:c1:00.0"),
            module: Some("/usr/lib/nvidia/xorg/nvidia_drv.so"),
            brought: false,
            width: 2560,
            height: 1440,
            refresh: 60,
            depth: 24,
            dpi: 96,
            port: "DFP",
        };
        assert_eq!(text(&screen), include_str!("xorg.conf"));
    }

    #[test]
    fn parts_that_the_machine_lacks_are_left_out() {
        let module = Some("/usr/lib/xorg/modules/drivers/nvidia_drv.so");
        let screen = Screen {
            pci: None,
            module,
            brought: false,
            width: 1366,
            height: 768,
            refresh: 60,
            depth: 30,
            dpi: 192,
            port: "None",
        };
        let text = text(&screen);
        for (words, there) in [
            ("BusID", false),
            ("ConnectedMonitor", false),
            ("Option \"UseDisplayDevice\" \"None\"", true),
            ("DefaultDepth 30", true),
            ("\"192 x 192\"", true),
            // NVIDIA's hardware shows widths that are multiples of eight.
            ("Virtual 1368 768", true),
        ] {
            assert_eq!(text.contains(words), there, "{words} in {text}");
        }
        assert_eq!(text.matches("ModulePath").count(), 1, "{text}");
    }

    #[test]
    fn what_desktopd_has_brought_is_searched_after_what_the_host_gave() {
        let brought = "/opt/nvidia-drivers/lib64/xorg/modules";
        for (module, expected) in [
            ("/opt/nvidia-drivers/lib64/xorg/modules/drivers/nvidia_drv.so", vec![brought, MODULES]),
            ("/usr/lib/xorg/modules/drivers/nvidia_drv.so", vec![brought, MODULES]),
            ("/usr/lib/nvidia/xorg/nvidia_drv.so", vec!["/usr/lib/nvidia/xorg", brought, MODULES]),
        ] {
            let screen = Screen {
                pci: None,
                module: Some(module),
                brought: true,
                width: 800,
                height: 600,
                refresh: 60,
                depth: 24,
                dpi: 96,
                port: "DFP",
            };
            assert_eq!(modules(&screen).collect::<Vec<_>>(), expected, "{module}");
        }
    }
}
