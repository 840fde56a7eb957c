//! A picture of an X display, as a PNG on standard output: what `desktopd screenshot` and the portal show.
//!
//! The process has the display, and the time and the memory of its own, because an X server can hang, and can send
//! more than was asked for. The lines of a large display are fetched in bands, so that a picture needs no more memory
//! than a band. A band has all of a display of 3840x2160, so there the whole picture is of one moment.

mod pixels;
mod shrink;

use std::fs::File;
use std::io::{self, Write};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::ErrorKind;
use x11rb::protocol::xproto::{ConnectionExt as _, GetImageReply, ImageFormat, Screen};
use x11rb::rust_connection::RustConnection;

use crate::sys::error::describe;
use crate::sys::launch::FIRST_FD;
use pixels::Format;
use shrink::Shrink;

/// The size of a band. Bytes.
const BAND: usize = 34 << 20;

/// How often a picture is begun anew because the display has changed its size meanwhile.
const ATTEMPTS: usize = 3;

/// How much is written at once: as much as a pipe holds. Bytes.
const PIECE: usize = 64 << 10;

/// Prints a picture of the display that the environment names, `width` pixels wide; 0 is the display's own width.
pub(super) fn run(width: &str) -> Result<(), String> {
    let width = width.parse().map_err(|_| format!("{width:?} is not a number of pixels"))?;
    // The picture is for the process that asks.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("setting the signal: {}", error.desc()))?;
    let out = rustix::io::fcntl_dupfd_cloexec(io::stdout(), FIRST_FD);
    let out = out.map_err(|error| format!("standard output: {}", describe(&error.into())))?;
    let (server, screen) = RustConnection::connect(None).map_err(|error| error.to_string())?;
    let screen = &server.setup().roots[screen];
    let mut attempt = 1;
    let (size, first) = loop {
        match begin(&server, screen) {
            Ok(begun) => break begun,
            Err(ReplyError::X11Error(error))
                if error.error_kind == ErrorKind::Match && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    write(File::from(out), &server, screen, size, first, width).map_err(|error| error.to_string())
}

/// The size of the display, and its first band.
fn begin(server: &RustConnection, screen: &Screen) -> Result<((u16, u16), GetImageReply), ReplyError> {
    let now = server.get_geometry(screen.root)?.reply()?;
    let size = (now.width, now.height);
    Ok((size, band(server, screen, size, 0)?))
}

/// The lines from `top` on, as many as a band has. Four bytes a pixel are the most that a server sends.
fn band(
    server: &RustConnection,
    screen: &Screen,
    (width, height): (u16, u16),
    top: u16,
) -> Result<GetImageReply, ReplyError> {
    let most = u16::try_from(BAND / (4 * usize::from(width).max(1))).unwrap_or(u16::MAX).max(1);
    let lines = most.min(height - top);
    let top = i16::try_from(top).unwrap_or(i16::MAX);
    server.get_image(ImageFormat::Z_PIXMAP, screen.root, 0, top, width, lines, u32::MAX)?.reply()
}

fn write(
    out: File,
    server: &RustConnection,
    screen: &Screen,
    size: (u16, u16),
    first: GetImageReply,
    width: u16,
) -> Result<(), Box<dyn std::error::Error>> {
    let format = Format::of(server.setup(), screen, first.depth)?;
    let mut shrink = Shrink::new(size, width);
    let (wide, high) = shrink.size();
    let mut encoder = png::Encoder::new(out, wide, high);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    let mut lines = writer.stream_writer_with_size(PIECE)?;
    let stride = format.stride(size.0);
    let (mut row, mut top, mut next) = (Vec::new(), 0, Some(first));
    while top < size.1 {
        let band = match next.take() {
            Some(band) => band,
            None => band(server, screen, size, top)?,
        };
        let mut taken = 0;
        for line in band.data.chunks_exact(stride).take(usize::from(size.1 - top)) {
            format.row(line, usize::from(size.0), &mut row);
            shrink.take(&row, |line| lines.write_all(line))?;
            taken += 1;
        }
        if taken == 0 {
            return Err("the X server sent fewer lines than the display has".into());
        }
        top += taken;
    }
    lines.finish()?;
    Ok(writer.finish()?)
}
