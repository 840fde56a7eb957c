//! The timings of a screen by VESA's formula for coordinated video timings (CVT 1.1) with reduced blanking, which flat
//! screens use. The program `cvt -r` prints the same.

use std::fmt;

/// The time that a screen needs between two pictures. Microseconds.
const LEAST_BLANK: f64 = 460.0;

/// Pixels between two lines.
const BLANK: u32 = 160;

/// The length of the horizontal sync in pixels, in the middle of the pixels between two lines.
const HSYNC: u32 = 32;

/// Lines before the vertical sync.
const FRONT: u32 = 3;

/// The fewest lines after the vertical sync.
const LEAST_BACK: u32 = 6;

/// Widths are multiples of this.
const CELL: u32 = 8;

/// Pixel clocks are multiples of this. Kilohertz.
const STEP: f64 = 250.0;

/// The timings of one screen size. Pixels and lines, counted from the first visible one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Modeline {
    /// Kilohertz.
    clock: f64,
    horizontal: [u32; 4],
    vertical: [u32; 4],
}

impl Modeline {
    /// The timings for a size and a refresh rate in hertz.
    pub(super) fn new(width: u32, height: u32, refresh: u32) -> Self {
        let width = width.max(1).next_multiple_of(CELL);
        let (height, rate) = (height.max(1), f64::from(refresh.max(1)));
        let vsync = vsync(width, height);
        // The estimated time of a line in microseconds. At rates that no screen has, no time would be left.
        let line = ((1_000_000.0 / rate - LEAST_BLANK) / f64::from(height)).max(0.001);
        let blank = whole(LEAST_BLANK / line) + 1;
        let total = height + blank.max(FRONT + vsync + LEAST_BACK);
        let all = width + BLANK;
        let end = width + BLANK / 2;
        // The estimate also decides the clock, as in the program, so that the clock is never too high.
        let clock = f64::from(all) * 1000.0 / line;
        Self {
            clock: clock - clock % STEP,
            horizontal: [width, end - HSYNC, end, all],
            vertical: [height, height + FRONT, height + FRONT + vsync, total],
        }
    }

    /// The mode's name in Xorg's configuration.
    pub(super) fn name(&self) -> String {
        format!("{}x{}R", self.horizontal[0], self.vertical[0])
    }

    /// The size that the rounded mode has.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.horizontal[0], self.vertical[0])
    }
}

/// A line of Xorg's configuration.
impl fmt::Display for Modeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |numbers: [u32; 4]| numbers.map(|number| number.to_string()).join(" ");
        let (horizontal, vertical) = (words(self.horizontal), words(self.vertical));
        let clock = self.clock / 1000.0;
        write!(f, "Modeline \"{}\" {clock:.2} {horizontal} {vertical} +hsync -vsync", self.name())
    }
}

/// The length of the vertical sync in lines. It tells a screen the ratio of the sides.
fn vsync(width: u32, height: u32) -> u32 {
    let ratios = [(4, 3, 4), (16, 9, 5), (16, 10, 6), (5, 4, 7), (15, 9, 7)];
    let fits = |(w, h, _): &(u32, u32, u32)| height.is_multiple_of(*h) && height / h * w == width;
    ratios.iter().find(|ratio| fits(ratio)).map_or(10, |(_, _, lines)| *lines)
}

/// The whole part. The formula has no negative numbers, and none beyond the range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is small and positive"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cvt -r WIDTH HEIGHT REFRESH` of xcvt 0.1.2 prints, with one space between numbers.
    #[test]
    fn the_timings_are_those_of_cvt() {
        for (size, expected) in CVT {
            let (width, height, refresh) = size;
            let line = Modeline::new(width, height, refresh).to_string();
            assert_eq!(line.split_once("\" ").unwrap().1, expected, "{size:?}");
        }
    }

    const CVT: [((u32, u32, u32), &str); 15] = [
        ((1920, 1080, 60), "138.50 1920 1968 2000 2080 1080 1083 1088 1111 +hsync -vsync"),
        ((2560, 1440, 60), "241.50 2560 2608 2640 2720 1440 1443 1448 1481 +hsync -vsync"),
        ((1280, 800, 60), "71.00 1280 1328 1360 1440 800 803 809 823 +hsync -vsync"),
        ((1280, 720, 60), "63.75 1280 1328 1360 1440 720 723 728 741 +hsync -vsync"),
        ((1366, 768, 60), "72.25 1368 1416 1448 1528 768 771 781 790 +hsync -vsync"),
        ((1024, 768, 60), "56.00 1024 1072 1104 1184 768 771 775 790 +hsync -vsync"),
        ((1280, 1024, 60), "90.75 1280 1328 1360 1440 1024 1027 1034 1054 +hsync -vsync"),
        ((1280, 768, 60), "68.00 1280 1328 1360 1440 768 771 781 790 +hsync -vsync"),
        ((3840, 2160, 60), "533.00 3840 3888 3920 4000 2160 2163 2168 2222 +hsync -vsync"),
        ((3840, 2160, 120), "1097.25 3840 3888 3920 4000 2160 2163 2168 2287 +hsync -vsync"),
        ((7680, 4320, 60), "2089.75 7680 7728 7760 7840 4320 4323 4328 4443 +hsync -vsync"),
        ((800, 600, 120), "73.00 800 848 880 960 600 603 607 636 +hsync -vsync"),
        ((5120, 1440, 60), "469.00 5120 5168 5200 5280 1440 1443 1453 1481 +hsync -vsync"),
        ((1350, 1080, 60), "100.75 1352 1400 1432 1512 1080 1083 1093 1111 +hsync -vsync"),
        ((4096, 2160, 240), "2480.00 4096 4144 4176 4256 2160 2163 2173 2429 +hsync -vsync"),
    ];

    #[test]
    fn extreme_sizes_have_timings() {
        for (width, height, refresh) in [(16, 16, 8), (32767, 32767, 1000), (17, 1, 1), (0, 0, 0)] {
            let mode = Modeline::new(width, height, refresh);
            assert!(mode.horizontal.is_sorted() && mode.vertical.is_sorted(), "{mode:?}");
            assert!(mode.clock >= 0.0, "{mode:?}");
        }
        assert_eq!(Modeline::new(1366, 768, 60).size(), (1368, 768));
    }
}
