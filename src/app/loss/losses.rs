//! What is lost, from all signs. Pure.

use crate::facts::gpu::glance::{Change, Seen, Watched};
use crate::facts::gpu::xid::{self, Effect};
use crate::facts::gpu::{Answers, GPU_IS_LOST, Gpu, Gpus};

use super::words;

/// A sign of a lost GPU, or of one that has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) enum Sign {
    /// What a glance shows.
    Seen(Vec<(Watched, Seen)>),
    /// The GPU at this PCI address reported an error with this number.
    Xid(String, u64),
    /// The errors of the GPU at this PCI address cannot be waited for, for this reason.
    Silent(String, String),
}

/// What a sign or an answer changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::app) struct News {
    /// GPUs that are lost now, or for another reason than before: each with its sentence.
    pub(in crate::app) lost: Vec<(String, String)>,
    /// GPUs that can be used again.
    pub(in crate::app) back: Vec<String>,
    /// What an error of a GPU means that is no loss.
    pub(in crate::app) told: Option<String>,
    /// Whether the drivers are to be asked again.
    pub(in crate::app) ask: bool,
}

/// All GPUs that were seen since the start, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Losses {
    gpus: Vec<Known>,
    /// The last error that was no loss: it is not told again and again.
    told: Option<(String, u64)>,
}

/// One GPU.
#[derive(Debug)]
struct Known {
    watched: Watched,
    /// The best of each node that was seen since the start.
    best: Option<Seen>,
    /// What is worse than the best.
    change: Option<Change>,
    /// The worst error that the GPU reported since it drew last.
    xid: Option<u64>,
    /// Why the driver says that it cannot be used.
    driver: Option<String>,
    /// Whether NVML says that it is lost.
    gone: bool,
    /// Whether it could be used once.
    was_usable: bool,
    /// The last reason of the probe, while it was never usable.
    reason: String,
}

impl Known {
    /// Why it is lost, in one sentence.
    fn sentence(&self) -> Option<String> {
        let name = &self.watched.name;
        let xid = |wanted: Effect| self.xid.filter(|number| xid::meaning(*number).0 == wanted);
        if let Some(number) = xid(Effect::Lost) {
            return Some(words::xid(name, number));
        }
        let change = self.change.as_ref().map(|change| words::change(name, change));
        let reset = || xid(Effect::Reset).map(|number| words::xid(name, number));
        change.or_else(reset).or_else(|| self.driver.as_ref().map(|reason| format!("{name}: {reason}")))
    }

    fn is_at(&self, address: &str) -> bool {
        self.watched.pci.as_deref() == Some(address)
    }
}

impl Losses {
    /// Knows these GPUs as well. GPUs that are no longer in the list are still known: they may be lost.
    pub(super) fn know(&mut self, gpus: &Gpus) {
        for watched in Watched::of(gpus) {
            if !self.gpus.iter().any(|known| known.watched.is_same(&watched)) {
                let gpu = find(gpus, &watched);
                self.gpus.push(Known {
                    was_usable: gpu.is_some_and(|gpu| gpu.usable),
                    reason: gpu.map(|gpu| gpu.reason.clone()).unwrap_or_default(),
                    watched,
                    best: None,
                    change: None,
                    xid: None,
                    driver: None,
                    gone: false,
                });
            }
        }
    }

    /// The GPUs to glance at.
    pub(super) fn watched(&self) -> Vec<Watched> {
        self.gpus.iter().map(|known| known.watched.clone()).collect()
    }

