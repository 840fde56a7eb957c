//! Sentences about encoders that do not work, for people: what pixelflux and the drivers say, with a remedy.

/// What helps, by a part of what pixelflux 2.2 says. The first that fits counts.
const REMEDIES: [(&str, &str); 11] = [
    ("libcuda.so", "start the container with --gpus all, and with NVIDIA_DRIVER_CAPABILITIES=all"),
    ("libnvidia-encode.so", "start the container with NVIDIA_DRIVER_CAPABILITIES=all"),
    (
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "restart the host, so that its kernel module and its libraries are of one version",
    ),
    ("Init CUDA failed", "restart the container; see the lines of NVRM in dmesg on the host"),
    ("NVENC session", "end other programs that encode on this GPU, or choose another GPU"),
    ("no NVENC session to spare", "end other programs that encode on this GPU, or choose another GPU"),
    ("NVENC has no", "choose another codec with WEBRTC_ENCODER, such as h264enc"),
    (
        "libva",
        "install libva-drm2 in the image, and a driver: mesa-va-drivers for AMD, intel-media-va-driver for Intel",
    ),
    (
        "carries no VA display",
        "install a driver in the image: mesa-va-drivers for AMD, intel-media-va-driver for Intel",
    ),
    (
        "vaInitialize",
        "install a driver in the image: mesa-va-drivers for AMD, intel-media-va-driver for Intel",
    ),
    ("Permission denied", "start the container with --group-add and the group of the node"),
];

/// Why an encoder was not tried any more.
pub(super) const LATE: &str =
    "not tried, because the drivers tried before took too long: see dmesg on the host";

/// Why a picture was encoded by the CPU, which is what `software` names.
pub(super) fn with_remedy(reason: &str, software: &str) -> String {
    let reason = reason.trim();
    if reason.is_empty() {
        return format!("{software} has encoded in its place, and pixelflux does not say why");
    }
    match REMEDIES.iter().find(|(part, _)| reason.contains(part)) {
        Some((_, remedy)) => format!("{reason}: {remedy}"),
        None => reason.to_owned(),
    }
}

/// What a try without an answer means; `how` says how its process ended.
pub(super) fn of_driver(how: &str) -> String {
    format!(
        "the driver crashed or hung while it encoded a picture ({how}): see dmesg on the host, and update the driver"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pixelflux_says_has_a_remedy() {
        for (reason, remedy) in [
            // As they were seen with pixelflux 2.2.1.
            (
                "NVENC H264 did not open: Could not load CUDA library (libcuda.so.1): dlopen failed",
                "--gpus all",
            ),
            (
                "NVENC H264 did not open: Could not load NVENC library (libnvidia-encode.so.1): dlopen failed",
                "NVIDIA_DRIVER_CAPABILITIES=all",
            ),
            ("NVENC H264 did not open: Init CUDA failed: CUDA_ERROR_NO_DEVICE", "NVRM"),
            ("VAAPI H264 did not open: libva.so.2: dlopen failed", "libva-drm2"),
            ("VAAPI H264 did not open: /dev/dri/renderD128 carries no VA display", "mesa-va-drivers"),
            ("/dev/dri/renderD128: Permission denied (os error 13)", "--group-add"),
            // As they are in the library.
            ("NVENC AV1 did not open: this GPU's NVENC has no AV1", "WEBRTC_ENCODER"),
            ("Failed to open NVENC session", "other programs"),
        ] {
            let told = with_remedy(reason, "x264");
            assert!(told.starts_with(reason) && told.contains(remedy), "{told}");
        }
        assert_eq!(with_remedy("something new", "x264"), "something new");
        assert!(with_remedy(" ", "x264").contains("x264 has encoded"));
    }
}
