//! The other images: with CUDA, and with ROCm, from trees with the layout of NVIDIA's and AMD's images (`stand-in`), which
//! `tests/run` builds. And what every image says about itself.

use std::process::Command;

use crate::cleanup::Cleanup;
use crate::docker::{self, Container, Done, Snapshot, Spec};
use crate::stack::{self, Stack};

/// The user's login shell, without a desktop of its own.
const AS_USER: [&str; 5] = ["runuser", "-u", "user", "--", "bash"];

/// Prints what a library with this name says, as the loader finds it.
fn loaded(library: &str) -> String {
    format!("python3 -c 'import ctypes; print(ctypes.CDLL(\"{library}\").stand_in())'")
}

async fn desktop(variant: &str) -> Stack {
    let stack = Stack::new(stack::of(Container::of_variant(variant)).start(&["init"]));
    let status = stack.wait_until_up().await;
    assert!(status.ready, "{variant}: {:?}", status.not_ready);
    assert_eq!(status.problems, [""; 0], "{variant}");
    stack
}

#[tokio::test]
async fn the_image_with_cuda_has_the_whole_tree_and_a_desktop() {
    let stack = desktop("CUDA").await;
    let sh = |script: &str| stack.exec_ok(&["bash", "-c", script]);
    // By the loader's own settings, without LD_LIBRARY_PATH; the driver's library is not the one for older drivers.
    assert_eq!(sh("echo \"[$LD_LIBRARY_PATH]\""), "[]");
    for (library, version) in
        [("libcudart.so.12", "12979"), ("libcudnn.so.9", "910"), ("libnccl.so.2", "227")]
    {
        assert_eq!(sh(&loaded(library)), version, "{library}");
    }
    assert_eq!(sh("ldconfig -p | grep -c 'libcuda\\.so' || true"), "0");
    // The distribution's own libraries are not NVIDIA's distribution's.
    assert!(stack.exec(&["sh", "-c", &loaded("libz.so.1")]).code != Some(0), "libz is the stand-in's");
    // In shells, in the desktop, and for `docker exec`.
    let wanted = "nvcc of the toolkit 12.9";
    assert_eq!(sh("nvcc"), wanted);
    assert_eq!(stack.exec_ok(&[&AS_USER[..], &["-lc", "nvcc"]].concat()), wanted);
    assert_eq!(stack.exec_ok(&["desktopd", "run", "--", "sh", "-c", "nvcc"]), wanted);
    assert_eq!(
        sh("readlink -f /usr/local/cuda /usr/local/cuda-12"),
        "/usr/local/cuda-12.9\n/usr/local/cuda-12.9"
    );
    assert_eq!(sh("/opt/nvidia/nsight-compute/2025.2.1/ncu"), "Nsight Compute");
    assert_eq!(sh("cat /usr/include/cudnn.h; ls /opt/nvidia"), "/* cuDNN */\nnsight-compute");
    let header = sh("cat /usr/local/cuda/include/crt/math_functions.h");
    // glibc 2.41 has these four, and no rsqrt.
    let (noexcept, whole) = (header.matches(" noexcept (true);").count(), header.lines().count());
    assert_eq!((noexcept, whole), (4, 5), "{header}");
    assert!(header.contains("rsqrt(double x);"), "{header}");
    let variables = sh("env");
    for variable in
        ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=all", "CUDA_HOME=/usr/local/cuda"]
    {
        assert!(variables.lines().any(|line| line == variable), "{variable} in {variables}");
    }
    // With one of these, NVIDIA's runtime refuses to start the container on an older driver.
    assert!(
        !variables.contains("NVIDIA_REQUIRE_CUDA=") && !variables.contains("CUDA_VERSION="),
        "{variables}"
    );
    let gpus: serde_json::Value = serde_json::from_str(&sh("desktopd probe --json")).expect("JSON");
    let toolkit = &gpus["nvidia"]["toolkits"][0];
    assert_eq!(
        (&toolkit["version"], &toolkit["path"]),
        (&"12.9".into(), &"/usr/local/cuda-12.9".into()),
        "{gpus}"
    );
    assert_eq!(toolkit["compat"], "/usr/local/cuda-12.9/compat");
    assert!(sh("desktopd probe").contains("there is no NVIDIA GPU"), "a toolkit is no GPU");
}

