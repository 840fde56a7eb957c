//! The video encoder that the user chose: the names of Selkies 2, and the names of Selkies 1.6, which existing
//! templates use.

use super::value::FromVariable;
use crate::sys::env_file::Raw;

/// What has to encode, according to the name of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The best that works.
    Any,
    /// NVIDIA's encoder, if it works.
    Nvenc,
    /// The encoder of AMD or Intel, if it works.
    Vaapi,
    /// The CPU.
    Cpu,
}

/// Every known name, its name in Selkies 2, and what has to encode.
const NAMES: [(&str, &str, Maker); 20] = [
    ("nvh264enc", "h264enc", Maker::Nvenc),
    ("vah264enc", "h264enc", Maker::Vaapi),
    ("x264enc", "h264enc", Maker::Cpu),
    ("vp8enc", "vp8enc", Maker::Any),
    ("vp9enc", "vp9enc", Maker::Any),
    ("vavp9enc", "vp9enc", Maker::Vaapi),
    ("openh264enc", "h264enc", Maker::Cpu),
    ("nvh265enc", "h265enc", Maker::Nvenc),
    ("vah265enc", "h265enc", Maker::Vaapi),
    ("x265enc", "h265enc", Maker::Cpu),
    ("nvav1enc", "av1enc", Maker::Nvenc),
    ("vaav1enc", "av1enc", Maker::Vaapi),
    ("svtav1enc", "av1enc", Maker::Cpu),
    ("rav1enc", "av1enc", Maker::Cpu),
    // The same name in both versions; in Selkies 1.6 it is a software encoder.
    ("av1enc", "av1enc", Maker::Cpu),
    ("h264enc", "h264enc", Maker::Any),
    ("h264enc-striped", "h264enc-striped", Maker::Any),
    ("h265enc", "h265enc", Maker::Any),
    ("jpeg", "jpeg", Maker::Any),
    ("x264enc-striped", "h264enc-striped", Maker::Any),
];

/// One encoder, or several separated by commas. Selkies starts with the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// The names in Selkies 2, separated by commas.
    pub names: String,
    /// What has to encode, by the first name.
    pub maker: Maker,
    /// The first name as it was written.
    pub written: String,
}

impl Encoder {
    /// The first name in Selkies 2.
    pub fn first(&self) -> &str {
        self.names.split(',').next().unwrap_or_default()
    }
}

impl FromVariable for Encoder {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let find = |name: &str| NAMES.iter().find(|(known, ..)| *known == name.trim());
        let found: Option<Vec<_>> = text.split(',').map(find).collect();
        match found.as_deref() {
            Some(found @ [(written, _, maker), ..]) => {
                let names: Vec<&str> = found.iter().map(|(_, name, _)| *name).collect();
                Ok(Self { names: names.join(","), maker: *maker, written: (*written).to_owned() })
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
            ("nvh264enc", Some(("h264enc", Maker::Nvenc))),
            ("vaav1enc", Some(("av1enc", Maker::Vaapi))),
            ("x264enc", Some(("h264enc", Maker::Cpu))),
            ("vp9enc", Some(("vp9enc", Maker::Any))),
            ("jpeg, h264enc", Some(("jpeg,h264enc", Maker::Any))),
            ("nvh265enc,x264enc", Some(("h265enc,h264enc", Maker::Nvenc))),
            ("h264", None),
            ("nvenc", None),
            ("jpeg,", None),
            ("", None),
        ] {
            let found = Encoder::parse(text).ok();
            let found = found.as_ref().map(|found| (found.names.as_str(), found.maker));
            assert_eq!(found, expected, "{text}");
        }
        let several = Encoder::parse("nvh265enc, x264enc").unwrap();
        assert_eq!((several.first(), several.written.as_str()), ("h265enc", "nvh265enc"));
        assert_eq!(Encoder::resolve(" X264enc".into(), &Raw::new()), Ok("x264enc".into()));
        assert!(Encoder::parse("nvenc").unwrap_err().contains("nvh264enc"));
    }

    #[test]
    fn every_name_leads_to_an_encoder_of_selkies_2() {
        // The list of Selkies 2.1.0.
        let known = ["h264enc", "h265enc", "vp8enc", "vp9enc", "av1enc", "h264enc-striped", "jpeg"];
        for (name, in_selkies_2, _) in NAMES {
            assert!(known.contains(&in_selkies_2), "{name}");
        }
        for name in known {
            assert_eq!(Encoder::parse(name).unwrap().names, name);
        }
    }
}
