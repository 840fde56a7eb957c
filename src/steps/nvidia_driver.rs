//! Brings what the container lacks of NVIDIA's driver: a host that only computes has neither OpenGL nor EGL of it, nor
//! the modules of Xorg, and NVIDIA's container toolkit brings no more than the host has.
//!
//! The libraries must have the version of the kernel's module, so they are taken from NVIDIA's file of that version. The
//! display waits for the step no longer than for a fast download; a desktop that runs already is not moved.
//!
//! A failure is a reason for people and stops nothing: the step writes it to a file that the probe reads.

mod archive;
mod download;
mod icd;
mod install;
mod source;
mod unpack;

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::sleep;

use super::fetch::{LIMITS, Limits};
use super::{command, replan};
use crate::config::Environment;
use crate::config::service::step::{DriverSpec, NvidiaDriver};
use crate::facts::gpu::brought::TOLD;
use crate::facts::gpu::has_library;
use crate::sys::replace::replace;
use crate::sys::{mounts, notify, read};
use download::{Download, Progress};
use install::Installed;
use source::{Place, Wanted};
use unpack::Choice;

/// The loader of programs of 32 bits; without it, nothing can use their libraries.
const LOADER_32: &str = "lib/ld-linux.so.2";

/// What the probe says while the step works.
const WORKING: &str = "desktopd is bringing them now (`desktopd logs -f nvidia-driver`)";

/// What people can do after a failure.
const AGAIN: &str = "`desktopd restart nvidia-driver` tries again";

/// Runs the step. `planned` is the [`DriverSpec`].
pub(super) fn run(step: NvidiaDriver, planned: &str) -> Result<(), String> {
    let spec = serde_json::from_str(planned).map_err(|error| format!("the driver: {error}"))?;
    let env = Environment::of_process(&[], &mut Vec::new());
    let socket = env.raw.get(&OsString::from("NOTIFY_SOCKET")).cloned();
    let run_dir = step.run_dir.clone();
    let work = Work { root: PathBuf::from("/"), step, spec, socket, limits: LIMITS };
    let done = command::until_told(async { Ok(work.bounded().await) });
    let (changed, result) = done.inspect_err(|_| work.stopped())?;
    if changed {
        replan::ask(&run_dir);
    }
    result
}

/// The work of the step.
struct Work {
    /// The root of the files.
    root: PathBuf,
    step: NvidiaDriver,
    spec: DriverSpec,
    /// Where the supervisor listens.
    socket: Option<OsString>,
    /// How a download is tried.
    limits: Limits,
}

impl Work {
    /// Does the work. Returns whether anything changed that a plan depends on, and the result. The display may start when
    /// the work is done, or after the step's patience.
    async fn bounded(&self) -> (bool, Result<(), String>) {
        let mut work = std::pin::pin!(self.perform());
        tokio::select! {
            done = &mut work => return done,
            () = sleep(self.step.patience) => {}
        }
        println!(
            "the display starts without it after {:?}; `desktopd restart x-server` uses it later",
            self.step.patience
        );
        self.notify("READY=1");
        work.await
    }

    async fn perform(&self) -> (bool, Result<(), String>) {
        let before = self.told();
        let brought = self.bring().await;
        let library_path = self.spec.library_path.clone();
        let root = self.root.clone();
        let repair = move || {
            let here = Installed { root: &root };
            // Links of this step are not in the loader's usual folders of another root.
            icd::repair(&root, |name| has_library(name, &library_path) || here.has(name))
        };
        let mut repaired = false;
        for (path, written) in tokio::task::spawn_blocking(repair).await.unwrap_or_default() {
            match written {
                Ok(()) => println!("{path} was missing and is written"),
                Err(error) => eprintln!("{path}: {error}"),
            }
            repaired = true;
        }
        let changed = repaired || self.told() != before || brought == Ok(true);
        (changed, brought.map(drop))
    }