#[tokio::test]
async fn the_image_with_rocm_has_debians_packages_and_a_desktop() {
    let stack = desktop("ROCM").await;
    let sh = |script: &str| stack.exec_ok(&["bash", "-c", script]);
    let gpus: serde_json::Value = serde_json::from_str(&sh("desktopd probe --json")).expect("JSON");
    let rocm = &gpus["kfd"]["rocm"];
    assert!(rocm["hsa"].as_str().is_some_and(|file| file.ends_with("/libhsa-runtime64.so.1")), "{gpus}");
    assert!(rocm["hip"].as_str().is_some_and(|file| file.contains("/libamdhip64.so.")), "{gpus}");
    // Without a GPU both say so, by their own words: they run.
    let info = stack.exec(&["rocminfo"]);
    assert!((info.stdout.clone() + &info.stderr).contains("ROCk module is NOT loaded"), "{info:?}");
    let version = stack.exec(&["bash", "-c", "rocm-smi --version; command -v nvtop vulkaninfo"]);
    assert!(version.stdout.contains("nvtop") && version.stdout.contains("vulkaninfo"), "{version:?}");
}

/// Builds the layer of a Dockerfile that is its own on the image under test, from a stand-in of this kind.
struct Layer {
    image: String,
    _clean: [Cleanup; 2],
}

impl Layer {
    fn build(dockerfile: &str, argument: &str, kind: &str) -> Result<Layer, String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let client = docker::docker().get_program().to_string_lossy().into_owned();
        let (tree, image) = (docker::new_name(), docker::new_name());
        let clean = |name: &str| Cleanup::new(r#"exec "$1" rmi -f "$2""#, &[&client, name]);
        let layer = Layer { image: image.clone(), _clean: [clean(&image), clean(&tree)] };
        if kind == "without" {
            let mut tag = docker::docker();
            assert!(docker::run(tag.args(["tag", &docker::image(), &tree])).status.success());
        } else {
            let mut stand_in = Command::new(root.join("tests/container/stand-in"));
            let made =
                Done::from(docker::run(stand_in.args([kind, &tree]).env("DESKTOPD_TEST_DOCKER", &client)));
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        let text = std::fs::read_to_string(root.join(dockerfile)).expect("a Dockerfile");
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("# >>> only in this file: {name}\n")).expect("a mark");
            rest.split_once("# <<<\n").expect("its end").0.to_owned()
        };
        let context = tempfile::tempdir().expect("make a folder");
        let file = context.path().join("Dockerfile");
        let whole = format!(
            "{}{}FROM {}\n{}{}",
            part("its arguments"),
            part("its stages"),
            docker::image(),
            part("its own layers"),
            part("its variables and its description")
        );
        std::fs::write(&file, whole).expect("write a file");
        let mut build = docker::docker();
        build.env("DOCKER_BUILDKIT", "1").args(["build", "--progress=plain", "-t", &image, "-f"]).arg(&file);
        let done = Done::from(docker::run(build.arg(format!("--build-arg={argument}={tree}")).arg(root)));
        if done.code == Some(0) { Ok(layer) } else { Err(done.stdout + &done.stderr) }
    }

    fn sh(&self, script: &str) -> Done {
        let mut run = docker::docker();
        let run =
            run.args(["run", "--rm", "--pull=never", "--network=none", &self.image, "bash", "-c", script]);
        docker::run(run).into()
    }
}

#[test]
fn a_tree_with_two_toolkits_without_cudnn_is_taken_and_one_without_any_is_refused() {
    let layer = Layer::build("Dockerfile.cuda", "CUDA_IMAGE", "cuda-old").expect("a build");
    let script = "readlink /usr/local/cuda /usr/local/cuda-11 /usr/local/cuda-12; ls /usr/local/cuda-11.8/compat | wc -l
        ls /usr/include/cudnn.h 2>&1 | grep -c 'No such'";
    assert_eq!(layer.sh(script).stdout, "cuda-12.9\ncuda-11.8\ncuda-12.9\n2\n1");
    for (dockerfile, argument, said) in [
        (
            "Dockerfile.cuda",
            "CUDA_IMAGE",
            "cuda.sh: CUDA_IMAGE has no folder /usr/local/cuda-N.M: name an image",
        ),
        ("Dockerfile.rocm", "ROCM_IMAGE", "rocm.sh: ROCM_IMAGE has no folder /opt/rocm-N: name an image"),
    ] {
        let said_there = Layer::build(dockerfile, argument, "without").err().expect("a build that fails");
        assert!(said_there.contains(said), "{said_there}");
    }
}

