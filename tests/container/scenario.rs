//! The one thing that a streamed desktop is for: hands on one side, a program on the other, and the program's
//! output back.
//!
//! A person opens a terminal with the desktop's own shortcut and types a command; the terminal paints itself
//! in a colour that nothing else has, and that colour arrives in the browser. It can't pass unless pixels,
//! keys and mouse all work.

use std::time::Duration;

use crate::desktop::Desktop;
use crate::input::Key;
use crate::picture::Rgb;

/// Far from every wallpaper, panel and page.
pub const PAINT: Rgb = Rgb(255, 0, 170);

/// A quarter of a small terminal; noise and icons never have this much of it.
pub const PAINTED: usize = 50_000;

/// Only keys without Shift, and `clear` fills the terminal with the background in force.
const COMMAND: &str = "printf '\\e[48;2;255;0;170m'; clear; sleep 600\n";

/// The smallest window that counts as a terminal.
const WINDOW: u64 = 150_000;

/// A first program start on a cold, busy machine takes seconds.
const OPENING: Duration = Duration::from_secs(15);
const PAINTING: Duration = Duration::from_secs(10);

/// A desktop that isn't all there yet loses the first shortcut or the first keys; a person would try again
/// too.
pub const ATTEMPTS: usize = 3;

/// Opens a terminal by keys, focuses it by mouse, paints it by typing: how many pixels were painted, or what
/// went wrong.
pub async fn paint_a_terminal(desktop: &Desktop<'_>, attempts: usize) -> Result<usize, String> {
    let before = desktop.wait_until_still(Duration::from_secs(2), Duration::from_secs(30)).await;
    let already = desktop.count_pixels(PAINT).await;
    if already > PAINTED / 100 {
        return Err(format!("{already} pixels had the colour before anybody typed"));
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

/// Types the command into what has the focus and waits for the colour.
pub async fn type_and_look(desktop: &Desktop<'_>) -> Result<usize, String> {
    desktop.type_text(COMMAND).await;
    desktop.wait_for_colour(PAINT, PAINTED, PAINTING).await
}