    /// Brings what is missing. Returns whether something was brought.
    async fn bring(&self) -> Result<bool, String> {
        let DriverSpec { version, lacking, refused, .. } = &self.spec;
        let here = Installed { root: &self.root };
        if here.version().is_some_and(|there| there != *version) {
            println!("/opt/nvidia-drivers has another version than {version}, and is emptied");
            here.remove().map_err(|error| format!("/opt/nvidia-drivers: {error}"))?;
        }
        if lacking.is_empty() {
            println!("nothing is missing of NVIDIA's driver {version}");
            return Ok(false);
        }
        println!("missing of NVIDIA's driver {version}: {}", lacking.join(", "));
        if here.version().as_ref() == Some(version) && lacking.iter().all(|name| here.has(name)) {
            println!("all of it is in /opt/nvidia-drivers");
            let root = self.root.clone();
            let configured = move || Installed { root: &root }.ensure_configured();
            return tokio::task::spawn_blocking(configured).await.map_err(|error| error.to_string())?;
        }
        if let Some(refused) = refused {
            println!("{refused}");
            self.tell(refused);
            return Ok(false);
        }
        self.tell(WORKING);
        let result = self.fetch_and_unpack().await;
        match &result {
            Ok(()) => self.tell(""),
            Err(why) => self.tell(&format!("desktopd could not bring them: {why}; {AGAIN}")),
        }
        result.map(|()| true)
    }

    async fn fetch_and_unpack(&self) -> Result<(), String> {
        let wanted = Wanted::new(&self.spec.version)?;
        println!(
            "NVIDIA's license applies to these files: https://www.nvidia.com/en-us/drivers/nvidia-license/linux/"
        );
        let (place, cached) = match Place::of(&self.step.source, &wanted)? {
            Place::Remote(urls) => match self.cached(&wanted) {
                Some(file) => {
                    println!("{} is there from an earlier start", file.display());
                    (Place::File(file), true)
                }
                None => (Place::File(self.download(&urls, &wanted).await?), true),
            },
            local => (local, false),
        };
        let file = if let Place::File(file) = &place { Some(file.clone()) } else { None };
        let result = self.unpack(place, wanted).await;
        if let Some(file) = file.filter(|_| cached) {
            // A file that is damaged would be damaged at the next start as well. On a volume a good file is of use to
            // the next container.
            if result.is_err() || !mounts::is_on_volume(&mounts::all(), &self.step.cache) {
                let _ = fs::remove_file(file);
            }
        }
        result
    }

    /// NVIDIA's file from an earlier start.
    fn cached(&self, wanted: &Wanted) -> Option<PathBuf> {
        let file = self.step.cache.join(wanted.file());
        read::open_itself(&file).is_ok().then_some(file)
    }

    async fn download(&self, urls: &[reqwest::Url], wanted: &Wanted) -> Result<PathBuf, String> {
        let (cache, name) = (&self.step.cache, wanted.file());
        let lock = private(cache).and_then(|()| read::folder(cache));
        let lock = lock.map_err(|error| {
            let shown = cache.display().to_string();
            format!("{shown}: {}", unpack::in_words(&error, &shown))
        })?;
        let _lock = alone(lock, cache).await;
        if let Some(file) = self.cached(wanted) {
            // Another container has brought it meanwhile.
            return Ok(file);
        }
        sweep(cache, &name);
        let limits = Limits { whole: self.step.limit, size: self.step.size, ..self.limits };
        let shown = Cell::new(Shown::default());
        let report = |progress| {
            let (line, next) = shown.get().after(progress);
            shown.set(next);
            if let Some(line) = line {
                self.notify(&format!("STATUS={line}"));
                if next.is_tenth {
                    println!("{line}");
                }
            }
        };
        Download { cache, name: &name, limits: &limits, report: &report }.get(urls).await
    }

    async fn unpack(&self, place: Place, wanted: Wanted) -> Result<(), String> {
        self.notify("STATUS=unpacking");
        let (root, spec) = (self.root.clone(), self.spec.clone());
        let work = move || unpack(&root, &spec, &place, &wanted);
        tokio::task::spawn_blocking(work).await.map_err(|error| format!("unpacking: {error}"))?
    }

    /// Says something to the supervisor.
    fn notify(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = notify::tell(socket, message)
        {
            eprintln!("NOTIFY_SOCKET: {error}");
        }
    }

