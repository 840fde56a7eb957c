//! What draws the desktop, with which renderer, and why nothing better does: one sentence, for `desktopd status`, the
//! portal and the page about the display.
//!
//! The sentence names one cause. The cause is that of the best GPU that was left out: a card without 3D says nothing
//! beside a GPU whose driver is missing. `desktopd plan` has the reasons of all candidates.

use std::fmt;

use crate::facts::Facts;
use crate::facts::display::Kind;
use crate::facts::gpu::{Gpu, Vendor};

use super::choice::{Asked, Choice, rank};
use super::considered::{Considered, Verdict};
use super::{egl, names};

/// How to have displays tried again that failed.
const AGAIN: &str = "`desktopd restart x-server` tries again";

/// The sentence, in two parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// What draws, and what does not.
    pub head: String,
    /// Why nothing better draws, with the remedy; `None` if nothing better is known.
    pub why: Option<String>,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// A candidate that was weighed.
pub(super) struct Weighed<'a> {
    pub(super) kind: Kind,
    pub(super) considered: Considered<'a>,
    /// Whether it was chosen.
    pub(super) taken: bool,
}

impl Weighed<'_> {
    fn reason(&self) -> &str {
        match &self.considered.verdict {
            Verdict::Possible(reason) | Verdict::Doubtful(reason) | Verdict::Impossible(reason) => reason,
        }
    }

    fn is_possible(&self) -> bool {
        matches!(self.considered.verdict, Verdict::Possible(_))
    }
}

/// What the sentence is made from.
pub(super) struct Weighing<'a> {
    pub(super) asked: &'a Asked,
    pub(super) facts: &'a Facts,
    /// The number of the X display.
    pub(super) number: u32,
    /// All GPUs, the best first.
    pub(super) gpus: &'a [Choice<'a>],
    /// All candidates.
    pub(super) all: &'a [Weighed<'a>],
}

impl<'a> Weighing<'a> {
    /// The sentence.
    pub(super) fn sentence(&self) -> Sentence {
        let Some(chosen) = self.all.iter().find(|one| one.taken) else {
            let reasons = self.all.iter().map(|one| named(one.kind, one.reason()));
            let why = Some(reasons.collect::<Vec<_>>().join("; "));
            return Sentence { head: "Nothing draws, because no display is possible".to_owned(), why };
        };
        let head = self.subject(chosen);
        match self.asked.kind {
            Some(wish) if wish == chosen.kind => self.as_asked(&head, wish, chosen),
            Some(wish) => {
                let head =
                    format!("{head}, although DESKTOPD_DISPLAY={} asks for {}", wish.word(), wish.short());
                Sentence { head, why: Some(self.refused(wish, chosen)) }
            }
            None => self.not_better(head, chosen),
        }
    }

    /// Who draws, on which display, and how.
    fn subject(&self, chosen: &Weighed<'_>) -> String {
        let (number, how) = (self.number, chosen.kind.short());
        let renderer = self.renderer(chosen).map(|renderer| format!("renderer \"{renderer}\""));
        match (chosen.kind, chosen.considered.gpu) {
            (Kind::Llvmpipe, _) => {
                format!("The CPU draws on :{number} ({})", renderer.unwrap_or_else(|| how.to_owned()))
            }
            (_, Some(gpu)) => {
                let untried = || self.facts.gpus.rendered.is_none().then(|| "not tried yet".to_owned());
                let note = renderer.or_else(untried).map(|note| format!(" ({note})")).unwrap_or_default();
                format!("{} draws on :{number} through {how}{note}", names::of(gpu))
            }
            (Kind::Virtualgl, None) => {
                let server = chosen.considered.device.as_deref().unwrap_or("another X server");
                format!("The X server {server} draws on :{number} through {how}")
            }
            (_, None) => format!("{how} draws on :{number}"),
        }
    }

    /// What drew a pixel, by its own name.
    fn renderer(&self, chosen: &Weighed<'_>) -> Option<String> {
        let rendered = self.facts.gpus.rendered.as_ref()?;
        let device = match chosen.considered.gpu {
            Some(gpu) => egl::entry(gpu, rendered),
            None if chosen.kind == Kind::Llvmpipe => rendered.devices.iter().find(|device| device.software),
            None => None,
        };
        device.and_then(|device| device.renderer.as_deref()).map(names::plain)
    }

    /// What was asked for was chosen.
    fn as_asked(&self, head: &str, wish: Kind, chosen: &Weighed<'_>) -> Sentence {
        let head = format!("{head}, as DESKTOPD_DISPLAY={} asks", wish.word());
        if let Verdict::Doubtful(doubt) = &chosen.considered.verdict {
            return Sentence { head: format!("{head} in spite of this"), why: Some(doubt.clone()) };
        }
        let better = self.all.iter().filter(|one| one.kind < wish && one.is_possible());
        let why = better.min_by_key(|one| one.kind).map(|one| {
            let gpu = one.considered.gpu.map_or_else(|| "a GPU".to_owned(), names::of);
            format!("{gpu} could draw through {}; set DESKTOPD_DISPLAY=auto to have that", one.kind.short())
        });
        Sentence { head, why }
    }

