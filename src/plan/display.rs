//! Chooses the display of the desktop, with a reason for each kind that was not chosen.

use std::fmt;

use serde::Serialize;

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

/// A kind that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The kind.
    pub kind: Kind,
    /// Whether it was chosen.
    pub taken: bool,
    /// Why it was chosen, or why not.
    pub reason: String,
}

/// The decision, with all candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The number of the X display.
    pub number: u32,
    /// All kinds, the best first.
    pub candidates: Vec<Candidate>,
}

impl Decision {
    /// The kind that was chosen, if any is possible here.
    pub fn taken(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.taken)
    }

    /// The decision in one line.
    pub fn summary(&self) -> String {
        match self.taken() {
            Some(candidate) => format!("{} on :{}", candidate.kind, self.number),
            None => "none".to_owned(),
        }
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
    let mut taken = false;
    let candidates = order
        .into_iter()
        .map(|kind| match possible(kind, facts) {
            Ok(reason) if !taken => {
                taken = true;
                let asked = if Some(kind) == wish { "asked for by DESKTOPD_DISPLAY; " } else { "" };
                Candidate { kind, taken: true, reason: format!("{asked}{reason}") }
            }
            Ok(_) => {
                Candidate { kind, taken: false, reason: "possible, but another is preferred".to_owned() }
            }
            Err(reason) => Candidate { kind, taken: false, reason },
        })
        .collect();
    Decision { number: number(wanted, facts), candidates }
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
        assert_eq!(decision.taken().unwrap().kind, Kind::Llvmpipe);
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
        assert_eq!(vain.taken().unwrap().kind, Kind::Llvmpipe);
    }

    #[test]
    fn without_xvfb_there_is_no_display_and_a_reason() {
        let mut facts = facts();
        facts.programs = crate::facts::Programs::given("/usr/bin", []);
        let decision = decide(DisplayChoice::Auto, 0, &facts);
        assert_eq!(decision.taken(), None);
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
