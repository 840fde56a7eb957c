//! Makes a picture smaller while its lines come in: each pixel of the result is the average of the area that it covers,
//! with parts of pixels at the edges of that area.

use std::io;

/// A picture on its way to its new size.
pub(super) struct Shrink {
    from: (u64, u64),
    to: (u64, u64),
    /// The current line at the new width: sums over widths, weighted with the covered part of each pixel.
    line: Vec<u64>,
    /// The sums of the lines of the current line of the result.
    sums: Vec<u64>,
    /// How much of the current line of the result is covered; all of it is the old height.
    covered: u64,
    /// The finished line.
    done: Vec<u8>,
}

impl Shrink {
    /// From this size to `width` pixels, with the same proportions. A picture does not become larger; 0 keeps its size.
    pub(super) fn new((wide, high): (u16, u16), width: u16) -> Self {
        let from = (u64::from(wide), u64::from(high));
        let to = if width == 0 || width >= wide {
            from
        } else {
            let width = u64::from(width);
            (width, ((from.1 * width + from.0 / 2) / from.0).max(1))
        };
        Self { from, to, line: Vec::new(), sums: Vec::new(), covered: 0, done: Vec::new() }
    }

    /// The new size.
    pub(super) fn size(&self) -> (u32, u32) {
        let fits = |pixels| u32::try_from(pixels).unwrap_or(u32::MAX);
        (fits(self.to.0), fits(self.to.1))
    }

    /// Takes the next line; `give` gets each line of the result.
    pub(super) fn take(
        &mut self,
        row: &[u8],
        mut give: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.from == self.to {
            return give(row);
        }
        self.narrow(row);
        self.sums.resize(self.line.len(), 0);
        // A line of the picture covers `to` parts of a line of the result, which has `from` parts.
        let mut left = self.to.1;
        while left > 0 {
            let part = left.min(self.from.1 - self.covered);
            for (sum, value) in self.sums.iter_mut().zip(&self.line) {
                *sum += value * part;
            }
            left -= part;
            self.covered += part;
            if self.covered == self.from.1 {
                let area = self.from.0 * self.from.1;
                self.done.clear();
                // An average of bytes is a byte.
                let average = |sum: &u64| u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX);
                self.done.extend(self.sums.iter().map(average));
                give(&self.done)?;
                self.sums.fill(0);
                self.covered = 0;
            }
        }
        Ok(())
    }

    /// Makes `line` the sums over the pixels of `row`.
    fn narrow(&mut self, row: &[u8]) {
        self.line.clear();
        let (mut sum, mut covered) = ([0; 3], 0);
        for pixel in row.chunks_exact(3) {
            let mut left = self.to.0;
            while left > 0 {
                let part = left.min(self.from.0 - covered);
                for (sum, value) in sum.iter_mut().zip(pixel) {
                    *sum += u64::from(*value) * part;
                }
                left -= part;
                covered += part;
                if covered == self.from.0 {
                    self.line.extend(sum);
                    (sum, covered) = ([0; 3], 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a picture, which is a function of the place, at another width.
    fn shrunk(
        size: (u16, u16),
        width: u16,
        pixel: impl Fn(u16, u16) -> [u8; 3],
    ) -> ((u32, u32), Vec<Vec<u8>>) {
        let mut shrink = Shrink::new(size, width);
        let mut lines = Vec::new();
        for y in 0..size.1 {
            let row: Vec<u8> = (0..size.0).flat_map(|x| pixel(x, y)).collect();
            let taken = shrink.take(&row, |line| {
                lines.push(line.to_vec());
                Ok(())
            });
            taken.unwrap();
        }
        (shrink.size(), lines)
    }

    #[test]
    fn the_size_keeps_the_proportions_and_never_grows() {
        for (size, width, expected) in [
            ((1920, 1080), 480, (480, 270)),
            ((1920, 1080), 0, (1920, 1080)),
            ((1920, 1080), 1920, (1920, 1080)),
            ((1920, 1080), 5000, (1920, 1080)),
            ((1366, 768), 640, (640, 360)),
            ((32767, 100), 16, (16, 1)),
            ((100, 32767), 1, (1, 328)),
        ] {
            let (found, lines) = shrunk(size, width, |_, _| [9, 8, 7]);
            assert_eq!((found, lines.len()), (expected, expected.1 as usize), "{size:?} {width}");
            let of_one_colour = lines
                .iter()
                .all(|line| line.len() == 3 * found.0 as usize && line.chunks(3).all(|p| p == [9, 8, 7]));
            assert!(of_one_colour, "{size:?} {width}");
        }
    }

    #[test]
    fn a_pixel_is_the_average_of_what_it_covers() {
        // Halves: each is the average of four.
        let checked = |x: u16, y: u16| if (x + y).is_multiple_of(2) { [200, 0, 255] } else { [0, 100, 255] };
        assert_eq!(shrunk((4, 4), 2, checked).1, [[100, 50, 255, 100, 50, 255]; 2]);
        // Two thirds: the pixel in the middle is shared.
        let three = |x: u16, _| [[30, 0, 0], [60, 0, 0], [90, 0, 0]][usize::from(x)];
        assert_eq!(shrunk((3, 3), 2, three).1, [[40, 0, 0, 80, 0, 0]; 2]);
        // The same from top to bottom.
        let down = |_, y: u16| [[30, 0, 0], [60, 0, 0], [90, 0, 0]][usize::from(y)];
        assert_eq!(shrunk((3, 3), 2, down).1, [[40, 0, 0, 40, 0, 0], [80, 0, 0, 80, 0, 0]]);
    }

    #[test]
    fn the_unchanged_picture_is_passed_on() {
        let (_, lines) = shrunk((2, 2), 0, |x, y| [u8::try_from(x).unwrap(), u8::try_from(y).unwrap(), 3]);
        assert_eq!(lines, [[0, 0, 3, 1, 0, 3], [0, 1, 3, 1, 1, 3]]);
    }
}
