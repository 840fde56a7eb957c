//! What encodes the video of the stream, on simulated machines.

use super::*;
use crate::facts::encoder::{Hardware, Trial, Trials, Tried};
use crate::facts::gpu::{Gpu, Gpus, Nodes, Vendor};
use crate::plan::display::encoder::Decision;

/// A GPU at `pci` with the render node of that number. `encoder`: the name of its encoder, or why it has none.
fn gpu(vendor: Vendor, pci: &str, node: Option<u32>, encoder: Result<&str, &str>) -> Gpu {
    Gpu {
        vendor,
        name: None,
        pci: Some(pci.into()),
        uuid: None,
        driver: None,
        nodes: Nodes { render: node.map(|node| format!("/dev/dri/renderD{node}")), ..Nodes::default() },
        egl: None,
        cuda: None,
        encoder: encoder.ok().map(str::to_owned),
        encoder_reason: encoder.err().map(str::to_owned),
        usable: true,
        reason: String::new(),
    }
}

fn nvidia() -> Gpu {
    gpu(Vendor::Nvidia, "0000:01:00.0", Some(128), Ok("nvenc"))
}

fn intel() -> Gpu {
    gpu(Vendor::Intel, "0000:00:02.0", Some(129), Ok("vaapi"))
}

fn machine(gpus: &[Gpu], tried: &[Tried]) -> Facts {
    let programs =
        Programs::given("/usr/bin", [("selkies", "/opt/selkies/bin/selkies"), ("app", "/usr/bin/app")]);
    Facts {
        programs,
        gpus: Gpus { gpus: gpus.to_vec(), ..Gpus::default() },
        encoders: tried.to_vec(),
        ..facts()
    }
}

const SERVICES: [(&str, &str); 2] = [
    ("selkies", "command = [\"selkies\"]\nhook = \"selkies\"\nafter = [\"encoder\"]"),
    (
        "encoder",
        "hook = \"encoder\"\nstep = { name = \"encoder\", run-dir = \"${run-dir}\", script = \"/s\", width = \"${width}\", \
         height = \"${height}\" }",
    ),
];

fn planned(environment: &[(&str, &str)], facts: &Facts) -> Plan {
    let plan = Plan::build(&config(environment, "", &SERVICES), facts);
    assert_eq!(plan.problems, []);
    plan
}

/// The variables of Selkies that choose what encodes.
fn variables(plan: &Plan) -> String {
    let env = &plan.unit("selkies").unwrap().launch.env;
    let names = ["SELKIES_ENCODER", "SELKIES_ENCODE_DRI", "SELKIES_GPU_ID", "SELKIES_USE_CPU"];
    let set = names.iter().filter_map(|name| {
        Some(format!("{}={}", name.trim_start_matches("SELKIES_"), env.get(&OsString::from(name))?.to_str()?))
    });
    set.collect::<Vec<_>>().join(" ")
}

/// What the step tries; empty if it is skipped.
fn trials(plan: &Plan) -> Vec<Trial> {
    let unit = plan.unit("encoder").unwrap();
    if unit.disposition != Disposition::Run {
        return Vec::new();
    }
    let work: Trials = serde_json::from_str(unit.launch.argv.last().unwrap()).unwrap();
    work.trials
}

fn trial(hardware: Hardware, node: Option<u32>, codec: &str) -> Trial {
    Trial { hardware, node: node.map(|node| format!("/dev/dri/renderD{node}")), codec: codec.into() }
}

