//! The encoded forms of a value, in the encodings that programs use for text that they print and send.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The shortest value that is searched in base64: shorter ones would mask ordinary text. Bytes.
const SHORTEST_IN_BASE64: usize = 6;

/// The characters that each variant of percent-encoding keeps, beside letters and digits: RFC 3986, forms, JavaScript's
/// `encodeURIComponent` and `encodeURI`, Python's `quote`, and a variant that keeps none.
const PERCENT: [&str; 6] = ["-._~", "*-._", "-_.!~*'()", "-_.!~*'();/?:@&=+$,#", "-._~/", ""];

/// The plain value and all its encoded forms.
pub(super) fn of(value: &str) -> Vec<String> {
    let mut all = vec![value.to_owned(), hexadecimal(value), hexadecimal(value).to_ascii_uppercase()];
    for kept in PERCENT {
        for upper in [true, false] {
            let text = percent(value, kept, upper);
            // As forms write blanks.
            all.push(text.replace("%20", "+"));
            all.push(text);
        }
    }
    let json = serde_json::to_string(value).unwrap_or_default();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json);
    all.extend([json.to_owned(), json.replace('/', "\\/"), ascii(json)]);
    if value.len() >= SHORTEST_IN_BASE64 {
        for skipped in 0..3 {
            all.push(inner(value, skipped, |bytes| STANDARD_NO_PAD.encode(bytes)));
            all.push(inner(value, skipped, |bytes| URL_SAFE_NO_PAD.encode(bytes)));
        }
    }
    // Text is searched line by line, so a form with a line end would never match.
    all.retain(|text| !text.is_empty() && !text.contains('\n'));
    all
}

fn hexadecimal(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn percent(value: &str, kept: &str, upper: bool) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        let plain = byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte);
        let _ = match (plain, upper) {
            (true, _) => write!(text, "{}", char::from(byte)),
            (false, true) => write!(text, "%{byte:02X}"),
            (false, false) => write!(text, "%{byte:02x}"),
        };
        text
    })
}

/// JSON with all other characters than ASCII escaped, as some programs write it.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

/// The part that is common to all base64 texts in which the value begins `before` bytes (modulo 3) after the start. The
/// characters at both ends depend on the neighbouring bytes and are left out.
fn inner(value: &str, before: usize, encode: impl Fn(&[u8]) -> String) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let encoded = encode(&bytes);
    // Each character has 6 bits.
    let first = (before * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    encoded[first..end].to_owned()
}
