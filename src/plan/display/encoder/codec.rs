//! The codecs of the stream, by their names in Selkies 2.1 and in pixelflux 2.2, its encoder.

/// A codec by its names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Codec {
    /// The encoder of Selkies that makes it.
    pub(super) encoder: &'static str,
    /// In pixelflux.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// What the wheels of pixelflux encode with on the CPU.
    pub(super) software: &'static str,
    /// Whether GPUs encode it; pixelflux has no path for the others.
    pub(super) on_gpus: bool,
}

/// All of them.
const CODECS: [Codec; 7] = [
    codec("h264enc", "h264", "H.264", "x264", true),
    codec("h265enc", "h265", "H.265", "x265", true),
    codec("vp8enc", "vp8", "VP8", "libvpx", true),
    codec("vp9enc", "vp9", "VP9", "libvpx", true),
    codec("av1enc", "av1", "AV1", "SVT-AV1", true),
    codec("h264enc-striped", "h264", "H.264 in stripes", "x264", false),
    codec("jpeg", "jpeg", "JPEG", "libjpeg-turbo", false),
];

const fn codec(
    encoder: &'static str,
    name: &'static str,
    title: &'static str,
    software: &'static str,
    on_gpus: bool,
) -> Codec {
    Codec { encoder, name, title, software, on_gpus }
}

impl Codec {
    /// The codec of an encoder of Selkies; without one, Selkies' own default.
    pub(super) fn of(encoder: Option<&str>) -> &'static Self {
        CODECS.iter().find(|codec| Some(codec.encoder) == encoder).unwrap_or(&CODECS[0])
    }
}
