//! Chooses the display of the desktop, with a reason for each candidate that was not chosen.
//!
//! The candidates, best first: Xorg with NVIDIA's driver, Xvfb with VirtualGL on a GPU, Xvfb drawn by the CPU. A wish
//! (`DESKTOPD_DISPLAY`) puts its kind first and is tried also where the probe has doubts, because the probe may be wrong
//! and a failed X server leads to the next candidate. A wish does not lift what protects the host, and does not lead to
//! VirtualGL on the CPU, which is slower than the CPU alone.

mod choice;
mod considered;
pub(super) mod driver;
mod egl;
pub mod encoder;
mod guards;
mod modeline;
mod names;
pub mod report;
mod sentence;
mod virtualgl;
pub(super) mod xorg;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::config::condition::XServer;
use crate::config::env::{Size, Variables};
use crate::facts::Facts;
use crate::facts::gpu::Gpu;

pub use crate::facts::display::Kind;
pub use choice::Asked;
use considered::{Considered, Verdict};
pub use report::Report;
pub use sentence::Sentence;
use sentence::{Weighed, Weighing};

fn server(kind: Kind) -> XServer {
    match kind {
        Kind::Xorg => XServer::Xorg,
        Kind::Virtualgl | Kind::Llvmpipe => XServer::Xvfb,
    }
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was chosen.
    Chosen,
    /// It would work as far as is known, and another was preferred.
    Possible,
    /// Something speaks against it; it is tried if the user asks for it.
    Doubtful,
    /// It cannot work, or it would harm the host.
    Impossible,
    /// It was tried and failed.
    Failed,
}

/// A display that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The kind.
    pub kind: Kind,
    /// The GPU's PCI address for Xorg; for VirtualGL the device by VirtualGL's names: `/dev/dri/card0`, `egl0`, `:1`.
    pub device: Option<String>,
    /// The GPU as people know it: `NVIDIA GeForce RTX 4090 (0000:01:00.0)`.
    pub gpu: Option<String>,
    /// Whether it was chosen.
    pub taken: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was chosen, or why not.
    pub reason: String,
}

/// The decision, with all candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The number of the X display.
    pub number: u32,
    /// The kind that was chosen, if any is possible here.
    pub chosen: Option<Kind>,
    /// All candidates: the kind that was asked for first, then the best.
    pub candidates: Vec<Candidate>,
    /// What draws, and why nothing better does.
    pub sentence: Sentence,
}

impl Decision {
    /// The candidate that was chosen.
    pub fn candidate(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.taken)
    }

    /// Whether both decisions lead to the same display. The name of a GPU may become known later.
    pub fn is_same(&self, other: &Self) -> bool {
        let device = |one: &Self| one.candidate().map(|one| one.device.clone());
        (self.number, self.chosen) == (other.number, other.chosen) && device(self) == device(other)
    }

    /// The GPU that draws, among the GPUs from which the decision was made.
    pub fn gpu<'a>(&self, gpus: &'a [Gpu]) -> Option<&'a Gpu> {
        let name = self.candidate()?.gpu.as_ref()?;
        gpus.iter().find(|gpu| names::of(gpu) == *name)
    }

    /// The decision in one line: the server, the renderer, the GPU and the number of the display.
    pub fn summary(&self) -> String {
        match self.candidate() {
            None => "none".to_owned(),
            Some(Candidate { kind, gpu: None, .. }) => format!("{kind} on :{}", self.number),
            Some(Candidate { kind, gpu: Some(gpu), .. }) => format!("{kind} on {gpu}, on :{}", self.number),
        }
    }

    /// Why the display is not on `server`, if it is not.
    pub(super) fn without(&self, server: XServer) -> Option<String> {
        if let Some(kind) = self.chosen {
            return (self::server(kind) != server).then(|| format!("the display is {kind}"));
        }
        let reasons = self.candidates.iter().map(|one| format!("{}: {}", one.kind, one.reason));
        Some(format!("no display is possible: {}", reasons.collect::<Vec<_>>().join("; ")))
    }

    /// The device for VirtualGL, if programs draw through it.
    pub(super) fn virtualgl(&self) -> Option<&str> {
        let candidate = self.candidate().filter(|candidate| candidate.kind == Kind::Virtualgl)?;
        candidate.device.as_deref()
    }
}

/// The form for programs.
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            kind: Kind,
            device: Option<&'a str>,
            gpu: Option<&'a str>,
            taken: bool,
            reason: &'a str,
        }
        fn shown(Candidate { kind, device, gpu, taken, outcome: _, reason }: &Candidate) -> Shown<'_> {
            Shown { kind: *kind, device: device.as_deref(), gpu: gpu.as_deref(), taken: *taken, reason }
        }
        let chosen = self.candidate().map(shown);
        let mut decision = serializer.serialize_struct("Decision", 6)?;
        decision.serialize_field("number", &self.number)?;
        decision.serialize_field("chosen", &self.chosen)?;
        decision.serialize_field("device", &chosen.as_ref().and_then(|chosen| chosen.device))?;
        decision.serialize_field("gpu", &chosen.as_ref().and_then(|chosen| chosen.gpu))?;
        decision.serialize_field("summary", &self.summary())?;
        let candidates: Vec<_> = self.candidates.iter().map(shown).collect();
        decision.serialize_field("candidates", &candidates)?;
        decision.end()
    }
}

