//! The browser's picture as pixels, and the few properties that tests check.
//!
//! The desktop reaches the browser as lossy video, so no check is about exact values.

/// A colour without its opacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

/// Part of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Area {
    pub fn centre(&self) -> (u32, u32) {
        (self.left + self.width / 2, self.top + self.height / 2)
    }

    pub fn size(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// A decoded screenshot.
#[derive(Clone)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    rgba: Vec<u8>,
}

/// A difference larger than the video's noise, and smaller than any change that a person would notice.
const NOTICEABLE: u8 = 24;

impl Picture {
    /// Decodes a PNG of 8-bit colours, which is what every browser makes.
    pub fn from_png(bytes: &[u8]) -> Picture {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder
            .set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().expect("a screenshot is a PNG");
        let mut rgba = vec![0; reader.output_buffer_size().expect("a screenshot fits into memory")];
        let frame = reader.next_frame(&mut rgba).expect("a screenshot is a whole PNG");
        assert_eq!(frame.color_type, png::ColorType::Rgba, "a screenshot has colours");
        Picture { width: frame.width, height: frame.height, rgba }
    }

    fn pixels(&self) -> impl Iterator<Item = Rgb> {
        self.rgba.chunks_exact(4).map(|pixel| Rgb(pixel[0], pixel[1], pixel[2]))
    }

    /// How many pixels have this colour, with each channel off by at most `tolerance`.
    pub fn count(&self, colour: Rgb, tolerance: u8) -> usize {
        self.pixels().filter(|pixel| distance(*pixel, colour) <= tolerance).count()
    }

    /// The share of the pixels that satisfy `wanted`.
    #[allow(clippy::cast_precision_loss, reason = "a picture has fewer pixels than a float has steps")]
    pub fn share(&self, is_so: impl Fn(Rgb) -> bool) -> f64 {
        self.pixels().filter(|pixel| is_so(*pixel)).count() as f64 / (self.rgba.len() / 4) as f64
    }

    /// How many clearly different colours there are (eight levels a channel), each on more than a thousandth
    /// of the picture. A blank page has one, a page with a message two or three, a desktop's wallpaper and
    /// panel a dozen.
    pub fn colours(&self) -> usize {
        let mut seen = [0usize; 512];
        for Rgb(r, g, b) in self.pixels() {
            seen[usize::from(r >> 5) << 6 | usize::from(g >> 5) << 3 | usize::from(b >> 5)] += 1;
        }
        let enough = self.rgba.len() / 4 / 1000;
        seen.iter().filter(|&&count| count > enough).count()
    }

    /// The average colours of equal parts of the picture, so many across and down.
    pub fn averages(&self, (across, down): (u32, u32)) -> Vec<Rgb> {
        let mut sums = vec![[0u64; 4]; (across * down) as usize];
        for (pixel, index) in self.pixels().zip(0..) {
            let (x, y): (u32, u32) = (index % self.width, index / self.width);
            let sum = &mut sums[(y * down / self.height * across + x * across / self.width) as usize];
            for (sum, value) in sum.iter_mut().zip([pixel.0, pixel.1, pixel.2, 1]) {
                *sum += u64::from(value);
            }
        }
        let average = |sum: u64, count: u64| u8::try_from(sum / count.max(1)).expect("an average of bytes");
        sums.iter().map(|[r, g, b, n]| Rgb(average(*r, *n), average(*g, *n), average(*b, *n))).collect()
    }

    /// The smallest area that contains all noticeable differences from an earlier picture.
    pub fn difference(&self, earlier: &Picture) -> Option<Area> {
        assert_eq!((self.width, self.height), (earlier.width, earlier.height), "two pictures of one window");
        let changed = self
            .pixels()
            .zip(earlier.pixels())
            .enumerate()
            .filter(|(_, (now, then))| distance(*now, *then) > NOTICEABLE);
        let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
        for (index, _) in changed {
            let index = u32::try_from(index).expect("a screenshot has fewer pixels");
            let (x, y) = (index % self.width, index / self.width);
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
        }
        (left <= right).then(|| Area { left, top, width: right - left + 1, height: bottom - top + 1 })
    }
}

/// The largest difference of a channel.
fn distance(one: Rgb, other: Rgb) -> u8 {
    one.0.abs_diff(other.0).max(one.1.abs_diff(other.1)).max(one.2.abs_diff(other.2))
}
