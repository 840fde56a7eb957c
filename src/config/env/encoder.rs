//! The video encoder that the user chose: the names of Selkies 2, and the names of Selkies 1.6, which existing
//! templates use.

use super::value::FromVariable;
use crate::sys::env_file::Raw;

/// Every known name, its name in Selkies 2, and whether it means encoding on the CPU.
const NAMES: [(&str, &str, bool); 18] = [
    ("nvh264enc", "h264enc", false),
    ("vah264enc", "h264enc", false),
    ("x264enc", "h264enc", true),
    ("vp8enc", "vp8enc", false),
    ("vp9enc", "vp9enc", false),
    ("openh264enc", "h264enc", true),
    ("nvh265enc", "h265enc", false),
    ("vah265enc", "h265enc", false),
    ("x265enc", "h265enc", true),
    ("nvav1enc", "av1enc", false),
    ("vaav1enc", "av1enc", false),
    ("svtav1enc", "av1enc", true),
    // The same name in both versions; in Selkies 1.6 it is a software encoder.
    ("av1enc", "av1enc", true),
    ("h264enc", "h264enc", false),
    ("h264enc-striped", "h264enc-striped", false),
    ("h265enc", "h265enc", false),
    ("jpeg", "jpeg", false),
    ("x264enc-striped", "h264enc-striped", false),
];

/// One encoder, or several separated by commas. Selkies starts with the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// The names in Selkies 2, separated by commas.
    pub names: String,
    /// Whether the CPU must encode.
    pub cpu: bool,
}

impl FromVariable for Encoder {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let find = |name: &str| NAMES.iter().find(|(known, ..)| *known == name.trim());
        let found: Option<Vec<_>> = text.split(',').map(find).collect();
        match found.as_deref() {
            Some(found @ [(_, _, cpu), ..]) => {
                let names: Vec<&str> = found.iter().map(|(_, name, _)| *name).collect();
                Ok(Self { names: names.join(","), cpu: *cpu })
            }
            _ => Err("one of nvh264enc, vah264enc, x264enc, vp8enc, vp9enc, h264enc, h265enc, av1enc, \
                      h264enc-striped and jpeg, or several separated by commas"),
        }
    }

    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        Ok(text.trim().to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_names_of_both_versions_are_known_and_no_others() {
        for (text, expected) in [
            ("nvh264enc", Some(("h264enc", false))),
            ("x264enc", Some(("h264enc", true))),
            ("vp9enc", Some(("vp9enc", false))),
            ("jpeg, h264enc", Some(("jpeg,h264enc", false))),
            ("h264", None),
            ("nvenc", None),
            ("jpeg,", None),
            ("", None),
        ] {
            let found = Encoder::parse(text).ok();
            let found = found.as_ref().map(|found| (found.names.as_str(), found.cpu));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(Encoder::resolve(" X264enc".into(), &Raw::new()), Ok("x264enc".into()));
        assert!(Encoder::parse("nvenc").unwrap_err().contains("nvh264enc"));
    }
}