/// The GPUs that `GPU_COUNT` keeps, the best first, and those that it leaves out. Which of them draws does not matter here.
pub(super) fn counted<'a>(asked: &Asked, facts: &'a Facts) -> (Vec<&'a Gpu>, Vec<&'a Gpu>) {
    let all = |count| Asked { count, device: choice::Device::Any, ..asked.clone() };
    let possible = |asked: &Asked| -> Vec<&'a Gpu> {
        let choices = choice::gpus(asked, facts);
        choices.into_iter().filter(|choice| choice.left_out.is_none()).map(|choice| choice.gpu).collect()
    };
    let kept = possible(&all(asked.count));
    let left_out = possible(&all(None)).split_off(kept.len());
    (kept, left_out)
}

/// Decides. If the requested kind is not possible, another one is chosen, and the reasons say so.
pub fn decide(asked: &Asked, facts: &Facts) -> Decision {
    let gpus = choice::gpus(asked, facts);
    let number = number(asked.number, facts);
    let mut order = vec![Kind::Xorg, Kind::Virtualgl, Kind::Llvmpipe];
    // The requested kind is tried first; the order of the rest does not change.
    order.sort_by_key(|kind| Some(*kind) != asked.kind);
    let mut chosen = None;
    let mut all = Vec::new();
    for kind in order {
        let mut considered = match (kind, facts.display.failed.get(&kind)) {
            (_, Some(why)) => vec![Considered::impossible(why.clone())],
            (Kind::Xorg, None) => guards::candidates(&gpus, facts),
            (Kind::Virtualgl, None) => virtualgl::candidates(&gpus, asked, facts, number),
            (Kind::Llvmpipe, None) => vec![llvmpipe(facts)],
        };
        considered.sort_by_key(|one| match one.verdict {
            Verdict::Possible(_) => 0,
            Verdict::Doubtful(_) => 1,
            Verdict::Impossible(_) => 2,
        });
        for considered in considered {
            let taken = chosen.is_none()
                && match &considered.verdict {
                    Verdict::Possible(_) => true,
                    Verdict::Doubtful(_) => Some(kind) == asked.kind,
                    Verdict::Impossible(_) => false,
                };
            if taken {
                chosen = Some(kind);
            }
            all.push(Weighed { kind, considered, taken });
        }
    }
    let sentence = Weighing { asked, facts, number, gpus: &gpus, all: &all }.sentence();
    let candidates = all.into_iter().map(|one| candidate(one, asked, facts)).collect();
    Decision { number, chosen, candidates, sentence }
}

fn candidate(weighed: Weighed<'_>, asked: &Asked, facts: &Facts) -> Candidate {
    let Weighed { kind, considered: Considered { gpu, device, verdict }, taken } = weighed;
    let outcome = match &verdict {
        _ if taken => Outcome::Chosen,
        _ if facts.display.failed.contains_key(&kind) => Outcome::Failed,
        Verdict::Possible(_) => Outcome::Possible,
        Verdict::Doubtful(_) => Outcome::Doubtful,
        Verdict::Impossible(_) => Outcome::Impossible,
    };
    let reason = match verdict {
        Verdict::Possible(reason) if taken && Some(kind) == asked.kind => {
            format!("asked for by DESKTOPD_DISPLAY; {reason}")
        }
        Verdict::Possible(_) if !taken => "possible, but another is preferred".to_owned(),
        Verdict::Doubtful(doubt) if taken => {
            format!("asked for by DESKTOPD_DISPLAY and therefore tried in spite of this: {doubt}")
        }
        Verdict::Possible(reason) | Verdict::Doubtful(reason) | Verdict::Impossible(reason) => reason,
    };
    Candidate { kind, device, gpu: gpu.map(names::of), taken, outcome, reason }
}

/// How many frames per second VirtualGL copies from the GPU, where the display is VirtualGL's: more than the stream
/// shows would be copied in vain. A limit of the user's has priority.
pub(super) fn frame_rate(config: &Config) -> String {
    let asked = config.env.text("VGL_FPS").map(str::to_owned);
    asked.unwrap_or_else(|| config.env.vars.display_refresh.to_string())
}

/// The size that the X server starts with, which is also the largest size that it can have later.
pub(super) fn room(vars: &Variables) -> Size {
    let (width, height) = (vars.display_sizew.0, vars.display_sizeh.0);
    let most = vars.display_max_size;
    if vars.webrtc_enable_resize {
        Size { width: width.max(most.width), height: height.max(most.height) }
    } else {
        Size { width, height }
    }
}

fn llvmpipe(facts: &Facts) -> Considered<'static> {
    match facts.programs.get("Xvfb") {
        Ok(path) => {
            let reason = format!("{} needs no GPU", path.display());
            Considered { gpu: None, device: None, verdict: Verdict::Possible(reason) }
        }
        Err(reason) => Considered::impossible(format!("{reason}: install the package xvfb")),
    }
}

/// The requested display, or the next that is free. In a container, a socket without a server is left from an earlier
/// start, and our server takes its place. A server that answers is the host's, whose sockets the container shares.
fn number(wanted: u32, facts: &Facts) -> u32 {
    let display = &facts.display;
    let is_used =
        |number| display.foreign.contains(&number) || (!facts.container && display.taken.contains(&number));
    (wanted..=u32::MAX).find(|number| !is_used(*number)).unwrap_or(wanted)
}

#[cfg(test)]
mod tests;
