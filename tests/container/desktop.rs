//! A desktop as a person uses it in an open page: only pixels come out, and only keys and clicks go in.

use std::time::Duration;

use serde_json::Value;

use crate::browser::Browser;
use crate::picture::{Area, Picture, Rgb};
use crate::poll::{eventually, within};

/// A page with a message on one background has fewer colours than this; wallpaper and panel have more.
const DESKTOP_COLOURS: usize = 8;

/// The longest time that a page may take to recover by itself.
const RETURN: Duration = Duration::from_secs(40);

/// How far lossy video changes a colour.
const TOLERANCE: u8 = 24;

/// The element that shows the stream, the largest of all candidates: codec, transport and browser decide which one it
/// is. An element that exists and has a size may still be an unused one.
const STREAM: &str = "
    const shown = [...document.querySelectorAll('video, canvas')].map(element => {
        const box = element.getBoundingClientRect();
        return { id: element.id, pixels: [element.videoWidth || element.width, element.videoHeight || element.height],
            left: box.left, top: box.top, width: box.width, height: box.height };
    });
    shown.sort((one, other) => other.width * other.height - one.width * one.height);
    return shown.length && shown[0].width * shown[0].height > 100000 ? shown[0] : null;";

pub struct Desktop<'a> {
    pub browser: &'a Browser,
}

impl Desktop<'_> {
    /// The stream's element and its position in the page.
    pub async fn stream(&self) -> Option<Value> {
        Some(self.browser.execute(STREAM, vec![]).await).filter(|stream| !stream.is_null())
    }

    pub async fn picture(&self) -> Picture {
        self.browser.screenshot().await
    }

    /// Waits for a stream that shows more than one surface: not black, not blank, not only a message.
    ///
    /// A page whose script failed to load, because a container started or ended meanwhile, stays empty: then a person
    /// reloads the page, and so does this function, once.
    pub async fn wait_for_picture(&self, timeout: Duration) -> Picture {
        let first = within(RETURN.min(timeout), async || self.look().await).await;
        if let Ok(picture) = first {
            return picture;
        }
        if self.stream().await.is_none() && self.browser.text().await.trim().is_empty() {
            eprintln!("the page is empty: it is reloaded");
            self.browser.execute("location.reload();", vec![]).await;
        }
        eventually("a picture of the desktop", timeout, async || self.look().await).await
    }

    /// Waits for the picture after the streaming server was restarted under an open page.
    ///
    /// The page recovers by itself, but Selkies' client opens a second stream while its first is being accepted, and
    /// sometimes the server drops both: then a person reloads the page, and so does this function.
    pub async fn wait_for_return(&self, timeout: Duration) -> Picture {
        match within(RETURN, async || self.look().await).await {
            Ok(picture) => picture,
            Err(why) => {
                eprintln!("the page did not come back by itself ({why}): it is reloaded");
                self.browser.execute("location.reload();", vec![]).await;
                self.wait_for_picture(timeout).await
            }
        }
    }

    async fn look(&self) -> Result<Picture, String> {
        self.browser.mend().await;
        let Some(stream) = self.stream().await else {
            return Err(format!("no stream in the page, which says {:?}", self.browser.text().await));
        };
        let picture = self.picture().await;
        match picture.colours() {
            enough if enough >= DESKTOP_COLOURS => Ok(picture),
            few => Err(format!("{few} colours in {stream}")),
        }
    }

    /// Waits until nothing has changed for `calm`: a desktop that is still loading loses typed keys.
    pub async fn wait_until_still(&self, calm: Duration, timeout: Duration) -> Picture {
        let mut last = (self.picture().await, std::time::Instant::now());
        eventually("a desktop that has come to rest", timeout, async || {
            let now = self.picture().await;
            match now.difference(&last.0) {
                Some(area) => {
                    last = (now, std::time::Instant::now());
                    Err(format!("{area:?} moved"))
                }
                None if last.1.elapsed() < calm => Err("nothing moved lately".into()),
                None => Ok(now),
            }
        })
        .await
    }

    /// Waits for a change of at least `size` pixels since `before`, such as a window that opened.
    pub async fn wait_for_change(
        &self,
        before: &Picture,
        size: u64,
        timeout: Duration,
    ) -> Result<Area, String> {
        within(timeout, async || match self.picture().await.difference(before) {
            Some(area) if area.size() >= size => Ok(area),
            other => Err(format!("the largest change is {other:?}")),
        })
        .await
    }

    /// Clicks at a position in the window, in the pixels of its [`picture`](Self::picture).
    pub async fn click_at(&self, x: u32, y: u32) {
        self.browser.click_at(x, y).await;
    }

    /// Types into whatever has the focus; a newline is the Enter key.
    pub async fn type_text(&self, text: &str) {
        self.browser.type_text(text).await;
    }

    /// Presses keys together, in the order given.
    pub async fn press(&self, keys: &[char]) {
        self.browser.press(keys).await;
    }

    pub async fn count_pixels(&self, colour: Rgb) -> usize {
        self.picture().await.count(colour, TOLERANCE)
    }

    /// Waits until this number of pixels has a colour. Returns their number, or as an error the last number.
    pub async fn wait_for_colour(
        &self,
        colour: Rgb,
        pixels: usize,
        timeout: Duration,
    ) -> Result<usize, String> {
        within(timeout, async || match self.count_pixels(colour).await {
            enough if enough >= pixels => Ok(enough),
            few => Err(format!("{few} pixels of {colour:?}")),
        })
        .await
    }
}
