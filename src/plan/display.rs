//! Chooses the display of the desktop, with a reason for each kind that was not chosen.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::config::condition::XServer;
use crate::config::env::{DisplayChoice, Size, Variables};
use crate::facts::Facts;

/// One kind of display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Xorg with the GPU's own driver.
    Xorg,
    /// Xvfb; programs render on the GPU through VirtualGL.
    Virtualgl,
    /// Xvfb, rendered by the CPU.
    Llvmpipe,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xorg => "Xorg with the GPU's driver",
            Self::Virtualgl => "Xvfb with VirtualGL",
            Self::Llvmpipe => "Xvfb with llvmpipe",
        })
    }
}

impl Kind {
    fn server(self) -> XServer {
        match self {
            Self::Xorg => XServer::Xorg,
            Self::Virtualgl | Self::Llvmpipe => XServer::Xvfb,
        }
    }
}

/// A kind that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The kind.
    pub kind: Kind,
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
    /// All kinds, the best first.
    pub candidates: Vec<Candidate>,
}

impl Decision {
    /// The decision in one line.
    pub fn summary(&self) -> String {
        self.chosen.map_or_else(|| "none".to_owned(), |kind| format!("{kind} on :{}", self.number))
    }

    /// Why the display is not on `server`, if it is not.
    pub(super) fn without(&self, server: XServer) -> Option<String> {
        if let Some(kind) = self.chosen {
            return (kind.server() != server).then(|| format!("the display is {kind}"));
        }
        let reasons = self.candidates.iter().map(|one| format!("{}: {}", one.kind, one.reason));
        Some(format!("no display is possible: {}", reasons.collect::<Vec<_>>().join("; ")))
    }
}

/// In the form for programs, each candidate says whether it was chosen.
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            kind: Kind,
            taken: bool,
            reason: &'a str,
        }
        let candidates = self.candidates.iter().map(|Candidate { kind, reason }| Shown {
            kind: *kind,
            taken: self.chosen == Some(*kind),
            reason,
        });
        let mut decision = serializer.serialize_struct("Decision", 2)?;
        decision.serialize_field("number", &self.number)?;
        decision.serialize_field("candidates", &candidates.collect::<Vec<_>>())?;
        decision.end()
    }
}

/// Decides. If the requested kind is not possible, another one is chosen, and the reasons say so.
pub fn decide(choice: DisplayChoice, wanted: u32, facts: &Facts) -> Decision {
    let wish = match choice {
        DisplayChoice::Auto => None,
        DisplayChoice::Xorg => Some(Kind::Xorg),
        DisplayChoice::VirtualGl => Some(Kind::Virtualgl),
        DisplayChoice::Llvmpipe => Some(Kind::Llvmpipe),
    };
    let mut order = vec![Kind::Xorg, Kind::Virtualgl, Kind::Llvmpipe];
    // The requested kind is tried first; the order of the rest does not change.
    order.sort_by_key(|kind| Some(*kind) != wish);
    let mut chosen = None;
    let mut candidates = Vec::new();
    for kind in order {
        let reason = match possible(kind, facts) {
            Ok(_) if chosen.is_some() => "possible, but another is preferred".to_owned(),
            Ok(reason) => {
                chosen = Some(kind);
                let asked = if Some(kind) == wish { "asked for by DESKTOPD_DISPLAY; " } else { "" };
                format!("{asked}{reason}")
            }
            Err(reason) => reason,
        };
        candidates.push(Candidate { kind, reason });
    }
    Decision { number: number(wanted, facts), chosen, candidates }
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

fn possible(kind: Kind, facts: &Facts) -> Result<String, String> {
    let display = &facts.display;
    let gpu = !display.dri.is_empty() || display.kfd || !display.nvidia.is_empty();
    match kind {
        Kind::Xorg if !display.nvidia.iter().any(|node| node == "nvidiactl") => {
            Err("there is no NVIDIA GPU: /dev/nvidiactl does not exist".to_owned())
        }
        Kind::Xorg => facts.programs.get("Xorg").and(Err(unsupported(&display.nvidia))),
        Kind::Virtualgl if !gpu => {
            Err("there is no GPU: /dev/dri has no card or render node, and /dev/kfd and /dev/nvidiactl do not exist"
                .to_owned())
        }
        Kind::Virtualgl => facts.programs.get("vglrun").and(Err(unsupported(&display.dri))),
        Kind::Llvmpipe => {
            facts.programs.get("Xvfb").map(|path| format!("{} needs no GPU", path.display()))
        }
    }
}

fn unsupported(devices: &[String]) -> String {
    format!("this version does not drive a GPU yet (found {})", devices.join(", "))
}

/// In a container, the requested display is free for us. Elsewhere it may be another user's screen: take the next free
/// number.
fn number(wanted: u32, facts: &Facts) -> u32 {
    if facts.container {
        return wanted;
    }
    let mut number = wanted;
    while facts.display.taken.contains(&number) {
        number += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn every_candidate_has_a_reason_and_one_is_taken() {
        let decision = decide(DisplayChoice::Auto, 0, &facts());
        assert_eq!(decision.chosen, Some(Kind::Llvmpipe));
        assert_eq!(decision.summary(), "Xvfb with llvmpipe on :0");
        assert!(decision.candidates.iter().all(|candidate| !candidate.reason.is_empty()));
        assert!(decision.candidates[0].reason.contains("/dev/nvidiactl"));
    }

    #[test]
    fn the_requested_kind_comes_first_and_falls_back() {
        let wish = decide(DisplayChoice::Llvmpipe, 0, &facts());
        assert_eq!(wish.candidates[0].kind, Kind::Llvmpipe);
        assert!(wish.candidates[0].reason.contains("DESKTOPD_DISPLAY"));
        let vain = decide(DisplayChoice::Xorg, 0, &facts());
        assert_eq!(vain.chosen, Some(Kind::Llvmpipe));
    }

    #[test]
    fn without_xvfb_there_is_no_display_and_a_reason() {
        let mut facts = facts();
        facts.programs = crate::facts::Programs::given("/usr/bin", []);
        let decision = decide(DisplayChoice::Auto, 0, &facts);
        assert_eq!(decision.chosen, None);
        assert!(decision.candidates[2].reason.contains("\"Xvfb\" is not installed"));
    }

    #[test]
    fn a_display_in_use_is_skipped_outside_of_containers() {
        let mut facts = facts();
        facts.display.taken = [0, 1].into();
        assert_eq!(decide(DisplayChoice::Auto, 0, &facts).number, 0);
        facts.container = false;
        assert_eq!(decide(DisplayChoice::Auto, 0, &facts).number, 2);
    }
}