#[test]
fn amds_own_rocm_comes_from_its_tree() {
    let layer = Layer::build("Dockerfile.rocm", "ROCM_IMAGE", "rocm").expect("a build");
    let script =
        format!("rocminfo; {}; readlink /opt/rocm; desktopd probe --json", loaded("libamdhip64.so.6"));
    let done = layer.sh(&script);
    assert!(done.stdout.starts_with("rocminfo of 6.4.4\n64\nrocm-6.4.4\n"), "{done:?}");
    let gpus: serde_json::Value =
        serde_json::from_str(&done.stdout[done.stdout.find('{').unwrap()..]).unwrap();
    assert_eq!(gpus["kfd"]["rocm"]["version"], "6.4.4-129");
    assert_eq!(gpus["kfd"]["rocm"]["hip"], "/opt/rocm/lib/libamdhip64.so.6");
}

#[test]
fn the_version_is_the_labels_and_every_shell_completes() {
    let labels = docker::image_config(".Config.Labels");
    let label = |name: &str| {
        labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned()
    };
    let script = "desktopd version --json; desktopd --version
        bash -ic '_comp_load desktopd 2>/dev/null || __load_completion desktopd; complete -p desktopd' 2>/dev/null
        head -c 17 /usr/share/zsh/vendor-completions/_desktopd; echo
        grep -c 'complete -c desktopd' /usr/share/fish/vendor_completions.d/desktopd.fish";
    let done = run_in(Container::of_image(), script);
    let lines: Vec<&str> = done.lines().collect();
    let (json, rest) = lines.split_at(lines.iter().position(|line| *line == "}").expect("JSON") + 1);
    let version: serde_json::Value = serde_json::from_str(&json.concat()).expect("JSON");
    assert_eq!(version["version"], label("version"), "{labels}");
    let revision = version["revision"].as_str().expect("a revision: tests/run gives it to the compiler");
    let changed = version["changed"].as_bool().expect("known");
    assert_eq!(label("revision"), format!("{revision}{}", if changed { "-dirty" } else { "" }));
    assert!(rest[0].starts_with(&format!("desktopd {} (revision {revision}", label("version"))), "{rest:?}");
    assert_eq!(rest[0].contains("changes that are not committed"), changed, "{rest:?}");
    assert!(rest[1].ends_with("-F _desktopd_with_services desktopd"), "{rest:?}");
    assert_eq!(rest[2], "#compdef desktopd");
    assert!(rest[3].parse::<u32>().is_ok_and(|lines| lines > 50), "{rest:?}");
    assert!(label("created").starts_with("20"), "{labels}");
    assert!(label("licenses").contains("MPL-2.0"), "{labels}");
}

/// The output of a script in a container that ends with it.
fn run_in(spec: Spec, script: &str) -> String {
    let container = spec.option("--init").option("--network=none").start(&["sleep", "600"]);
    container.exec_ok(&["bash", "-c", script])
}

/// An image that was built where a program could not be had says so where people look.
#[tokio::test]
async fn a_program_that_the_image_lacks_is_named_in_the_status_and_in_the_portal() {
    let image = Snapshot::build(
        "ARG IMAGE\nFROM ${IMAGE}\nRUN mkdir -p /usr/share/desktopd && printf '%s\\t%s is not in this image: no network\\n' \
         Xkasmvnc KasmVNC bash Bash >/usr/share/desktopd/left-out\n",
    );
    let spec = image.spec().option("--network=none").env("SUPERVISOR_NO_AUTOSTART", stack::LIGHT);
    let stack = Stack::new(spec.start(&["init"]));
    let status = stack.wait_until_up().await;
    assert_eq!(status.notes, ["KasmVNC is not in this image: no network"], "bash is there after all");
    assert_eq!(status.problems, [""; 0], "nothing is wrong");
    let text = stack.exec_ok(&["desktopd", "status"]);
    assert!(text.ends_with("note: KasmVNC is not in this image: no network"), "{text}");
}