    /// What the probe is to say; nothing if it is empty.
    fn tell(&self, text: &str) {
        let file = self.step.run_dir.join(TOLD);
        let told = if text.is_empty() {
            fs::remove_file(&file).or_else(crate::sys::error::unless_missing)
        } else {
            replace(&file, text.as_bytes(), 0o644)
        };
        super::report::tell(file.display(), told);
    }

    /// The step was ended early.
    fn stopped(&self) {
        if self.told().as_deref() == Some(WORKING) {
            self.tell(&format!("desktopd was stopped while it brought them; {AGAIN}"));
        }
    }

    fn told(&self) -> Option<String> {
        read::text(&self.step.run_dir.join(TOLD), read::BY_HAND).ok()
    }
}

/// Unpacks the driver, and makes it known to the loader.
fn unpack(root: &Path, spec: &DriverSpec, place: &Place, wanted: &Wanted) -> Result<(), String> {
    let here = Installed { root };
    let target = here.begin()?;
    let has = |name: &str| has_library(name, &spec.library_path);
    let choice = Choice { version: &wanted.version, with_32: root.join(LOADER_32).exists(), has: &has };
    let unpacked = match place {
        Place::File(file) => {
            println!("unpacking {}", file.display());
            let named = |why: String| format!("{}: {why}", file.display());
            archive::open(file, wanted)
                .and_then(|archive| unpack::archive(archive, &choice, &target))
                .map_err(named)
        }
        Place::Tree(tree) => {
            println!("copying {}", tree.display());
            unpack::tree(tree, &choice, &target)
        }
        Place::Remote(_) => Err("it was not downloaded".to_owned()),
    };
    let installed = unpacked.and_then(|count| {
        here.finish(&wanted.version)?;
        Ok(count)
    });
    let count = installed.inspect_err(|_| {
        here.abandon();
        // Half of a driver would be in the loader's way.
        let _ = here.remove();
    })?;
    let missing: Vec<&str> = spec.lacking.iter().map(String::as_str).filter(|name| !here.has(name)).collect();
    if !missing.is_empty() {
        let _ = here.remove();
        return Err(format!(
            "the driver {} from there has no {}: it may be a driver for computing alone",
            wanted.version,
            missing.join(" and no ")
        ));
    }
    println!("{count} files are in /opt/nvidia-drivers");
    Ok(())
}

/// Makes a folder that only its owner can enter: root loads libraries from there.
fn private(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Waits until no other container downloads into the folder, which may be a volume of several. Where a volume has no
/// locks, the step goes on without one.
async fn alone(folder: File, cache: &Path) -> Option<File> {
    if flock(&folder, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK) {
        return Some(folder);
    }
    println!("waiting for another container that downloads into {}", cache.display());
    let wait = move || {
        let _ = flock(&folder, FlockOperation::LockExclusive);
        folder
    };
    tokio::task::spawn_blocking(wait).await.ok()
}

/// Removes downloads of other versions.
fn sweep(cache: &Path, keep: &str) {
    for name in read::names(cache) {
        if name.to_str().is_some_and(|name| name.starts_with("NVIDIA-Linux-") && !name.starts_with(keep)) {
            let _ = fs::remove_file(cache.join(name));
        }
    }
}

/// Which progress was shown last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    /// In hundredths of the whole; in units of 4 MiB where the whole is not known.
    hundredth: u64,
    tenth: u64,
    is_tenth: bool,
    begun: bool,
}

impl Shown {
    /// The line for a progress that differs from the one that was shown last.
    fn after(self, progress: Progress) -> (Option<String>, Self) {
        let Progress { have, whole } = progress;
        let mega = |bytes: u64| bytes / 1_000_000;
        let hundredth = match whole {
            Some(whole) => have * 100 / whole.max(1),
            None => have >> 22,
        };
        if self.begun && hundredth == self.hundredth {
            return (None, Self { is_tenth: false, ..self });
        }
        let line = match whole {
            Some(whole) => {
                format!("downloaded {} of {} MB ({hundredth} %)", mega(have), mega(whole))
            }
            None => format!("downloaded {} MB", mega(have)),
        };
        let tenth = hundredth / 10;
        let is_tenth = !self.begun || tenth != self.tenth;
        (Some(line), Self { hundredth, tenth, is_tenth, begun: true })
    }
}

#[cfg(test)]
mod tests;
