//! An address as a QR code of characters: two rows of the code in one line.

use qrcode::{Color, EcLevel, QrCode};

use crate::cli::{Failure, Screen};

/// The empty border that readers need. Modules.
const QUIET: usize = 4;

/// Black on white, whatever colours the terminal has.
const COLOURS: [&str; 2] = ["\u{1b}[40;97m", "\u{1b}[0m"];

/// The code as lines. Without colours the background is taken to be dark.
pub(super) fn code(text: &str, screen: Screen) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L);
    let code = code.map_err(|_| Failure::of("the address is too long for a QR code"))?;
    let width = code.width() + 2 * QUIET;
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| (QUIET..QUIET + code.width()).contains(&at);
        !inside(x) || !inside(y) || code[(x - QUIET, y - QUIET)] == Color::Light
    };
    let [begin, end] = if screen.colours { COLOURS } else { [""; 2] };
    let mut lines = String::new();
    for y in (0..width).step_by(2) {
        lines.push_str(begin);
        for x in 0..width {
            // Light modules are drawn, dark ones are the background.
            lines.push(match (is_light(x, y), y + 1 < width && is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        lines.extend([end, "\n"]);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules of a drawn code.
    fn drawn(lines: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in lines.lines() {
            rows.push(line.chars().map(|c| matches!(c, '█' | '▀')).collect());
            rows.push(line.chars().map(|c| matches!(c, '█' | '▄')).collect());
        }
        rows
    }

    #[test]
    fn the_code_has_its_modules_and_a_border() {
        let url = "http://203.0.113.9:40610/";
        let lines = code(url, Screen::PLAIN).unwrap();
        let rows = drawn(&lines);
        let expected = QrCode::with_error_correction_level(url, EcLevel::L).unwrap();
        let width = expected.width() + 8;
        assert!(rows.len() == width + width % 2 && rows.iter().all(|row| row.len() == width), "{lines}");
        for (y, row) in rows.iter().enumerate().take(width) {
            for (x, light) in row.iter().enumerate() {
                let inside = (4..width - 4).contains(&x) && (4..width - 4).contains(&y);
                let dark = inside && expected[(x - 4, y - 4)] == Color::Dark;
                assert_eq!(*light, !dark, "{x} {y}\n{lines}");
            }
        }
        // The three squares in the corners.
        let square = |x: usize, y: usize| (0..7).all(|at| !rows[y][x + at] && !rows[y + at][x]);
        assert!(square(4, 4) && square(width - 11, 4) && square(4, width - 11), "{lines}");
    }

    #[test]
    fn it_fits_a_terminal_and_refuses_what_is_too_long() {
        let url = format!("https://{}.proxy.runpod.net/?token={}", "p".repeat(20), "t".repeat(64));
        let lines = code(&url, Screen { colours: true, ..Screen::PLAIN }).unwrap();
        let first = lines.lines().next().unwrap();
        assert!(first.starts_with(COLOURS[0]) && first.ends_with(COLOURS[1]), "{first:?}");
        assert!(first.chars().filter(|c| *c == '█').count() <= 80);
        let error = code(&"x".repeat(4000), Screen::PLAIN).unwrap_err();
        assert_eq!(error.message, "the address is too long for a QR code");
    }
}