    /// What is lost, one sentence a GPU.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.gpus.iter().filter_map(Known::sentence).collect()
    }

    /// Whether a GPU is lost that only its driver knows to be lost.
    pub(super) fn is_of_driver(&self) -> bool {
        self.gpus
            .iter()
            .any(|known| known.change.is_none() && (known.xid.is_some() || known.driver.is_some()))
    }

    /// Why the GPU at this address does not draw and will not again, if that is sure: NVML says so, or the device has left
    /// its bus.
    pub(super) fn dead(&self, address: &str) -> Option<String> {
        let known = self.gpus.iter().find(|known| known.is_at(address))?;
        if known.gone || known.change == Some(Change::Gone) { known.sentence() } else { None }
    }

    /// Takes a sign.
    pub(super) fn take(&mut self, sign: Sign) -> News {
        let before = self.all();
        let (mut ask, mut told) = (false, None);
        match sign {
            Sign::Seen(seen) => {
                for (watched, seen) in seen {
                    ask |= self.seen(&watched, &seen);
                }
            }
            Sign::Xid(address, number) => (ask, told) = self.xid(&address, number),
            // Whether the GPU is lost shows when its driver is asked.
            Sign::Silent(_, reason) => ask = reason.starts_with(GPU_IS_LOST),
        }
        News { told, ask, ..self.since(before) }
    }

    /// Takes the drivers' new answers, from which `gpus` was made.
    pub(super) fn answered(&mut self, gpus: &Gpus, answers: &Answers) -> News {
        let before = self.all();
        for known in &mut self.gpus {
            let gpu = find(gpus, &known.watched);
            known.gone = known.watched.pci.as_ref().is_some_and(|address| answers.is_lost(address));
            let usable = gpu.is_some_and(|gpu| gpu.usable);
            let reason = gpu.map_or("the probe does not find it any more", |gpu| gpu.reason.as_str());
            if usable || !known.was_usable && !known.gone && known.reason == reason {
                (known.xid, known.driver, known.gone) = (None, None, false);
                known.was_usable |= usable;
            } else if known.was_usable || known.gone {
                known.driver = Some(reason.to_owned());
            }
        }
        self.since(before)
    }

    /// Returns whether the drivers may say something else now.
    fn seen(&mut self, watched: &Watched, seen: &Seen) -> bool {
        let Some(known) = self.gpus.iter_mut().find(|known| known.watched == *watched) else { return false };
        let Some(best) = &mut known.best else {
            known.best = Some(seen.clone());
            return false;
        };
        let better = best.improve(seen);
        let change = best.change(seen, watched);
        let is_new = change != known.change;
        if change.is_none() && is_new {
            // What the driver said of the change says nothing now, and the driver is asked again.
            known.driver = None;
        }
        known.change = change;
        better || is_new
    }

    /// Returns whether the drivers are to be asked, and what to tell.
    fn xid(&mut self, address: &str, number: u64) -> (bool, Option<String>) {
        let Some(known) = self.gpus.iter_mut().find(|known| known.is_at(address)) else {
            return (false, None);
        };
        let effect = |number: Option<u64>| number.map(|number| xid::meaning(number).0);
        if effect(Some(number)) >= Some(Effect::Reset) {
            let is_worse = effect(Some(number)) > effect(known.xid);
            if is_worse {
                known.xid = Some(number);
            }
            return (is_worse, None);
        }
        let ask = effect(Some(number)) == Some(Effect::Unknown);
        let of = Some((address.to_owned(), number));
        if self.told == of {
            return (false, None);
        }
        self.told = of;
        (ask, Some(words::xid(&known.watched.name, number)))
    }

    fn all(&self) -> Vec<Option<String>> {
        self.gpus.iter().map(Known::sentence).collect()
    }

    /// What has changed since then.
    fn since(&self, before: Vec<Option<String>>) -> News {
        let mut news = News::default();
        for (known, (before, now)) in self.gpus.iter().zip(before.into_iter().zip(self.all())) {
            let name = &known.watched.name;
            match (before, now) {
                (before, Some(now)) if before.as_ref() != Some(&now) => news.lost.push((name.clone(), now)),
                (Some(_), None) => news.back.push(name.clone()),
                _ => {}
            }
        }
        news
    }
}

/// The GPU in another list.
fn find<'a>(gpus: &'a Gpus, watched: &Watched) -> Option<&'a Gpu> {
    let same = |gpu: &&Gpu| {
        let nodes = [&gpu.nodes.nvidia, &gpu.nodes.card, &gpu.nodes.render];
        let node = nodes.into_iter().flatten().any(|node| watched.nodes.contains(node));
        watched.pci.is_some() && watched.pci == gpu.pci || node
    };
    gpus.gpus.iter().find(same)
}

#[cfg(test)]
mod tests;
