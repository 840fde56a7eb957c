//! The child's side of a question to a driver's library: `desktopd __probe`.
//!
//! A probe must not change the machine. NVIDIA's libraries of root make device nodes, and start a program of the host's
//! driver that loads kernel modules. So the process gives up these capabilities, and with `no_new_privs` no program that
//! it starts gets them back, before it loads any library.

use std::fs::File;
use std::io::{self, Write};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::line::Line;
use super::{libcuda, nvml, render};
use crate::sys::error::describe;

/// The argument for NVML.
pub const NVML: &str = "nvml";

/// The argument for the errors that a GPU reports; the GPU's PCI address follows.
pub const XIDS: &str = "xids";

/// The argument for what NVIDIA's GPUs do, once a second.
pub const LOADS: &str = "loads";

/// The argument for EGL; the position of a device in EGL's list follows.
pub const EGL: &str = "egl";

/// The argument for a library of CUDA; its path follows, and [`START`] if the library is started as well.
pub const CUDA: &str = "cuda";

/// The argument that has CUDA's library start.
pub const START: &str = "start";

/// `desktopd __probe nvml`, `desktopd __probe xids ADDRESS`, `desktopd __probe loads`, `desktopd __probe egl POSITION`, or
/// `desktopd __probe cuda LIBRARY [start]`. Returns the exit code. The answer is on standard output; what a library prints there goes to standard
/// error.
pub fn run(words: &[String]) -> Result<i32, String> {
    let mut answer = own_output().map_err(|error| format!("`__probe`: {}", describe(&error)))?;
    let mut tell = |line: &Line| {
        let mut bytes = serde_json::to_vec(line).unwrap_or_default();
        bytes.push(b'\n');
        // The daemon may have ended, and needs no answer then.
        let _ = answer.write_all(&bytes);
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = confine().and_then(|()| match words[..] {
        [NVML] => nvml::answer(&mut tell),
        [XIDS, address] => nvml::watch(address, &mut tell),
        [LOADS] => nvml::loads(&mut tell),
        [EGL, position] => match position.parse() {
            Ok(position) => render::draw(position, &mut tell),
            Err(_) => Err(format!("{position:?} is not a position")),
        },
        [CUDA, library] => libcuda::answer(library, false, &mut tell),
        [CUDA, library, START] => libcuda::answer(library, true, &mut tell),
        _ => Err(format!(
            "usage: __probe {NVML}, __probe {XIDS} ADDRESS, __probe {LOADS}, __probe {EGL} POSITION, or __probe {CUDA} \
             LIBRARY [{START}]"
        )),
    });
    tell(&result.map_or_else(Line::Failed, |()| Line::Done));
    Ok(0)
}

/// Standard output for the answer alone. The libraries' standard output becomes their standard error.
fn own_output() -> io::Result<File> {
    let own = rustix::io::fcntl_dupfd_cloexec(io::stdout(), crate::sys::launch::FIRST_FD)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(own))
}

/// Gives up what a probe must not use. The process ends with the one that asks.
fn confine() -> Result<(), String> {
    let harmful = CapabilitySet::MKNOD | CapabilitySet::SYS_MODULE;
    let given_up = || {
        let mut sets = capabilities(None)?;
        sets.effective -= harmful;
        sets.permitted -= harmful;
        sets.inheritable -= harmful;
        set_capabilities(None, sets)
    };
    given_up().map_err(|error| format!("giving up capabilities: {error}"))?;
    prctl::set_no_new_privs().map_err(|error| format!("setting no_new_privs: {}", error.desc()))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("setting the signal: {}", error.desc()))
}
