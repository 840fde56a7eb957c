//! Tables: what follows from each sign, and from the drivers' answers.

use super::*;
use crate::facts::gpu::glance::Node;
use crate::facts::gpu::{Nodes, Nvml, NvmlDevice, Vendor};

const ADDRESS: &str = "0000:01:00.0";
const NAME: &str = "NVIDIA GPU (0000:01:00.0)";

fn gpus(usable: bool, reason: &str) -> Gpus {
    let gpu = Gpu {
        vendor: Vendor::Nvidia,
        pci: Some(ADDRESS.into()),
        nodes: Nodes { nvidia: Some("/dev/nvidia0".into()), ..Nodes::default() },
        usable,
        reason: reason.into(),
        ..Gpu::default()
    };
    Gpus { gpus: vec![gpu], ..Gpus::default() }
}

/// The losses of a machine with one GPU.
fn losses(usable: bool) -> Losses {
    let mut losses = Losses::default();
    losses.know(&gpus(usable, "it draws"));
    losses
}

fn seen(losses: &Losses, node: Node) -> Sign {
    let watched = losses.watched().remove(0);
    Sign::Seen(vec![(watched, Seen { present: Some(true), driver: None, nodes: vec![node] })])
}

fn open() -> Node {
    Node::Open { registered: false }
}

fn answers(error: Option<&str>) -> Answers {
    let device =
        NvmlDevice { pci: Some(ADDRESS.into()), error: error.map(str::to_owned), ..NvmlDevice::default() };
    let nvml = Nvml { devices: vec![device], ..Nvml::default() };
    Answers { nvml: Some(Ok(nvml)), ..Answers::default() }
}

fn xid(number: u64) -> Sign {
    Sign::Xid(ADDRESS.into(), number)
}

#[test]
fn a_glance_shows_a_loss_once_and_the_return() {
    let mut losses = losses(true);
    let first = seen(&losses, open());
    assert_eq!(losses.take(first.clone()), News::default(), "nothing to compare with");
    assert_eq!(losses.take(first.clone()), News::default());
    let refused = seen(&losses, Node::Refused);
    let news = losses.take(refused.clone());
    assert!(news.ask && news.lost[0].0 == NAME && news.back.is_empty(), "{news:?}");
    assert_eq!(losses.sentences(), [news.lost[0].1.clone()]);
    assert!(losses.sentences()[0].contains("the container may no longer open /dev/nvidia0"));
    assert_eq!(losses.take(refused), News::default());
    assert!(!losses.is_of_driver());
    let back = losses.take(first);
    assert_eq!(back, News { back: vec![NAME.into()], ask: true, ..News::default() });
    assert_eq!(losses.sentences(), [""; 0]);
}

#[test]
fn node_that_opens_for_the_first_time_is_a_reason_to_ask() {
    let mut losses = losses(false);
    let refused = seen(&losses, Node::Refused);
    assert_eq!(losses.take(refused.clone()), News::default());
    let opens = seen(&losses, open());
    assert_eq!(losses.take(opens), News { ask: true, ..News::default() });
    assert_eq!(losses.take(refused).lost.len(), 1, "now it is a loss");
}

#[test]
fn errors_of_programs_are_reported_once_and_others_until_the_gpu_draws_again() {
    let mut losses = losses(true);
    let told = losses.take(xid(31)).told.unwrap();
    assert!(told.contains("Xid 31 (memory page fault)"), "{told}");
    assert_eq!(losses.take(xid(31)), News::default());
    assert!(losses.take(xid(13)).told.is_some());
    let unknown = losses.take(xid(4711));
    assert!(unknown.ask && unknown.told.is_some() && unknown.lost.is_empty(), "{unknown:?}");
    assert_eq!(losses.sentences(), [""; 0]);

    let reset = losses.take(xid(119));
    assert!(reset.ask && reset.lost[0].1.contains("Xid 119"), "{reset:?}");
    assert_eq!(losses.take(xid(62)), News::default(), "not worse");
    assert!(losses.take(xid(79)).lost[0].1.contains("Xid 79"));
    assert_eq!(losses.take(xid(154)).lost, []);
    assert!(losses.is_of_driver() && losses.dead(ADDRESS).is_none());
    let news = losses.answered(&gpus(true, "it draws"), &answers(None));
    assert_eq!(news, News { back: vec![NAME.into()], ..News::default() });
    // Another GPU.
    assert_eq!(losses.take(Sign::Xid("0000:02:00.0".into(), 79)), News::default());
}

#[test]
fn answers_of_the_drivers_decide() {
    let lost = Some("GPU is lost");
    for (usable, now, error, sentence, dead) in [
        (true, (true, "it draws"), None, None, false),
        // What draws is not lost.
        (true, (true, "it draws"), lost, None, false),
        (true, (false, "NVML says no"), Some("no"), Some("NVIDIA GPU (0000:01:00.0): NVML says no"), false),
        (true, (false, "NVML says lost"), lost, Some("NVIDIA GPU (0000:01:00.0): NVML says lost"), true),
        // It was of no use before, either.
        (false, (false, "it draws"), None, None, false),
        (false, (false, "another reason"), None, None, false),
        (false, (false, "NVML says lost"), lost, Some("NVIDIA GPU (0000:01:00.0): NVML says lost"), true),
    ] {
        let mut losses = losses(usable);
        losses.answered(&gpus(now.0, now.1), &answers(error));
        assert_eq!(losses.sentences(), sentence.into_iter().collect::<Vec<_>>(), "{now:?} {error:?}");
        assert_eq!(losses.dead(ADDRESS).is_some(), dead, "{now:?} {error:?}");
        // And it comes back.
        losses.answered(&gpus(true, "it draws"), &answers(None));
        assert_eq!((losses.sentences().len(), losses.dead(ADDRESS)), (0, None));
    }
}

#[test]
fn gpu_that_is_not_found_any_more_is_lost_if_it_was_of_use() {
    let mut usable = losses(true);
    let news = usable.answered(&Gpus::default(), &Answers::default());
    assert_eq!(news.lost[0].1, "NVIDIA GPU (0000:01:00.0): the probe does not find it any more");
    // A GPU that is known is not known twice, and is not forgotten.
    usable.know(&Gpus::default());
    usable.know(&gpus(true, "it draws"));
    assert_eq!(usable.watched().len(), 1);
    let mut useless = losses(false);
    assert_eq!(useless.answered(&Gpus::default(), &Answers::default()), News::default());
}

#[test]
fn what_nvml_says_as_a_whole_is_asked_about_and_said() {
    let mut losses = losses(true);
    let silent = |reason: &str| Sign::Silent(ADDRESS.into(), reason.into());
    assert!(!losses.take(silent("NVML's library crashed (signal SEGV)")).ask);
    assert!(losses.take(silent("GPU is lost")).ask);
    let refused = Answers { nvml: Some(Err("Unknown Error".into())), ..Answers::default() };
    let news = losses.answered(&gpus(false, "NVML says \"Unknown Error\""), &refused);
    assert_eq!(news.lost.len(), 1);
    assert_eq!(losses.dead(ADDRESS), None);
}
