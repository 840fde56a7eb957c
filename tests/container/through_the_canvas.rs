//! A person's hands on a streamed desktop, and the same with the hands tied.

use crate::browser::Browser;
use crate::picture::Rgb;
use crate::{scenario, stack};

/// The page shows the desktop and the server takes no input from it.
const LOOK_ONLY: &str = "#shared";

#[tokio::test]
async fn a_person_paints_a_terminal_through_the_stream() {
    let (container, browser) = (stack::start("").await, Browser::start().await);
    let desktop = stack::open(&browser, &container, "").await;
    if let Err(why) = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", browser.keep_evidence("unpainted").await);
    }
}

/// A screen of another size than the window, and frames only where something moves: what a server wants.
#[tokio::test]
async fn a_person_paints_a_terminal_on_a_frugal_desktop_of_fixed_size() {
    let settings = "SELKIES_ENABLE_RESIZE=false SELKIES_VIDEO_STREAMING_MODE=false";
    let (container, browser) = (stack::start(settings).await, Browser::start().await);
    let desktop = stack::open(&browser, &container, "").await;
    let stream = desktop.stream().await.expect("a stream");
    assert_eq!(stream["pixels"], serde_json::json!([1920, 1080]), "the desktop kept its size: {stream}");
    if let Err(why) = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", browser.keep_evidence("unpainted-fixed").await);
    }
}

/// What proves that the scenario needs input: everything is the same but the hands.
#[tokio::test]
async fn nobody_paints_who_may_only_look() {
    let (container, browser) = (stack::start("").await, Browser::start().await);
    let desktop = stack::open(&browser, &container, LOOK_ONLY).await;
    scenario::paint_a_terminal(&desktop, 1).await.expect_err("no terminal without input");
    scenario::type_and_look(&desktop).await.expect_err("no colour without input");
    // The desktop is there all the same, with the panel's light grey.
    assert!(desktop.picture().await.count(Rgb(239, 240, 241), 8) > 30_000, "the panel is in the picture");
}