    /// Why what was asked for was not chosen, and why nothing better than what was chosen.
    fn refused(&self, wish: Kind, chosen: &Weighed<'_>) -> String {
        let mut reasons: Vec<String> = self
            .all
            .iter()
            .find(|one| one.kind == wish)
            .map(|one| one.reason().to_owned())
            .into_iter()
            .collect();
        let failures = self.failures(chosen).into_iter().filter(|(kind, _)| *kind != wish);
        reasons.extend(failures.map(|(_, reason)| reason));
        if let Some((_, reason)) = self.obstacle(chosen).filter(|_| chosen.kind == Kind::Llvmpipe)
            && !reasons.iter().any(|known| reason.contains(known.as_str()))
        {
            reasons.push(reason);
        }
        self.joined(reasons)
    }

    /// Why nothing better was chosen.
    fn not_better(&self, head: String, chosen: &Weighed<'_>) -> Sentence {
        let mut reasons: Vec<String> = self.failures(chosen).into_iter().map(|(_, reason)| reason).collect();
        let instead = match self.obstacle(chosen) {
            Some((what, reason)) => {
                reasons.push(reason);
                what
            }
            None if reasons.is_empty() => {
                return match chosen.kind {
                    Kind::Llvmpipe => Sentence { head, why: self.facts.gpus.reason.clone() },
                    _ => Sentence { head: format!("{head}, the best display for it"), why: None },
                };
            }
            None => {
                let failed = self.facts.display.failed.keys().filter(|kind| **kind < chosen.kind);
                let failed: Vec<&str> = failed.map(|kind| kind.short()).collect();
                format!("through {}", failed.join(" or "))
            }
        };
        Sentence { head: format!("{head}, not {instead}"), why: Some(self.joined(reasons)) }
    }

    /// The better kinds that failed while the daemon ran, or at an earlier start.
    fn failures(&self, chosen: &Weighed<'_>) -> Vec<(Kind, String)> {
        let failed = self.facts.display.failed.iter().filter(|(kind, _)| **kind < chosen.kind);
        failed.map(|(kind, reason)| (*kind, named(*kind, reason))).collect()
    }

    /// What does not draw, and why: a better GPU, or a better way to draw on this one.
    fn obstacle(&self, chosen: &Weighed<'_>) -> Option<(String, String)> {
        match (chosen.kind, chosen.considered.gpu) {
            (Kind::Xorg, _) | (Kind::Virtualgl, None) => None,
            (Kind::Virtualgl, Some(gpu)) => {
                let is_better = |choice: &&Choice<'_>| {
                    rank(choice.gpu) < rank(gpu) && !choice.gpu.usable && draws(choice.gpu)
                };
                if let Some(better) = self.gpus.iter().find(is_better) {
                    return Some((names::of(better.gpu), better.gpu.reason.clone()));
                }
                let why = self.against(Kind::Xorg, gpu).filter(|_| gpu.vendor == Vendor::Nvidia)?;
                Some((format!("through {}", Kind::Xorg.short()), why.to_owned()))
            }
            (Kind::Llvmpipe, _) => self.against_gpus(),
        }
    }

    /// Why the best GPU does not draw.
    fn against_gpus(&self) -> Option<(String, String)> {
        let real: Vec<&Choice<'a>> = self.gpus.iter().filter(|choice| draws(choice.gpu)).collect();
        let Choice { gpu, left_out } = real.first().copied().or(self.gpus.first())?;
        let reason = match left_out {
            Some(variable) => variable.clone(),
            None if !gpu.usable => format!("{}{}", gpu.reason, more(&real, gpu)),
            None => {
                let kinds = [Kind::Virtualgl, Kind::Xorg].into_iter();
                let kinds = kinds.filter(|kind| *kind != Kind::Xorg || gpu.vendor == Vendor::Nvidia);
                let reasons = kinds.filter_map(|kind| Some(named(kind, self.against(kind, gpu)?)));
                let reasons: Vec<String> = reasons.collect();
                // What failed is said before.
                (!reasons.is_empty()).then(|| reasons.join("; "))?
            }
        };
        Some((names::of(gpu), reason))
    }

    /// Why a display of this kind was not chosen on this GPU, unless that kind has failed.
    fn against(&self, kind: Kind, gpu: &Gpu) -> Option<&str> {
        if self.facts.display.failed.contains_key(&kind) {
            return None;
        }
        let mut of_kind = self.all.iter().filter(|one| one.kind == kind && !one.is_possible());
        let on = |one: &&Weighed<'_>| one.considered.gpu.is_none_or(|other| std::ptr::eq(other, gpu));
        of_kind.find(on).map(Weighed::reason)
    }

    fn joined(&self, mut reasons: Vec<String>) -> String {
        reasons.dedup();
        let text = reasons.join("; ");
        if self.facts.display.failed.is_empty() || text.contains(AGAIN) {
            text
        } else {
            format!("{text}; {AGAIN}")
        }
    }
}

/// Where to read why the other GPUs cannot draw, if they have other reasons.
fn more(all: &[&Choice<'_>], first: &Gpu) -> String {
    let others = all.iter().map(|choice| choice.gpu).filter(|gpu| !gpu.usable && gpu.reason != first.reason);
    match others.count() {
        0 => String::new(),
        1 => "; `desktopd plan` has the reason of another GPU".to_owned(),
        count => format!("; `desktopd plan` has the reasons of {count} other GPUs"),
    }
}

/// A reason that names the kind of display, which many reasons do themselves.
fn named(kind: Kind, reason: &str) -> String {
    let name = kind.short();
    if reason.starts_with(name) { reason.to_owned() } else { format!("{name}: {reason}") }
}

/// Whether the maker's GPUs draw 3D. A virtual card may, and is no better than a GPU.
fn draws(gpu: &Gpu) -> bool {
    !matches!(gpu.vendor, Vendor::Virtual | Vendor::Display)
}