/// GPUs, variables, the summary, and the variables of Selkies that follow.
type Case<'a> = (&'a [Gpu], &'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn the_encoder_follows_the_machine_and_the_variables() {
    let no_library =
        "libnvidia-encode.so.1 is missing: start the container with NVIDIA_DRIVER_CAPABILITIES=all";
    let without = || gpu(Vendor::Nvidia, "0000:01:00.0", Some(128), Err(no_library));
    let nodeless = gpu(Vendor::Nvidia, "0000:01:00.0", None, Ok("nvenc"));
    let virtual_card =
        gpu(Vendor::Virtual, "0000:00:01.0", Some(128), Err("such a card has no video encoder"));
    let both = [nvidia(), intel()];
    let wish = |value: &'static str| ("WEBRTC_ENCODER", value);
    let cases: [Case<'_>; 22] = [
        (&[], &[], "x264 (H.264) on the CPU", ""),
        (&[virtual_card], &[], "x264 (H.264) on the CPU", ""),
        (&[], &[wish("nvh264enc")], "x264 (H.264) on the CPU", "ENCODER=h264enc"),
        (&[], &[wish("x264enc")], "x264 (H.264) on the CPU", "ENCODER=h264enc USE_CPU=true"),
        (&[], &[wish("jpeg")], "libjpeg-turbo (JPEG) on the CPU", "ENCODER=jpeg"),
        (
            &both,
            &[],
            "NVENC (H.264) on NVIDIA GPU (0000:01:00.0), not tried yet",
            "ENCODE_DRI=/dev/dri/renderD128",
        ),
        (&[nodeless], &[], "NVENC (H.264) on NVIDIA GPU (0000:01:00.0), not tried yet", ""),
        (
            &both,
            &[wish("vah265enc")],
            "VA-API (H.265) on Intel GPU (0000:00:02.0), not tried yet",
            "ENCODER=h265enc ENCODE_DRI=/dev/dri/renderD129",
        ),
        (
            &both,
            &[wish("nvav1enc")],
            "NVENC (AV1) on NVIDIA GPU (0000:01:00.0), not tried yet",
            "ENCODER=av1enc ENCODE_DRI=/dev/dri/renderD128",
        ),
        // NVENC has never encoded VP9, and VA-API may.
        (
            &both,
            &[wish("vp9enc")],
            "VA-API (VP9) on Intel GPU (0000:00:02.0), not tried yet",
            "ENCODER=vp9enc ENCODE_DRI=/dev/dri/renderD129",
        ),
        (&both, &[wish("x265enc")], "x265 (H.265) on the CPU", "ENCODER=h265enc USE_CPU=true"),
        (&both, &[wish("h264enc-striped")], "x264 (H.264 in stripes) on the CPU", "ENCODER=h264enc-striped"),
        (&both, &[("SELKIES_USE_CPU", "true")], "x264 (H.264) on the CPU", "USE_CPU=true"),
        (&both, &[("SELKIES_GPU_ID", "-1")], "x264 (H.264) on the CPU", "GPU_ID=-1 USE_CPU=true"),
        (&both, &[("GPU_COUNT", "0")], "x264 (H.264) on the CPU", "GPU_ID=-1"),
        (&[without()], &[], "x264 (H.264) on the CPU", "GPU_ID=-1"),
        (
            &[without(), intel()],
            &[wish("nvh264enc")],
            "VA-API (H.264) on Intel GPU (0000:00:02.0), not tried yet",
            "ENCODER=h264enc ENCODE_DRI=/dev/dri/renderD129",
        ),
        // What Selkies' own variables say stays as it is.
        (
            &both,
            &[("SELKIES_GPU_ID", "1")],
            "VA-API (H.264) on Intel GPU (0000:00:02.0), not tried yet",
            "GPU_ID=1",
        ),
        (
            &both,
            &[("SELKIES_ENCODE_DRI", "/dev/dri/renderD129"), ("SELKIES_GPU_ID", "0")],
            "VA-API (H.264) on Intel GPU (0000:00:02.0), not tried yet",
            "ENCODE_DRI=/dev/dri/renderD129 GPU_ID=0",
        ),
        (&both, &[("AUTO_GPU", "intel")], "VA-API (H.264) on Intel GPU (0000:00:02.0), not tried yet", ""),
        (&both, &[("SELKIES_AUTO_GPU", "panfrost")], "x264 (H.264) on the CPU", ""),
        (
            &both,
            &[("SELKIES_AUTO_GPU", "true")],
            "NVENC (H.264) on NVIDIA GPU (0000:01:00.0), not tried yet",
            "ENCODE_DRI=/dev/dri/renderD128",
        ),
    ];
    for (gpus, environment, summary, expected) in cases {
        let plan = planned(environment, &machine(gpus, &[]));
        assert_eq!(plan.encoder.summary(), summary, "{environment:?} {:#?}", plan.encoder);
        assert_eq!(variables(&plan), expected, "{environment:?} {:#?}", plan.encoder);
        let Decision { candidates, .. } = &plan.encoder;
        assert_eq!(candidates.iter().filter(|one| one.taken).count(), 1, "{candidates:#?}");
        assert!(candidates.iter().all(|one| one.reason.len() > 10), "{candidates:#?}");
        assert_eq!(trials(&plan).is_empty(), summary.contains("CPU"), "{environment:?}");
    }
}

