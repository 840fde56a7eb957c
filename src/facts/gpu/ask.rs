//! Asks the libraries of drivers, NVML, CUDA and EGL, in child processes with a time limit: a library can hang or crash.
//!
//! All children run at the same time and together have [`LIMIT`]. Each device of EGL has a child of its own, so a device
//! that crashes or hangs loses only itself; the first child also has EGL's list. A machine without a GPU has no child.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::compute::Version;
use super::line::{Drawn, Line, Listed};
use super::root::Root;
use super::{Answers, Nvml, NvmlDevice, Rendered, RenderedDevice, answer, libraries, nvidia};
use crate::config::Config;
use crate::sys::reaper::Reaper;
use crate::sys::subprocess::{self, Cause, Question};
use crate::sys::{read, subcommands, with_timeout};

/// How long all answers together may take where something waits for them.
pub const LIMIT: Duration = Duration::from_secs(2);

/// The same where nothing waits. Without NVIDIA's persistence daemon, the driver starts a GPU at its first use, which
/// takes longer than [`LIMIT`] on a machine with several large GPUs.
pub const PATIENT: Duration = Duration::from_secs(20);

/// More GPUs than a machine has; a library that counts more is wrong.
const MOST_GPUS: u32 = 64;

/// The variables that decide which libraries and drivers a program gets. A child gets these and no others: an
/// environment has secrets.
const VARIABLES: [&str; 10] = [
    LIBRARY_PATH,
    "__EGL_EXTERNAL_PLATFORM_CONFIG_DIRS",
    "__EGL_EXTERNAL_PLATFORM_CONFIG_FILENAMES",
    "__EGL_VENDOR_LIBRARY_DIRS",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
    "GALLIUM_DRIVER",
    "GBM_BACKENDS_PATH",
    "LIBGL_ALWAYS_SOFTWARE",
    "LIBGL_DRIVERS_PATH",
    "MESA_LOADER_DRIVER_OVERRIDE",
];

/// Clouds such as GKE mount the host's driver in a folder that only this variable names.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// The version of the libraries that desktopd has brought.
const BROUGHT: &str = "opt/nvidia-drivers/version";

/// Where files name EGL libraries to the dispatcher.
const VENDORS: [&str; 2] = ["etc/glvnd/egl_vendor.d", "usr/share/glvnd/egl_vendor.d"];

/// NVML's library.
const NVML_LIBRARY: &str = "libnvidia-ml.so.1";

/// Caches of shaders would be files that a probe leaves behind.
const NO_CACHES: [(&str, &str); 2] = [("MESA_SHADER_CACHE_DISABLE", "true"), ("__GL_SHADER_DISK_CACHE", "0")];

/// What to ask, and in which surroundings. Equal questions have equal answers, as long as no driver fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// The signs of hardware that were found, by their paths.
    signs: BTreeSet<String>,
    nvml: bool,
    egl: bool,
    /// The driver's own library of CUDA, if there is one to ask.
    cuda: Option<String>,
    env: BTreeMap<OsString, OsString>,
}

impl Questions {
    /// The environment for the children.
    pub(super) fn env(&self) -> &BTreeMap<OsString, OsString> {
        &self.env
    }

    /// Whether there is something to ask NVML about.
    pub fn ask_nvml(&self) -> bool {
        self.nvml
    }

