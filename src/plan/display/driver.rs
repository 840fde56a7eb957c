//! What the step `nvidia-driver` brings: what the container lacks of NVIDIA's driver and the display could use.
//!
//! Nothing here depends on what the step itself has brought: the plan after the step must describe the same step.

use crate::config::Config;
use crate::config::env::DisplayChoice;
use crate::config::service::step::DriverSpec;
use crate::facts::Facts;
use crate::facts::gpu::Vendor;
use crate::facts::gpu::brought::{XORG_GLX, XORG_MODULE};

use super::guards;

/// What the step is to do. The error is the reason why there is nothing to do here.
pub(in crate::plan) fn spec(config: &Config, facts: &Facts) -> Result<DriverSpec, String> {
    let gpus = &facts.gpus;
    let given = gpus.gpus.iter().any(|gpu| gpu.vendor == Vendor::Nvidia && gpu.nodes.nvidia.is_some());
    if !given || gpus.container.wsl {
        let reason = gpus.nvidia.reason.clone();
        return Err(reason.unwrap_or_else(|| "this container has no NVIDIA GPU".to_owned()));
    }
    let Some(version) = gpus.nvidia.module.clone() else {
        return Err(
            "the version of NVIDIA's kernel module is not known: /proc/driver/nvidia/version cannot be read"
                .to_owned(),
        );
    };
    let xorg = may_have_xorg(config, facts);
    let lacking: Vec<String> = gpus
        .nvidia
        .brought
        .lacking
        .iter()
        .filter(|name| xorg || ![XORG_MODULE, XORG_GLX].contains(name))
        .map(|name| (*name).to_owned())
        .collect();
    let refused = refused(config).filter(|_| !lacking.is_empty());
    let library_path = config.settings.environment.get("LD_LIBRARY_PATH").map(String::as_str);
    let library_path = library_path.or_else(|| config.env.text("LD_LIBRARY_PATH")).unwrap_or_default();
    Ok(DriverSpec { version, lacking, refused, library_path: library_path.to_owned() })
}

/// Whether Xorg could have its modules used: nothing but missing files keeps the display from Xorg.
fn may_have_xorg(config: &Config, facts: &Facts) -> bool {
    config.env.vars.desktopd_display != DisplayChoice::VirtualGl
        && guards::obstacle(facts).is_none()
        && facts.display.foreign.is_empty()
        && facts.display.showing.is_empty()
        && facts.gpus.nvidia.nodes.iter().any(|node| node == "nvidia-modeset")
}

/// Why nothing is brought, by the variables: a clause for the end of a sentence.
fn refused(config: &Config) -> Option<String> {
    let vars = &config.env.vars;
    let why = if !vars.accept_nvidia_license.0 {
        "ACCEPT_NVIDIA_LICENSE does not accept NVIDIA's license; with ACCEPT_NVIDIA_LICENSE=true desktopd brings them"
    } else if vars.desktopd_display == DisplayChoice::Llvmpipe {
        "DESKTOPD_DISPLAY=llvmpipe asks for a display without a GPU"
    } else if vars.gpu_count.as_ref().is_some_and(|count| count.0 == 0) {
        "GPU_COUNT=0 asks for no GPU"
    } else if vars.serverless {
        "SERVERLESS asks for no desktop"
    } else {
        return None;
    };
    Some(format!("desktopd does not bring them: {why}"))
}