#[test]
fn an_encoder_that_failed_is_followed_by_the_next_one_with_its_reason() {
    let gpus = [nvidia(), intel()];
    let (nvenc, vaapi) =
        (trial(Hardware::Nvenc, Some(128), "h264"), trial(Hardware::Vaapi, Some(129), "h264"));
    let tried = |trial: &Trial, failure: Option<&str>| Tried {
        trial: trial.clone(),
        failure: failure.map(str::to_owned),
    };
    let before = planned(&[], &machine(&gpus, &[]));
    assert_eq!(trials(&before), [nvenc.clone(), vaapi.clone()]);
    let works = planned(&[], &machine(&gpus, &[tried(&nvenc, None)]));
    assert_eq!(works.encoder.line(), "NVENC (H.264) on NVIDIA GPU (0000:01:00.0)");
    let next = planned(&[], &machine(&gpus, &[tried(&nvenc, Some("no session")), tried(&vaapi, None)]));
    assert_eq!(
        next.encoder.line(),
        "VA-API (H.264) on Intel GPU (0000:00:02.0); not NVENC on NVIDIA GPU (0000:01:00.0): no session"
    );
    assert_eq!(variables(&next), "ENCODE_DRI=/dev/dri/renderD129");
    let failed = [tried(&nvenc, Some("no session")), tried(&vaapi, Some("no VA display"))];
    let none = planned(&[], &machine(&gpus, &failed));
    assert_eq!(none.encoder.summary(), "x264 (H.264) on the CPU");
    assert!(none.encoder.line().ends_with("not VA-API on Intel GPU (0000:00:02.0): no VA display"));
    assert_eq!(variables(&none), "GPU_ID=-1");
    // Another codec has another result.
    let other =
        planned(&[("WEBRTC_ENCODER", "av1enc,h264enc"), ("SELKIES_USE_CPU", "")], &machine(&gpus, &failed));
    assert!(other.encoder.summary().starts_with("SVT-AV1"), "{}", other.encoder.line());
    let other = planned(&[("WEBRTC_ENCODER", "h265enc")], &machine(&gpus, &failed));
    assert!(other.encoder.summary().starts_with("NVENC (H.265)"), "{}", other.encoder.line());
    // The step is the same after its results are known, so that it does not run again because of them.
    for plan in [&works, &next, &none] {
        let unit = |plan: &Plan| plan.unit("encoder").unwrap().clone();
        assert_eq!(unit(plan), unit(&before));
    }
}

#[test]
fn the_step_runs_only_where_there_is_something_to_try() {
    assert!(
        reason(&planned(&[], &machine(&[], &[])), "encoder")
            .contains("nothing to try: x264 (H.264) on the CPU")
    );
    let selkies = Facts {
        programs: Programs::given("/usr/bin", [("app", "/usr/bin/app")]),
        ..machine(&[nvidia()], &[])
    };
    let plan = planned(&[], &selkies);
    assert!(reason(&plan, "encoder").contains("selkies"), "{}", reason(&plan, "encoder"));
    let plan = planned(&[], &machine(&[nvidia()], &[]));
    let argv = &plan.unit("encoder").unwrap().launch.argv;
    let work: Trials = serde_json::from_str(argv.last().unwrap()).unwrap();
    let user = work.user.unwrap();
    assert_eq!((user.identity.uid, user.identity.groups, user.name.as_str()), (1000, vec![1000, 44], "user"));
    assert_eq!(work.selkies, Path::new("/opt/selkies/bin/selkies"));
    // Two GPUs that Selkies cannot tell apart are tried once.
    let gpus = ["0000:01:00.0", "0000:02:00.0"].map(|pci| gpu(Vendor::Nvidia, pci, None, Ok("nvenc")));
    assert_eq!(trials(&planned(&[], &machine(&gpus, &[]))), [trial(Hardware::Nvenc, None, "h264")]);
}

/// The shipped stream starts after the tries, whatever becomes of them.
#[test]
fn the_shipped_stream_waits_for_the_shipped_tries() {
    let services = shipped();
    let services: Vec<_> = services.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let programs = ["Xvfb", "dbus-daemon", "selkies"].map(|name| (name, format!("/usr/bin/{name}")));
    let programs = Programs::given("/usr/bin", programs.iter().map(|(name, file)| (*name, file.as_str())));
    let plan = Plan::build(&config(&[], "", &services), &Facts { programs, ..machine(&[nvidia()], &[]) });
    assert_eq!((reason(&plan, "encoder"), reason(&plan, "selkies")), (String::new(), String::new()));
    let after =
        |name: &str, other: &str| plan.unit(name).unwrap().relations.after.contains(&other.to_owned());
    assert!(after("selkies", "encoder"));
    assert!(plan.unit("encoder").unwrap().relations.needs.contains(&"xvfb".to_owned()));
    assert_eq!(trials(&plan).len(), 1);
}
