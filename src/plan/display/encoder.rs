//! Chooses what encodes the video of the stream, with a reason for each candidate that was not chosen.
//!
//! The candidates: the encoder of each GPU that may be used, in the order of the display's GPUs, and the CPU, which works
//! everywhere. The probe says which encoders there should be. The step `encoder` then has a picture of the screen encoded
//! with one after the other, until one works, and the plan that follows leaves out those that failed.
//!
//! What a person says to Selkies in its own variables has priority, and is only read here.

mod codec;
mod wish;

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::config::Config;
use crate::config::env::{Encoder, Maker};
use crate::facts::Facts;
use crate::facts::encoder::{Hardware, Trial};
use crate::facts::gpu::{Gpu, Vendor};

use super::choice::{self, Asked};
use super::names;
use codec::Codec;
use wish::Wish;

/// What encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A GPU.
    Hardware(Hardware),
    /// The CPU.
    Software,
}

/// One that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What encodes.
    pub kind: Kind,
    /// The render node of the GPU.
    pub node: Option<String>,
    /// The GPU as people know it.
    pub gpu: Option<String>,
    /// Whether it was chosen.
    pub taken: bool,
    /// Why it was chosen, or why not.
    pub reason: String,
    /// Whether it is to be tried. This does not depend on what became of earlier tries.
    try_it: bool,
    /// Whether it has encoded a picture.
    works: bool,
}

/// The decision, with all candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    codec: &'static Codec,
    asked: Wish,
    /// All candidates, the best first; the CPU is the last one.
    pub candidates: Vec<Candidate>,
}

/// Decides.
pub fn decide(config: &Config, facts: &Facts) -> Decision {
    let asked = Wish::of(config);
    let codec = Codec::of(config.env.vars.webrtc_encoder.as_ref().map(Encoder::first));
    let display = Asked::of(config);
    let mut candidates: Vec<Candidate> = Vec::new();
    for choice in choice::gpus(&display, facts) {
        let gpu = choice.gpu;
        let hardware = match gpu.vendor {
            Vendor::Nvidia => Hardware::Nvenc,
            Vendor::Amd | Vendor::Intel => Hardware::Vaapi,
            // Encoders of other devices are Selkies' own affair.
            _ => continue,
        };
        let left_out = choice.left_out.filter(|_| gpu.usable);
        let left_out =
            left_out.or_else(|| (display.count == Some(0)).then(|| "GPU_COUNT=0 leaves it out".to_owned()));
        let mut verdict = may(&asked, codec, hardware, gpu, left_out);
        let trial = Trial { hardware, node: gpu.nodes.render.clone(), codec: codec.name.to_owned() };
        let result = facts.encoders.iter().find(|tried| tried.trial == trial);
        let (try_it, works) = (verdict.is_ok(), result.is_some_and(|tried| tried.failure.is_none()));
        if let Some(failure) = result.and_then(|tried| tried.failure.clone()) {
            verdict = verdict.and(Err(failure));
        }
        let (taken, reason) = verdict.map_or_else(|reason| (false, reason), |()| (true, String::new()));
        let (node, gpu) = (trial.node, Some(names::of(gpu)));
        let kind = Kind::Hardware(hardware);
        candidates.push(Candidate { kind, node, gpu, taken, reason, try_it, works });
    }
    let wished = match asked.maker {
        Maker::Nvenc => Some(Kind::Hardware(Hardware::Nvenc)),
        Maker::Vaapi => Some(Kind::Hardware(Hardware::Vaapi)),
        Maker::Any | Maker::Cpu => None,
    };
    candidates.sort_by_key(|one| wished.is_some_and(|kind| kind != one.kind));
    let software = Candidate {
        kind: Kind::Software,
        node: None,
        gpu: None,
        taken: true,
        reason: String::new(),
        try_it: false,
        works: true,
    };
    candidates.push(software);
    let chosen = candidates.iter().position(|one| one.taken);
    let alone = candidates.len() == 1;
    for (at, one) in candidates.iter_mut().enumerate() {
        let possible = std::mem::replace(&mut one.taken, Some(at) == chosen);
        if possible {
            one.reason = why(one, codec, &asked, alone);
        }
    }
    Decision { codec, asked, candidates }
}

/// Whether the encoder of a GPU may be tried, or why not.
fn may(
    asked: &Wish,
    codec: &Codec,
    hardware: Hardware,
    gpu: &Gpu,
    left_out: Option<String>,
) -> Result<(), String> {
    if asked.maker == Maker::Cpu {
        return Err(format!("{} asks for the CPU", asked.by));
    }
    if !codec.on_gpus {
        return Err(format!("Selkies encodes {} on the CPU alone", codec.title));
    }
    if let Some(why) = left_out {
        return Err(why);
    }
    if let Some(named) = asked.gpu.as_ref().filter(|named| !named.means(gpu)) {
        return Err(format!("{} names another GPU", named.variable));
    }
    if gpu.encoder.is_none() {
        return Err(gpu.encoder_reason.clone().unwrap_or_else(|| gpu.reason.clone()));
    }
    match (hardware, codec.name) {
        (Hardware::Nvenc, "vp8" | "vp9") => Err(format!("NVENC does not encode {}", codec.title)),
        _ => Ok(()),
    }
}

