//! The form in which an X server sends the pixels of a display. Nearly all servers send 24 bits of colour in 32 bits, in
//! the byte order of the machine; all others that a server may send are understood as well.

use x11rb::protocol::xproto::{ImageOrder, Screen, Setup, VisualClass, Visualtype};

/// Where the bits of a colour are in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Channel {
    shift: u32,
    bits: u32,
}

impl Channel {
    fn of(mask: u32) -> Self {
        Self { shift: mask.trailing_zeros().min(31), bits: mask.count_ones() }
    }

    /// The colour as a byte: full brightness becomes 255.
    fn value(self, pixel: u32) -> u8 {
        let most = (1u64 << self.bits) - 1;
        let value = u64::from(pixel >> self.shift) & most;
        // At most 255.
        u8::try_from((value * 255 + most / 2) / most.max(1)).unwrap_or(u8::MAX)
    }

    /// The byte that is the colour, if one is.
    fn byte(self, bytes: usize, big: bool) -> Option<usize> {
        let at = usize::try_from(self.shift / 8).ok()?;
        let whole = self.bits == 8 && self.shift.is_multiple_of(8) && at < bytes;
        whole.then(|| if big { bytes - 1 - at } else { at })
    }
}

/// The form of the pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// Bytes of a pixel.
    bytes: usize,
    /// A line has a multiple of this number of bytes.
    pad: usize,
    /// Whether the first byte of a pixel has its highest bits.
    big: bool,
    /// Red, green and blue.
    channels: [Channel; 3],
    /// The bytes that are the colours, if each is a byte of its own.
    whole: Option<[usize; 3]>,
}

impl Format {
    /// The form of pixels of this depth.
    pub(super) fn of(setup: &Setup, screen: &Screen, depth: u8) -> Result<Self, String> {
        let format = setup.pixmap_formats.iter().find(|format| format.depth == depth);
        let format = format.ok_or_else(|| format!("the X server has no format for depth {depth}"))?;
        let visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
        let visual = visuals.into_iter().find(|visual| visual.visual_id == screen.root_visual);
        let visual = visual.ok_or("the X server does not describe its pixels")?;
        let big = setup.image_byte_order == ImageOrder::MSB_FIRST;
        Self::new(visual, (format.bits_per_pixel, format.scanline_pad), big)
    }

    fn new(visual: &Visualtype, (bits, pad): (u8, u8), big: bool) -> Result<Self, String> {
        let Visualtype { class, red_mask, green_mask, blue_mask, .. } = *visual;
        let masks = [red_mask, green_mask, blue_mask];
        let is_true = [VisualClass::TRUE_COLOR, VisualClass::DIRECT_COLOR].contains(&class);
        if !is_true || masks.contains(&0) || !matches!(bits, 8 | 16 | 24 | 32) {
            return Err(format!("the display's pixels of {bits} bits are not red, green and blue"));
        }
        let (bytes, channels) = (usize::from(bits / 8), masks.map(Channel::of));
        let [red, green, blue] = channels.map(|channel| channel.byte(bytes, big));
        let whole = red.zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue]);
        Ok(Self { bytes, pad: usize::from(pad / 8).max(1), big, channels, whole })
    }

    /// The bytes of a line with this many pixels.
    pub(super) fn stride(&self, width: u16) -> usize {
        (usize::from(width) * self.bytes).next_multiple_of(self.pad).max(1)
    }

    /// Makes `row` the line's pixels as bytes of red, green and blue.
    pub(super) fn row(&self, line: &[u8], width: usize, row: &mut Vec<u8>) {
        row.clear();
        let pixels = line.chunks_exact(self.bytes).take(width);
        match (self.whole, self.bytes) {
            // The usual case, with a length that the compiler knows.
            (Some([red, green, blue]), 4) => {
                row.extend(pixels.flat_map(|pixel| {
                    let pixel = [pixel[0], pixel[1], pixel[2], pixel[3]];
                    [pixel[red & 3], pixel[green & 3], pixel[blue & 3]]
                }));
            }
            _ => row.extend(pixels.flat_map(|pixel| {
                let fold = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
                let value =
                    if self.big { pixel.iter().fold(0, fold) } else { pixel.iter().rev().fold(0, fold) };
                self.channels.map(|channel| channel.value(value))
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(masks: [u32; 3], bits: u8, big: bool) -> Format {
        let [red_mask, green_mask, blue_mask] = masks;
        let class = VisualClass::TRUE_COLOR;
        let visual = Visualtype { class, red_mask, green_mask, blue_mask, ..Visualtype::default() };
        Format::new(&visual, (bits, 32), big).unwrap()
    }

    const RGB: [u32; 3] = [0x00ff_0000, 0xff00, 0xff];

    #[test]
    fn pixels_of_all_depths_and_byte_orders_become_red_green_and_blue() {
        let orange = [0xff, 0x80, 0x10];
        for (masks, bits, big, bytes) in [
            // Depth 24, and depth 32 with opacity, which a display does not have.
            (RGB, 32, false, &[0x10, 0x80, 0xff, 0][..]),
            (RGB, 32, false, &[0x10, 0x80, 0xff, 0xcc]),
            (RGB, 32, true, &[0, 0xff, 0x80, 0x10]),
            (RGB, 24, false, &[0x10, 0x80, 0xff]),
            (RGB, 24, true, &[0xff, 0x80, 0x10]),
            // Blue first.
            ([0xff, 0xff00, 0x00ff_0000], 32, false, &[0xff, 0x80, 0x10, 0]),
            ([0xff, 0xff00, 0x00ff_0000], 32, true, &[0, 0x10, 0x80, 0xff]),
            // Depth 30: 1023, 514, 64.
            ([0x3ff0_0000, 0x000f_fc00, 0x3ff], 32, false, &[0x40, 0x08, 0xf8, 0x3f]),
            ([0x3ff0_0000, 0x000f_fc00, 0x3ff], 32, true, &[0x3f, 0xf8, 0x08, 0x40]),
        ] {
            let format = format(masks, bits, big);
            let (mut row, line) = (Vec::new(), [bytes, bytes, &[7; 4]].concat());
            format.row(&line, 2, &mut row);
            assert_eq!(row, [orange, orange].concat(), "{masks:x?} {bits} {big}");
        }
    }

    #[test]
    fn sixteen_bits_reach_full_brightness() {
        let format = format([0xf800, 0x07e0, 0x001f], 16, false);
        let mut row = Vec::new();
        format.row(&[0xff, 0xff, 0, 0, 0x00, 0xf8, 0, 0], 3, &mut row);
        assert_eq!(row, [255, 255, 255, 0, 0, 0, 255, 0, 0]);
        assert_eq!((format.stride(3), format.stride(4), format.stride(0)), (8, 8, 1));
    }

    #[test]
    fn a_palette_is_refused_in_words() {
        let visual = Visualtype { class: VisualClass::PSEUDO_COLOR, ..Visualtype::default() };
        let error = Format::new(&visual, (8, 32), false).unwrap_err();
        assert_eq!(error, "the display's pixels of 8 bits are not red, green and blue");
    }
}
