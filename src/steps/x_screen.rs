//! Sets the initial screen size, on an X server that was started with room for larger sizes.

use std::error::Error;

use x11rb::connection::Connection;
use x11rb::protocol::randr::{self, ConnectionExt as _, ModeInfo, Output, SetConfig};
use x11rb::protocol::xproto::{ConnectionExt as _, Window};
use x11rb::rust_connection::RustConnection;

use crate::config::service::step::XScreen;

/// Blank pixels and lines around a picture, as in CVT's timings with reduced blanking. There is no real monitor.
const BLANK: [u16; 2] = [160, 41];

/// Sets the size of the screen.
pub(super) fn run(XScreen { display, width, height, refresh, dpi }: &XScreen) -> Result<(), String> {
    resize(display, &mode(*width, *height, *refresh), *dpi)
        .map_err(|error| format!("{width}x{height} on {display}: {error}"))
}

fn resize(display: &str, mode: &ModeInfo, dpi: u32) -> Result<(), Box<dyn Error>> {
    let (server, screen) = RustConnection::connect(Some(display))?;
    let root = server.setup().roots[screen].root;
    let now = server.get_geometry(root)?.reply()?;
    if (now.width, now.height) == (mode.width, mode.height) {
        return Ok(());
    }
    let most = server.randr_get_screen_size_range(root)?.reply()?;
    if mode.width > most.max_width || mode.height > most.max_height {
        return Err(format!("the server has room for {}x{}", most.max_width, most.max_height).into());
    }
    let resources = server.randr_get_screen_resources_current(root)?.reply()?;
    let time = resources.config_timestamp;
    let (output, info) = output(&server, &resources.outputs, time)?;
    let crtc = *info.crtcs.first().ok_or("its output has no CRTC")?;
    let same = |known: &&ModeInfo| {
        (known.width, known.height) == (mode.width, mode.height) && info.modes.contains(&known.id)
    };
    let id = match resources.modes.iter().find(same) {
        Some(known) => known.id,
        None => made(&server, root, output, mode)?,
    };
    // Programs must not see a screen with inconsistent parts.
    server.grab_server()?;
    let status = |reply: randr::SetCrtcConfigReply| match reply.status {
        SetConfig::SUCCESS => Ok(()),
        other => Err(format!("the server refused the mode: {other:?}")),
    };
    let rotation = randr::Rotation::ROTATE0;
    status(server.randr_set_crtc_config(crtc, 0, time, 0, 0, 0, rotation, &[])?.reply()?)?;
    let millimetres = |pixels: u16| (u32::from(pixels) * 254 / dpi.max(1)).div_ceil(10);
    let (width, height) = (mode.width, mode.height);
    server.randr_set_screen_size(root, width, height, millimetres(width), millimetres(height))?.check()?;
    status(server.randr_set_crtc_config(crtc, 0, time, 0, 0, id, rotation, &[output])?.reply()?)?;
    // Closing the connection ends the grab.
    Ok(())
}

/// The first output that is in use.
fn output(
    server: &RustConnection,
    outputs: &[Output],
    time: u32,
) -> Result<(Output, randr::GetOutputInfoReply), Box<dyn Error>> {
    for output in outputs {
        let info = server.randr_get_output_info(*output, time)?.reply()?;
        if info.connection == randr::Connection::CONNECTED {
            return Ok((*output, info));
        }
    }
    Err("no output is connected".into())
}

/// Creates a new mode for the output.
fn made(
    server: &RustConnection,
    root: Window,
    output: Output,
    mode: &ModeInfo,
) -> Result<randr::Mode, Box<dyn Error>> {
    let name = format!("{}x{}", mode.width, mode.height);
    let mode = ModeInfo { name_len: u16::try_from(name.len())?, ..*mode };
    let id = server.randr_create_mode(root, mode, name.as_bytes())?.reply()?.mode;
    server.randr_add_output_mode(output, id)?.check()?;
    Ok(id)
}

/// A mode with the refresh rate `refresh`.
fn mode(width: u16, height: u16, refresh: u32) -> ModeInfo {
    let (htotal, vtotal) = (width.saturating_add(BLANK[0]), height.saturating_add(BLANK[1]));
    let clock = u64::from(htotal) * u64::from(vtotal) * u64::from(refresh);
    ModeInfo {
        id: 0,
        width,
        height,
        dot_clock: u32::try_from(clock).unwrap_or(u32::MAX),
        hsync_start: width.saturating_add(48),
        hsync_end: width.saturating_add(80),
        htotal,
        hskew: 0,
        vsync_start: height.saturating_add(3),
        vsync_end: height.saturating_add(8),
        vtotal,
        name_len: 0,
        mode_flags: randr::ModeFlag::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_the_requested_refresh_rate() {
        for (width, height, refresh) in [(1920, 1080, 60), (1366, 768, 30), (16, 16, 8), (3840, 2160, 144)] {
            let mode = mode(width, height, refresh);
            assert_eq!((mode.width, mode.height), (width, height));
            assert_eq!(mode.dot_clock / u32::from(mode.htotal) / u32::from(mode.vtotal), refresh);
            assert!(
                width < mode.hsync_start && mode.hsync_start < mode.hsync_end && mode.hsync_end < mode.htotal
            );
            assert!(
                height < mode.vsync_start
                    && mode.vsync_start < mode.vsync_end
                    && mode.vsync_end < mode.vtotal
            );
        }
        // A pixel clock beyond the maximum is limited to it.
        assert_eq!(mode(32767, 32767, 1000).dot_clock, u32::MAX);
    }
}