/// Why a candidate that is possible was chosen, or not.
fn why(one: &Candidate, codec: &Codec, asked: &Wish, alone: bool) -> String {
    match one.kind {
        _ if !one.taken => "possible, but another is preferred".to_owned(),
        Kind::Hardware(_) if one.works => format!("has encoded a picture of the screen as {}", codec.title),
        Kind::Hardware(_) => {
            "nothing speaks against it; it has to encode a picture of the screen before the stream starts"
                .to_owned()
        }
        Kind::Software if asked.maker == Maker::Cpu => format!("{} asks for it", asked.by),
        Kind::Software if !codec.on_gpus => format!("{} asks for it", asked.by),
        Kind::Software if alone => {
            "there is no GPU of NVIDIA, AMD or Intel here that could encode".to_owned()
        }
        Kind::Software => "no GPU here can encode it".to_owned(),
    }
}

impl Decision {
    /// The candidate that was chosen.
    pub fn candidate(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|one| one.taken)
    }

    /// The decision in one line: the encoder, the codec and the GPU.
    pub fn summary(&self) -> String {
        match self.candidate() {
            Some(one @ Candidate { kind: Kind::Hardware(hardware), gpu, .. }) => {
                let gpu = gpu.as_deref().unwrap_or("a GPU");
                let tried = if one.works { "" } else { ", not tried yet" };
                format!("{hardware} ({}) on {gpu}{tried}", self.codec.title)
            }
            _ => format!("{} ({}) on the CPU", self.codec.software, self.codec.title),
        }
    }

    /// The summary, and why no better candidate was chosen. Of equal GPUs with the same reason one is named.
    pub fn line(&self) -> String {
        let better: Vec<&Candidate> = self.candidates.iter().take_while(|one| !one.taken).collect();
        let is_new = |at: usize| better[..at].iter().all(|one| one.reason != better[at].reason);
        let new = (0..better.len()).filter(|at| is_new(*at)).map(|at| better[at]);
        let new = new.map(|one| format!("; not {}: {}", one.title(), one.reason));
        std::iter::once(self.summary()).chain(new).collect()
    }

    /// Whether the one that was chosen has encoded a picture, or needs no proof.
    pub fn works(&self) -> bool {
        self.candidate().is_some_and(|one| one.works)
    }

    /// The best of the GPUs that should encode and cannot, if the CPU encodes in their place.
    pub fn lost(&self) -> Option<&Candidate> {
        let wanted = self.asked.maker != Maker::Cpu && self.codec.on_gpus;
        let software = self.candidate().is_some_and(|one| one.kind == Kind::Software);
        self.candidates.first().filter(|one| wanted && software && !one.taken)
    }

    /// What the step tries, in this order.
    pub fn trials(&self) -> Vec<Trial> {
        let mut trials: Vec<Trial> = Vec::new();
        for one in self.candidates.iter().filter(|one| one.try_it) {
            let Kind::Hardware(hardware) = one.kind else { continue };
            let trial = Trial { hardware, node: one.node.clone(), codec: self.codec.name.to_owned() };
            if !trials.contains(&trial) {
                trials.push(trial);
            }
        }
        trials
    }

    /// The variables by which Selkies does what was decided. A GPU that a variable of Selkies names is in the environment
    /// already.
    pub(in crate::plan) fn variables(&self) -> Vec<(&'static str, String)> {
        if self.asked.maker == Maker::Cpu {
            return vec![("SELKIES_USE_CPU", "true".to_owned())];
        }
        if self.asked.gpu.is_some() || !self.codec.on_gpus {
            return Vec::new();
        }
        let has_gpu = self.candidates.len() > 1;
        match self.candidate() {
            Some(Candidate { kind: Kind::Hardware(_), node, .. }) => {
                node.iter().map(|node| ("SELKIES_ENCODE_DRI", node.clone())).collect()
            }
            // No driver that failed, or crashed, is loaded into Selkies.
            Some(Candidate { kind: Kind::Software, .. }) if has_gpu => {
                vec![("SELKIES_GPU_ID", "-1".to_owned())]
            }
            _ => Vec::new(),
        }
    }
}

impl Candidate {
    /// For people.
    pub fn title(&self) -> String {
        match (self.kind, &self.gpu) {
            (Kind::Hardware(hardware), Some(gpu)) => format!("{hardware} on {gpu}"),
            (Kind::Hardware(hardware), None) => hardware.to_string(),
            (Kind::Software, _) => "the CPU".to_owned(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware(Hardware::Nvenc) => "nvenc",
            Self::Hardware(Hardware::Vaapi) => "vaapi",
            Self::Software => "software",
        })
    }
}

/// The form for programs.
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            kind: String,
            node: Option<&'a str>,
            gpu: Option<&'a str>,
            taken: bool,
            reason: &'a str,
        }
        fn shown(Candidate { kind, node, gpu, taken, reason, .. }: &Candidate) -> Shown<'_> {
            let (node, gpu) = (node.as_deref(), gpu.as_deref());
            Shown { kind: kind.to_string(), node, gpu, taken: *taken, reason }
        }
        let candidates: Vec<_> = self.candidates.iter().map(shown).collect();
        let chosen = self.candidate();
        let mut decision = serializer.serialize_struct("Decision", 7)?;
        decision.serialize_field("chosen", &chosen.map(|one| one.kind.to_string()))?;
        decision.serialize_field("works", &self.works())?;
        decision.serialize_field("codec", self.codec.encoder)?;
        decision.serialize_field("node", &chosen.and_then(|one| one.node.as_deref()))?;
        decision.serialize_field("gpu", &chosen.and_then(|one| one.gpu.as_deref()))?;
        decision.serialize_field("summary", &self.summary())?;
        decision.serialize_field("candidates", &candidates)?;
        decision.end()
    }
}
