//! The main scenario of a streamed desktop: input on one side, a program on the other, and the program's output back.
//!
//! A person opens a terminal with the desktop's own shortcut and types a command; the command fills the terminal with a
//! colour that nothing else has, and that colour arrives in the browser. The scenario can pass only when pixels, keys
//! and mouse all work.

use std::time::Duration;

use crate::desktop::Desktop;
use crate::input::Key;
use crate::picture::Rgb;

/// A colour far from those of every wallpaper, panel and page.
pub const PAINT: Rgb = Rgb(255, 0, 170);

/// A quarter of a small terminal; noise and icons never have this much of it.
pub const PAINTED: usize = 50_000;

/// The command needs only keys without Shift; `clear` fills the terminal with the current background colour.
const COMMAND: &str = "printf '\\e[48;2;255;0;170m'; clear; sleep 600\n";

/// The smallest window that counts as a terminal.
const WINDOW: u64 = 150_000;

/// The first start of a program on a cold, busy machine takes seconds.
const OPENING: Duration = Duration::from_secs(15);
const PAINTING: Duration = Duration::from_secs(10);

/// A desktop that has not finished loading loses the first shortcut or the first keys; a person would try again too.
pub const ATTEMPTS: usize = 3;

/// Opens a terminal by keys, focuses it by mouse, and paints it by typing: the number of painted pixels, or the reason
/// of the failure.
pub async fn paint_a_terminal(desktop: &Desktop<'_>, attempts: usize) -> Result<usize, String> {
    let before = desktop.wait_until_still(Duration::from_secs(2), Duration::from_secs(30)).await;
    let already = desktop.count_pixels(PAINT).await;
    if already > PAINTED / 100 {
        return Err(format!("{already} pixels had the colour before the test typed"));
    }
    let mut last = String::new();
    for attempt in 1..=attempts {
        desktop.press(&[Key::Control.into(), Key::Alt.into(), 't']).await;
        match desktop.wait_for_change(&before, WINDOW, OPENING).await {
            Ok(window) => {
                let (x, y) = window.centre();
                desktop.click_at(x, y).await;
                match type_and_look(desktop).await {
                    Ok(painted) => return Ok(painted),
                    Err(why) => last = format!("attempt {attempt}: a window opened at {window:?}, but {why}"),
                }
            }
            Err(why) => last = format!("attempt {attempt}: no window opened, {why}"),
        }
    }
    Err(last)
}

/// Types the command into the focused window and waits for the colour.
pub async fn type_and_look(desktop: &Desktop<'_>) -> Result<usize, String> {
    desktop.type_text(COMMAND).await;
    desktop.wait_for_colour(PAINT, PAINTED, PAINTING).await
}
