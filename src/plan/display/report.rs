//! All about the display, for the page that people open to find out why the desktop is drawn as it is: the decision,
//! what the machine has, and the commands that mend what is missing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Config;
use crate::config::env::Size;
use crate::facts::Facts;
use crate::facts::display::Kind;
use crate::facts::gpu::Gpus;
use crate::facts::remedy::{self, Command, Place};

use super::sentence::Sentence;
use super::{Asked, Candidate, Decision, Outcome, encoder, room};

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DisplayReport"))]
pub struct Report {
    /// What draws, and why nothing better does: the sentence of `desktopd status`.
    pub sentence: String,
    /// The part of the sentence about what draws.
    pub head: String,
    /// The part about why nothing better draws.
    pub why: Option<String>,
    /// The number of the X display.
    pub number: u32,
    /// The kind that was chosen.
    pub chosen: Option<Kind>,
    /// The kind that `DESKTOPD_DISPLAY` asks for.
    pub asked: Option<Kind>,
    /// All candidates.
    pub candidates: Vec<Row>,
    /// How to mend what reasons say, by the whole reason. Reasons without a remedy have no entry.
    pub mends: BTreeMap<String, Mend>,
    /// The screen.
    pub screen: Screen,
    /// What encodes the stream, in one sentence.
    pub encoder: String,
    /// The user who draws; `None` if there is none.
    pub user: Option<User>,
    /// What `desktopd probe` shows.
    #[cfg_attr(test, schemars(with = "serde_json::Value"))]
    pub probe: Gpus,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DisplayCandidate"))]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// The kind for people.
    pub name: String,
    /// The device, as in [`Candidate::device`].
    pub device: Option<String>,
    /// The GPU for people.
    pub gpu: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// A reason in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mend {
    /// What is wrong.
    pub what: String,
    /// The remedy.
    pub remedy: String,
    /// The commands in the remedy.
    pub commands: Vec<Command>,
}

/// The screen as planned. A browser may have changed the size since, where `resize` says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Screen {
    /// Width at the start, in pixels.
    pub width: u32,
    /// Height at the start, in pixels.
    pub height: u32,
    /// The largest size, `3840x2160`: the room that the X server has.
    pub room: String,
    /// Whether browsers choose the size, up to the room.
    pub resize: bool,
    /// Dots per inch.
    pub dpi: u32,
    /// Colour depth, in bits.
    pub depth: u32,
    /// Highest frame rate of the stream, in frames per second.
    pub refresh: u32,
}

/// The desktop's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// Login name.
    pub name: String,
    /// The id.
    pub uid: u32,
    /// The ids of the groups, each with its name if the name is known.
    pub groups: Vec<(u32, Option<String>)>,
}

impl Report {
    /// The report of a display that stays although the GPUs are others now: `why` says what a restart leads to.
    #[must_use]
    pub fn staying(&self, why: String, gpus: &Gpus) -> Self {
        let sentence = Sentence { head: self.head.clone(), why: Some(why) };
        Self { sentence: sentence.to_string(), why: sentence.why, probe: gpus.clone(), ..self.clone() }
    }

    /// The report about a decision.
    pub(in crate::plan) fn new(
        config: &Config,
        facts: &Facts,
        decision: &Decision,
        encoder: &encoder::Decision,
    ) -> Self {
        let vars = &config.env.vars;
        let candidates: Vec<Row> = decision.candidates.iter().map(row).collect();
        Self {
            sentence: decision.sentence.to_string(),
            head: decision.sentence.head.clone(),
            why: decision.sentence.why.clone(),
            number: decision.number,
            chosen: decision.chosen,
            asked: Asked::of(config).kind,
            mends: mends(decision, &candidates, &facts.gpus),
            candidates,
            screen: Screen {
                width: vars.display_sizew.0,
                height: vars.display_sizeh.0,
                room: {
                    let Size { width, height } = room(vars);
                    format!("{width}x{height}")
                },
                resize: vars.webrtc_enable_resize,
                dpi: vars.display_dpi.0,
                depth: vars.display_cdepth.0,
                refresh: vars.display_refresh.0,
            },
            encoder: encoder.line(),
            user: facts.account.as_ref().ok().map(|account| {
                let identity = &account.identity;
                let name = |id: &u32| facts.groups.iter().find(|(_, known)| *known == id);
                let groups = std::iter::once(&identity.gid).chain(&identity.groups);
                let groups: BTreeMap<u32, Option<String>> =
                    groups.map(|id| (*id, name(id).map(|(name, _)| name.clone()))).collect();
                User { name: account.name.clone(), uid: identity.uid, groups: groups.into_iter().collect() }
            }),
            probe: facts.gpus.clone(),
        }
    }
}

fn row(Candidate { kind, device, gpu, taken: _, outcome, reason }: &Candidate) -> Row {
    let (name, device, gpu, reason) = (kind.to_string(), device.clone(), gpu.clone(), reason.clone());
    Row { kind: *kind, name, device, gpu, outcome: *outcome, reason }
}

/// The remedies of all reasons that a page shows.
fn mends(decision: &Decision, candidates: &[Row], gpus: &Gpus) -> BTreeMap<String, Mend> {
    let refused = candidates.iter().filter(|row| !matches!(row.outcome, Outcome::Possible | Outcome::Chosen));
    let unusable = gpus.gpus.iter().filter(|gpu| !gpu.usable).map(|gpu| &gpu.reason);
    let others = [&decision.sentence.why, &gpus.reason, &gpus.nvidia.reason, &gpus.kfd.reason];
    let reasons = refused.clone().map(|row| &row.reason).chain(unusable).chain(others.into_iter().flatten());
    let mut mends: BTreeMap<String, Mend> =
        reasons.filter_map(|reason| Some((reason.clone(), mend(reason)?))).collect();
    for failed in refused.filter(|row| row.outcome == Outcome::Failed) {
        mends.entry(failed.reason.clone()).or_insert_with(|| Mend {
            what: failed.reason.clone(),
            remedy: "restart the X server to have it tried again".to_owned(),
            commands: vec![Command { place: Place::Container, text: "desktopd restart x-server".to_owned() }],
        });
    }
    mends
}

fn mend(reason: &str) -> Option<Mend> {
    let (what, remedy) = remedy::split(reason);
    let remedy = remedy?;
    Some(Mend { what: what.to_owned(), remedy: remedy.to_owned(), commands: remedy::commands(remedy) })
}
