//! The certificate reloader: reads the certificate, notices changes of its files, and makes a self-signed one if there
//! is none.
//!
//! A certificate stays in use until a better one was read. Files are read in separate threads: they may be on a volume
//! that does not respond.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{Files, Sources, pair, self_signed};
use crate::config::watch::Watch;
use crate::state::State;
use crate::sys;

/// How long the first read of the files may take before the self-signed certificate is used.
const PATIENCE: Duration = Duration::from_secs(2);

/// The interval at which everything is checked again: certificates expire, clocks are set, and some file systems send
/// no change notifications.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The result of a check of the sources.
struct Look {
    /// The certificate to use from now on; `None` keeps the current one.
    certified: Option<Arc<CertifiedKey>>,
    /// Whether the certificate is from a file, and not our self-signed one.
    foreign: bool,
    problems: Vec<String>,
}

pub(super) struct CertificateReloader {
    pub(super) sources: Sources,
    pub(super) state: Arc<State>,
    pub(super) shown: watch::Sender<Option<Arc<CertifiedKey>>>,
    pub(super) told: watch::Sender<Vec<String>>,
    pub(super) watch: Option<Watch>,
    /// Whether the certificate in use is from a file, and not our self-signed one.
    pub(super) foreign: bool,
}

impl CertificateReloader {
    /// Runs until no receiver of the certificate is left.
    pub(super) async fn run(mut self) {
        let shown = self.shown.clone();
        let keep = async {
            loop {
                self.look().await;
                tokio::select! {
                    () = changed(&mut self.watch) => {}
                    () = tokio::time::sleep(DAY) => {}
                }
            }
        };
        tokio::select! {
            () = keep => {}
            () = shown.closed() => {}
        }
    }

    async fn look(&mut self) {
        let (sources, state) = (self.sources.clone(), Arc::clone(&self.state));
        let (watch, keeps) = (self.watch.take(), self.foreign);
        let mut looking = pin!(sys::run_on_thread(move || Look::at(&sources, &state, watch, keeps)));
        let look = if let Ok(look) = tokio::time::timeout(PATIENCE, &mut looking).await {
            look
        } else {
            if let Some(files) = &self.sources.given {
                let slow = format!("{}: reading it takes longer than usual", files.certificate.display());
                self.take(Look::without(&self.sources, &self.state, &slow, self.foreign));
            }
            looking.await
        };
        let (watch, look) = look.unwrap_or_else(|error| {
            let why = format!("reading the certificate: {error}");
            (None, Look::without(&self.sources, &self.state, &why, self.foreign))
        });
        self.watch = watch;
        self.take(look);
    }

    fn take(&mut self, look: Look) {
        if let Some(certified) = look.certified {
            let new = self.shown.borrow().as_ref().is_none_or(|shown| shown.cert != certified.cert);
            if new && self.shown.borrow().is_some() {
                tracing::info!("a new certificate is in use from now on");
            }
            self.foreign = look.foreign;
            self.shown.send_replace(Some(certified));
        }
        for problem in look.problems.iter().filter(|problem| !self.told.borrow().contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.told.send_replace(look.problems);
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

impl Look {
    /// Reads the files, after it has started to watch them for changes. `keeps` says whether a certificate from a file
    /// is in use already.
    fn at(sources: &Sources, state: &State, watch: Option<Watch>, keeps: bool) -> (Option<Watch>, Self) {
        let watched = match watch {
            Some(mut watch) => {
                let looked = watch.look();
                (Some(watch), looked.err())
            }
            None => watch_over(sources).map_or_else(|error| (None, Some(error)), |watch| (Some(watch), None)),
        };
        let (watch, unwatched) = watched;
        let mut look = match sources.files().map(|files| (files, pair::read(files))) {
            Some((files, Ok(pair))) => {
                let trouble = pair.validity.trouble(OffsetDateTime::now_utc());
                let problem = trouble.map(|why| format!("{}: {why}", files.certificate.display()));
                Self::of(Some(pair.certified), true, problem)
            }
            Some((_, Err(why))) => Self::without(sources, state, &why, keeps),
            None => Self::ours(sources, state),
        };
        if let (Some(why), Some(_)) = (unwatched, &sources.given) {
            look.problems.push(format!("changes of the certificate will be noticed within a day: {why}"));
        }
        (watch, look)
    }

    /// The result when the files cannot be used: the current certificate, or our self-signed one.
    fn without(sources: &Sources, state: &State, why: &str, keeps: bool) -> Self {
        if keeps {
            return Self::of(None, true, Some(format!("{why}; the previous certificate stays in use")));
        }
        let mut ours = Self::ours(sources, state);
        ours.problems.insert(0, format!("{why}; a self-signed certificate is used instead"));
        ours
    }

    fn ours(sources: &Sources, state: &State) -> Self {
        match self_signed::obtain(state, &sources.names) {
            Ok((pair, problem)) => Self::of(Some(pair.certified), false, problem),
            Err(why) => Self::of(None, false, Some(format!("{why}; https does not work"))),
        }
    }

    fn of(certified: Option<Arc<CertifiedKey>>, foreign: bool, problem: Option<String>) -> Self {
        Self { certified, foreign, problems: problem.into_iter().collect() }
    }
}

/// Watches the files and the folders that they are, or will be, in: a rename onto a file is an event of its folder, and
/// a write to a file that was mounted by itself is an event of the file alone.
fn watch_over(sources: &Sources) -> Result<Watch, String> {
    let Files { certificate, key } = sources.given.as_ref().unwrap_or(&sources.provider);
    let mut places: Vec<PathBuf> = Vec::new();
    for path in [certificate, key] {
        places.push(path.clone());
        let mut folders = path.ancestors().skip(1);
        for folder in folders.by_ref() {
            places.push(folder.to_owned());
            if folder.exists() {
                break;
            }
        }
    }
    places.sort();
    places.dedup();
    let names: Vec<_> = [certificate, key].into_iter().flat_map(|path| path.components()).collect();
    let names: Vec<_> = names.iter().map(|name| name.as_os_str().to_owned()).collect();
    let matters = move |path: &Path| {
        path.file_name().is_some_and(|name| {
            // `..data` is the symbolic link that changes when a cluster updates mounted secrets.
            names.iter().any(|part| part == name) || name.as_encoded_bytes().starts_with(b"..")
        })
    };
    Watch::over(places, matters)
}
