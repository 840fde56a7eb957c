//! Displays that failed, kept over a restart of the container: what crashed with one version of the host's driver is not
//! tried again at each start with that version.
//!
//! One value of [`State`] has the version and the failures with it. Failures with another version are of no use: the
//! first new failure replaces them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::env::DisplayChoice;
use crate::facts::gpu::Gpus;
use crate::plan::display::Kind;
use crate::state::State;
use crate::sys::read;

use super::words;

/// The name of the value.
const KEY: &str = "display-failures";

/// The failures of earlier starts. Cheap to clone.
#[derive(Clone)]
pub(in crate::app) struct Memory {
    state: Arc<State>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    driver: String,
    failed: BTreeMap<Kind, Failed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    /// When, in milliseconds since the Unix epoch.
    at: i64,
    reason: String,
}

/// The drivers of all GPUs with their versions; the version of a driver of the kernel is the kernel's.
pub(in crate::app) fn driver(gpus: &Gpus) -> String {
    let kernel = read::text(Path::new("/proc/sys/kernel/osrelease"), read::BY_HAND).unwrap_or_default();
    let nvidia = gpus.nvidia.module.iter().map(|version| format!("nvidia {version}"));
    let drivers = gpus.gpus.iter().filter_map(|gpu| gpu.driver.as_ref());
    // NVIDIA's version is in the list already.
    let drivers = drivers.filter(|driver| driver.name != "nvidia" || gpus.nvidia.module.is_none());
    let drivers = drivers.map(|driver| {
        let version = driver.version.as_deref().unwrap_or(kernel.trim());
        format!("{} {version}", driver.name)
    });
    let all: BTreeSet<String> = nvidia.chain(drivers).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

impl Memory {
    pub(in crate::app) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The kinds that failed with this driver, with reasons. A kind that is asked for is tried again.
    pub(in crate::app) fn recall(&self, driver: &str, choice: DisplayChoice) -> BTreeMap<Kind, String> {
        let record = self.read().filter(|record| record.driver == driver).unwrap_or_default();
        let wish = words::wish(choice).map(|(kind, _)| kind);
        let failed = record.failed.into_iter().filter(|(kind, _)| Some(*kind) != wish);
        let dated = failed.map(|(kind, Failed { at, reason })| {
            let date = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
            (kind, words::remembered(&date.strftime("%Y-%m-%d").to_string(), &reason))
        });
        dated.collect()
    }

    /// Keeps a failure. If it cannot be written, only this run of the daemon knows it.
    pub(in crate::app) fn remember(&self, driver: &str, kind: Kind, reason: &str, at: i64) {
        let mut record = self.read().filter(|record| record.driver == driver).unwrap_or_default();
        driver.clone_into(&mut record.driver);
        record.failed.insert(kind, Failed { at, reason: reason.to_owned() });
        let written = serde_json::to_vec(&record).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|text| self.state.set(KEY, text)) {
            tracing::warn!("the next start will try {kind} again: keeping its failure: {error}");
        }
    }

    /// Forgets all failures.
    pub(in crate::app) fn forget(&self) {
        if let Err(error) = self.state.remove(KEY) {
            tracing::warn!("the next start will not try the failed displays again: {error}");
        }
    }

    fn read(&self) -> Option<Record> {
        serde_json::from_slice(&self.state.get(KEY)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::gpu::{Driver, Gpu, Nvidia, Vendor};

    fn gpu(name: &str, version: Option<&str>) -> Gpu {
        Gpu {
            vendor: Vendor::Other,
            driver: Some(Driver { name: name.to_owned(), version: version.map(str::to_owned) }),
            usable: true,
            ..Gpu::default()
        }
    }

    #[test]
    fn the_driver_has_its_version_or_that_of_the_kernel() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let nvidia = Nvidia { module: Some("550.163".into()), ..Nvidia::default() };
        for (gpus, nvidia, expected) in [
            (vec![], Nvidia::default(), String::new()),
            (vec![gpu("nvidia", None), gpu("nvidia", None)], nvidia, "nvidia 550.163".to_owned()),
            (
                vec![gpu("nvidia", Some("1.2")), gpu("i915", None)],
                Nvidia::default(),
                format!("i915 {}, nvidia 1.2", kernel.trim()),
            ),
        ] {
            assert_eq!(driver(&Gpus { gpus, nvidia, ..Gpus::default() }), expected);
        }
    }

    #[test]
    fn what_failed_is_known_at_the_next_start_with_the_same_driver_only() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Memory::new(Arc::new(State::open(dir.path(), "one").0));
        let kinds = |driver: &str, choice| open().recall(driver, choice).into_keys().collect::<Vec<_>>();
        let auto = DisplayChoice::Auto;
        assert_eq!(kinds("nvidia 1", auto), []);
        open().remember("nvidia 1", Kind::Xorg, "Xorg ended", 1_796_000_000_000);
        open().remember("nvidia 1", Kind::Virtualgl, "Xvfb ended", 1_796_000_000_000);
        assert_eq!(
            open().recall("nvidia 1", auto)[&Kind::Xorg],
            "failed on this driver version on 2026-11-30: Xorg ended; `desktopd restart x-server` tries again"
        );
        assert_eq!(kinds("nvidia 1", DisplayChoice::Xorg), [Kind::Virtualgl]);
        assert_eq!(kinds("nvidia 1", DisplayChoice::Llvmpipe), [Kind::Xorg, Kind::Virtualgl]);
        assert_eq!(kinds("nvidia 2", auto), []);
        open().remember("nvidia 2", Kind::Xorg, "Xorg ended", 0);
        assert_eq!((kinds("nvidia 1", auto), kinds("nvidia 2", auto)), (vec![], vec![Kind::Xorg]));
        open().forget();
        assert_eq!(kinds("nvidia 2", auto), []);
        std::fs::write(dir.path().join(KEY), "rubbish").unwrap();
        assert_eq!(kinds("nvidia 2", auto), []);
    }
}
