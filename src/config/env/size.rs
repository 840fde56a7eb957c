//! A size in pixels, written as `3840x2160`.

use std::fmt;

use super::value::FromVariable;
use crate::sys::env_file::Raw;

/// The smallest and the largest side that an X server can have.
const LEAST: u32 = 16;
const MOST: u32 = 32767;

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl FromVariable for Size {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (width, height) = text.split_once('x').ok_or("a size such as 3840x2160")?;
        let side = |text: &str| match text.trim().parse::<u32>() {
            Ok(side) if (LEAST..=MOST).contains(&side) => Ok(side),
            _ => Err("a size such as 3840x2160"),
        };
        Ok(Self { width: side(width)?, height: side(height)? })
    }

    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        match Self::parse(&lower) {
            Ok(size) => Ok(size.to_string()),
            Err(_) => Err(format!(
                "\"{text}\" is not a size such as 3840x2160, with sides from {LEAST} to {MOST} pixels"
            )),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_two_sides_within_bounds() {
        for (text, expected) in [
            ("3840x2160", Some("3840x2160")),
            (" 3840 X 2160 ", Some("3840x2160")),
            ("3840", None),
            ("3840x", None),
            ("3840x2160x24", None),
            ("15x2160", None),
            ("3840x32768", None),
            ("-1x2160", None),
        ] {
            assert_eq!(Size::resolve(text.into(), &Raw::new()).ok().as_deref(), expected, "{text}");
        }
        let told = Size::resolve("large".into(), &Raw::new()).unwrap_err();
        assert!(told.starts_with("\"large\" is not a size such as 3840x2160"), "{told}");
    }
}