    /// What there is to ask about the hardware below `root`. `render`: draw in any case, even without a device node.
    pub fn of(config: &Config, root: &Path, render: bool) -> Self {
        let env = environment(config);
        let signs = signs(root);
        let is_nvidia =
            |sign: &String| sign.starts_with("dev/nvidia") || sign.starts_with("proc/") || is_wsl(sign);
        let nvml = signs.iter().any(is_nvidia) || driver_is_mounted(&env);
        // NVIDIA's control nodes are no GPU: a library of root makes them where there is none.
        let is_gpu = |sign: &String| {
            let number = sign.strip_prefix("dev/nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok());
            number || sign.starts_with("dev/dri/") || is_wsl(sign)
        };
        let egl = render || signs.iter().any(is_gpu);
        let cuda = nvml.then(|| driver_cuda(root, &env)).flatten();
        Self { signs, nvml, egl, cuda, env }
    }
}

fn is_wsl(sign: &String) -> bool {
    sign == "dev/dxg"
}

/// The signs of hardware whose driver can be asked: device nodes, and NVIDIA's kernel module. A card on PCI alone is
/// none: without a node or a module no library can say more than the files say.
fn signs(root: &Path) -> BTreeSet<String> {
    let names = |folder: &str, wanted: fn(&str) -> bool| -> Vec<String> {
        let names = read::names(&root.join(folder)).into_iter().filter_map(|name| name.into_string().ok());
        names.filter(|name| wanted(name)).map(|name| format!("{folder}/{name}")).collect()
    };
    let mut signs = BTreeSet::from_iter(names("dev", |name| name.starts_with("nvidia") || name == "dxg"));
    signs.extend(names("dev/dri", |name| name.starts_with("card") || name.starts_with("renderD")));
    signs.extend(names("proc/driver/nvidia", |name| name == "version"));
    if signs.iter().any(|sign| sign.starts_with("dev/nvidia")) {
        // What the step `nvidia-driver` brings and repairs changes what EGL answers.
        let brought = read::text(&root.join(BROUGHT), read::BY_HAND).ok();
        signs.extend(brought.map(|version| format!("{BROUGHT} {}", version.trim())));
        for folder in VENDORS {
            signs.extend(names(folder, |name| name == "10_nvidia.json"));
        }
    }
    signs
}

/// Whether the library path has NVML: a driver was mounted into the container, so a missing GPU is worth a reason.
fn driver_is_mounted(env: &BTreeMap<OsString, OsString>) -> bool {
    let files: Vec<PathBuf> =
        library_path(env).iter().map(|folder| Path::new(folder).join(NVML_LIBRARY)).collect();
    // A folder may be on a volume that does not answer.
    !files.is_empty() && with_timeout(move || files.iter().any(|file| file.exists())).unwrap_or(false)
}

/// The driver's own library of CUDA.
fn driver_cuda(root: &Path, env: &BTreeMap<OsString, OsString>) -> Option<String> {
    let (root, first) = (root.to_owned(), library_path(env));
    with_timeout(move || {
        let root = Root::new(&root);
        libraries::driver_cuda(root, nvidia::module(root).as_deref(), &first)
    })
    .flatten()
}

fn library_path(env: &BTreeMap<OsString, OsString>) -> Vec<String> {
    let path = env.get(&OsString::from(LIBRARY_PATH)).and_then(|path| path.to_str()).unwrap_or_default();
    path.split(':').filter(|folder| folder.starts_with('/')).map(str::to_owned).collect()
}

/// The environment of the children.
fn environment(config: &Config) -> BTreeMap<OsString, OsString> {
    let value = |name: &str| {
        let of_units = config.settings.environment.get(name).map(OsString::from);
        of_units.or_else(|| config.env.text(name).map(OsString::from))
    };
    let given = VARIABLES.iter().filter_map(|name| Some((OsString::from(name), value(name)?)));
    given.chain(NO_CACHES.map(|(name, value)| (name.into(), value.into()))).collect()
}

/// Asks from a program that has no runtime of its own: the commands.
pub fn ask_now(questions: &Questions) -> Answers {
    if !questions.nvml && !questions.egl {
        return Answers::default();
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let answers = runtime
        .and_then(|runtime| runtime.block_on(async { Ok(ask(&Reaper::start()?, questions, LIMIT).await) }));
    answers.unwrap_or_else(|error| {
        let reason = format!("the drivers were not asked: {error}");
        Answers {
            nvml: questions.nvml.then(|| Err(reason.clone())),
            cuda: questions.cuda.is_some().then(|| Err(reason.clone())),
            rendered: questions.egl.then(|| Rendered { reason: Some(reason), ..Rendered::default() }),
            late: false,
        }
    })
}

/// Asks all that is to be asked, at the same time. Takes no longer than `limit`.
pub async fn ask(reaper: &Reaper, questions: &Questions, limit: Duration) -> Answers {
    let late = AtomicBool::new(false);
    let asker = Asker { reaper, env: &questions.env, limit, deadline: Instant::now() + limit, late: &late };
    let nvml = async { if questions.nvml { Some(asker.nvml().await) } else { None } };
    let rendered = async { if questions.egl { Some(asker.egl().await) } else { None } };
    let cuda = async { Some(asker.cuda(questions.cuda.as_deref()?).await) };
    let (nvml, cuda, rendered) = tokio::join!(nvml, cuda, rendered);
    Answers { nvml, rendered, cuda, late: late.into_inner() }
}

struct Asker<'a> {
    reaper: &'a Reaper,
    env: &'a BTreeMap<OsString, OsString>,
    limit: Duration,
    deadline: Instant,
    /// Whether a child was late.
    late: &'a AtomicBool,
}

impl Asker<'_> {
    /// Asks one child. `each` gets the lines. The error says why the answer is not complete.
    async fn ask(&self, library: &str, words: &[&str], mut each: impl FnMut(Line)) -> Result<(), String> {
        let words: Vec<&str> = [subcommands::PROBE].iter().chain(words).copied().collect();
        let question = Question { words: &words, env: self.env, deadline: self.deadline };
        let mut failed = None;
        let asked = subprocess::ask(self.reaper, &question, |line| match serde_json::from_str(line) {
            Ok(Line::Done) => ControlFlow::Break(()),
            Ok(Line::Failed(reason)) => {
                failed = Some(reason);
                ControlFlow::Break(())
            }
            Ok(line) => {
                each(line);
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Continue(()),
        });
        asked.await.map_err(|unanswered| {
            self.late.fetch_or(unanswered.cause == Cause::Late, Ordering::Relaxed);
            unanswered.reason(library, self.limit)
        })?;
        failed.map_or(Ok(()), Err)
    }

    async fn nvml(&self) -> Result<Nvml, String> {
        let mut heard = NvmlHeard::default();
        let asked = self.ask("NVML's library", &[answer::NVML], |line| heard.take(line)).await;
        heard.joined(asked)
    }

    /// The version that a library of CUDA offers.
    async fn cuda(&self, library: &str) -> Result<Version, String> {
        let mut version = None;
        let words = [answer::CUDA, library];
        let asked = self.ask("CUDA's library", &words, |line| {
            if let Line::CudaVersion(number) = line {
                version = Version::of_number(number);
            }
        });
        asked.await?;
        version.ok_or_else(|| format!("{library} told no version"))
    }

    async fn egl(&self) -> Rendered {
        let began = Instant::now();
        let (sender, listed) = oneshot::channel();
        let first = self.device(0, move |list| {
            // The receiver waits as long as the first child runs.
            let _ = sender.send(list);
        });
        let others = async {
            let Ok(listed) = listed.await else { return (Vec::new(), Vec::new()) };
            let devices = (1..listed.len()).map(|position| self.device(position, |_| ()));
            (join_all(devices).await, listed)
        };
        let (first, (others, listed)) = tokio::join!(first, others);
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let heard: Vec<DeviceHeard> = std::iter::once(first).chain(others).collect();
        Rendered { millis, ..joined(listed, heard) }
    }

    /// Has a child draw on one device. `list` gets EGL's list, if that child has it; afterwards it is dropped.
    async fn device(&self, position: usize, list: impl FnOnce(Vec<Listed>)) -> DeviceHeard {
        let (mut heard, mut list) = (DeviceHeard::default(), Some(list));
        let position = position.to_string();
        let words = [answer::EGL, &position];
        let asked = self.ask("EGL's library", &words, |line| match line {
            Line::Devices(devices) => {
                if let Some(list) = list.take() {
                    list(devices);
                }
            }
            Line::Initialized => heard.initialized = true,
            Line::Drawn(drawn) => heard.drawn = Some(drawn),
            _ => {}
        });
        let asked = asked.await;
        DeviceHeard { error: asked.err(), ..heard }
    }
}

/// What was heard from NVML's child.
#[derive(Default)]
struct NvmlHeard {
    nvml: Option<Nvml>,
    count: usize,
}

impl NvmlHeard {
    fn take(&mut self, line: Line) {
        match line {
            Line::Driver { driver, cuda, count } => {
                self.count = count.min(MOST_GPUS) as usize;
                self.nvml = Some(Nvml { driver, cuda, devices: Vec::new() });
            }
            Line::Gpu(device) => {
                if let Some(nvml) = &mut self.nvml
                    && nvml.devices.len() < self.count
                {
                    nvml.devices.push(device);
                }
            }
            _ => {}
        }
    }

