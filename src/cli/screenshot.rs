//! `desktopd screenshot`: a picture of the desktop in a file.

use std::path::Path;

use crate::gateway::builtin;
use crate::sys::print;

use super::args::Screenshot;
use super::client::Client;
use super::output::write_file;
use super::{Failure, Screen, code};

/// The bytes of a PNG before its width and height.
const HEAD: usize = 16;

/// Runs the command.
pub(super) async fn screenshot(client: &Client, args: &Screenshot, screen: Screen) -> Result<(), Failure> {
    let to_output = args.file == Path::new("-");
    if to_output && screen.terminal {
        let text = "standard output is a terminal: name a file, or end with > FILE";
        return Err(Failure::new(code::USAGE, text));
    }
    let query = args.width.map(|width| format!("?width={width}")).unwrap_or_default();
    let png = client.text(&format!("{}{query}", builtin::SCREENSHOT)).await?;
    if to_output {
        return Ok(print::data(&png)?);
    }
    write_file(&args.file, &png, 0o644)?;
    let size = size(&png).map(|(width, height)| format!("{width}x{height}, ")).unwrap_or_default();
    Ok(print::out(&format!("{}: {size}{} KiB\n", args.file.display(), png.len().div_ceil(1024)))?)
}

/// Width and height of a PNG.
fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    number(HEAD).zip(number(HEAD + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_of_the_picture() {
        let mut png = Vec::new();
        png::Encoder::new(&mut png, 480, 270).write_header().unwrap();
        assert_eq!(size(&png), Some((480, 270)));
        assert_eq!(size(&png[..20]), None);
    }
}