    /// The answer. A child that ended early leaves GPUs without an answer, each with the reason.
    fn joined(self, asked: Result<(), String>) -> Result<Nvml, String> {
        let silent = || "NVML's library gave no answer".to_owned();
        let Some(mut nvml) = self.nvml else { return Err(asked.err().unwrap_or_else(silent)) };
        let error = asked.err().unwrap_or_else(silent);
        nvml.devices.resize(self.count, NvmlDevice { error: Some(error), ..NvmlDevice::default() });
        Ok(nvml)
    }
}

/// What was heard from the child of one device.
#[derive(Default)]
struct DeviceHeard {
    initialized: bool,
    drawn: Option<Drawn>,
    error: Option<String>,
}

/// Joins EGL's list and what was heard of each device. Without a list the first child has the reason.
fn joined(listed: Vec<Listed>, heard: Vec<DeviceHeard>) -> Rendered {
    if listed.is_empty() {
        let error = heard.into_iter().find_map(|device| device.error);
        let reason =
            error.unwrap_or_else(|| "EGL lists no device: install the package libegl-mesa0".to_owned());
        return Rendered { reason: Some(reason), ..Rendered::default() };
    }
    let mut next = 0;
    let devices = listed.into_iter().zip(heard).map(|(listed, heard)| {
        let index = heard.initialized.then_some(next);
        next += u32::from(heard.initialized);
        let drawn = heard.drawn.unwrap_or_default();
        let wrong = || {
            (!drawn.is_right()).then(|| "the pixel that was drawn came back with another color".to_owned())
        };
        RenderedDevice {
            index,
            card: listed.card,
            render: listed.render,
            cuda: listed.cuda,
            pixel: drawn.is_right(),
            software: drawn.is_software(),
            error: heard.error.or_else(wrong),
            vendor: drawn.vendor,
            renderer: drawn.renderer,
        }
    });
    Rendered { devices: devices.collect(), ..Rendered::default() }
}

#[cfg(test)]
mod tests;
