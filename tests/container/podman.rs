//! podman plays the pod of `docker/kubernetes`: a program that understands manifests, without a cluster.
//!
//! podman knows no `StatefulSet`: the test makes the Pod and the claims that Kubernetes makes of it, and changes two things
//! that podman does not know: a claim for each `subPath`, and free ports of this machine in place of the pod's own address.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cleanup::Cleanup;
use crate::docker::{self, Done};
use crate::kubernetes::{self, IDS, NONE};
use crate::net::{free_port, http_get};
use crate::poll::eventually;
use crate::stack::START;

/// A podman with images, volumes and networks of its own, in a folder. Dropping it removes all of them.
struct Podman {
    folder: String,
    _cleanup: Cleanup,
}

impl Podman {
    fn new() -> Podman {
        let folder = TempDir::with_prefix("desktopd-test-podman-").expect("make a folder").keep();
        let folder = folder.to_str().expect("a temporary folder's name is text").to_owned();
        let options = options(&folder);
        let cleanup = Cleanup::new(
            r#"folder=$1; shift; "$@" pod rm --all --force --time 5; rm -rf "$folder""#,
            &[&folder, "env", &settings_of(&folder), "podman", &options[0], &options[1]],
        );
        // podman's defaults are more than a container without CAP_SYS_RESOURCE may set. No systemd is needed.
        let limit = |resource| getrlimit(resource).expect("a limit").1.min(4096);
        let (files, processes) = (limit(Resource::RLIMIT_NOFILE), limit(Resource::RLIMIT_NPROC));
        let settings = format!(
            "[containers]\n\
             default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
             [engine]\n\
             tmp_dir = \"{folder}/tmp\"\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"none\"\n\
             lock_type = \"file\"\n\
             # crun refuses machines with both versions of cgroups.\n\
             runtime = \"runc\"\n\
             [network]\n\
             network_config_dir = \"{folder}/networks\"\n"
        );
        std::fs::write(Path::new(&folder).join("containers.conf"), settings).expect("write containers.conf");
        Podman { folder, _cleanup: cleanup }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.arg(settings_of(&self.folder)).arg("podman").args(options(&self.folder)).args(args);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        docker::run(&mut self.command(args)).into()
    }

    fn run_ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "podman {args:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// Copies the image under test from Docker.
    fn load(&self) {
        let mut save = docker::docker();
        let mut save =
            save.args(["save", &docker::image()]).stdout(Stdio::piped()).spawn().expect("docker save");
        let image = save.stdout.take().expect("an image");
        let done: Done = docker::run(self.command(&["load", "--quiet"]).stdin(image)).into();
        assert_eq!(done.code, Some(0), "podman load: {}", done.stderr);
        assert!(save.wait().expect("docker save").success());
    }

    /// Writes documents to a file; JSON is YAML. The file's path.
    fn file(&self, name: &str, documents: &[Value]) -> String {
        let text =
            documents.iter().map(|document| format!("---\n{document:#}\n")).collect::<Vec<_>>().concat();
        let path = format!("{}/{name}", self.folder);
        std::fs::write(&path, text).expect("write a manifest");
        path
    }
}

/// The options with which podman keeps everything in `folder`: what another podman has is out of reach.
fn options(folder: &str) -> [String; 2] {
    [format!("--root={folder}/root"), format!("--runroot={folder}/run")]
}

/// The variable that names podman's settings.
fn settings_of(folder: &str) -> String {
    format!("CONTAINERS_CONF={folder}/containers.conf")
}

/// The claims and the pod that Kubernetes makes of a `StatefulSet`.
fn pod_of(set: &Value, image: &str, ports: &[(&str, u16)]) -> (Vec<Value>, Value) {
    let mut spec = set["spec"]["template"]["spec"].clone();
    let claim = &set["spec"]["volumeClaimTemplates"][0]["spec"];
    let mut claims = Vec::new();
    let container = &mut spec["containers"][0];
    container["image"] = image.into();
    for port in container["ports"].as_array_mut().expect("ports") {
        let (_, free) = ports.iter().find(|(name, _)| port["name"] == *name).expect("a port of the test");
        port["hostPort"] = (*free).into();
        port["hostIP"] = "127.0.0.1".into();
    }
    let mut volumes = Vec::new();
    for mount in container["volumeMounts"].as_array_mut().expect("mounts") {
        let Some(folder) = mount.as_object_mut().and_then(|mount| mount.remove("subPath")) else { continue };
        let name = format!("data-{}", folder.as_str().expect("a folder"));
        mount["name"] = name.clone().into();
        volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }));
        claims.push(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name }, "spec": claim,
        }));
    }
    spec["volumes"].as_array_mut().expect("volumes").extend(volumes);
    (claims, json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "desktopd-0" }, "spec": spec }))
}

/// The pod's container, as podman names it.
const CONTAINER: &str = "desktopd-0-desktopd";

async fn ready(podman: &Podman, port: u16) {
    let url = format!("http://127.0.0.1:{port}/desktopd/ready");
    eventually("a desktop that is ready", START, async || {
        let status = http_get(&url, &[]).await.map_err(|why| why.to_string())?.status;
        if status == 200 {
            Ok(())
        } else {
            Err(format!("{status}: {:?}", podman.run(&["logs", CONTAINER]).stdout))
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "tests/run --podman: it copies the image, which takes a minute and two gigabytes"]
async fn podman_plays_the_manifest() {
    let podman = Podman::new();
    podman.load();
    let ports = [("portal", free_port()), ("desktop", free_port()), ("vnc", free_port())];
    let set = kubernetes::stateful_set();
    let (claims, pod) = pod_of(&set, &docker::image(), &ports);
    // Not a Secret: podman 4.3 plays Secrets, and then does not give their variables to a pod.
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "desktopd" },
        "data": { "WEB_USER": "ada" },
    });
    let claims = podman.file("claims.yaml", &claims);
    let pod = podman.file("pod.yaml", &[settings, pod]);
    // Apart from the pod: podman 4.3 plays a claim only once.
    podman.run_ok(&["kube", "play", &claims]);

    podman.run_ok(&["kube", "play", &pod]);
    ready(&podman, ports[0].1).await;
    // podman makes its check of the container out of the liveness probe.
    podman.run_ok(&["healthcheck", "run", CONTAINER]);
    let status = podman.run_ok(&["exec", CONTAINER, "cat", "/proc/1/status"]);
    for (name, expected) in [("Uid:", IDS), ("CapBnd:", NONE), ("NoNewPrivs:", "1"), ("Seccomp:", "2")] {
        let found = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        assert_eq!(found, Some(expected), "{name}");
    }
    let login = podman.run_ok(&["exec", CONTAINER, "desktopd", "credentials"]);
    assert!(login.contains("ada"), "the user of the ConfigMap: {login}");
    podman.run_ok(&["exec", CONTAINER, "sh", "-c", "echo kept | tee /workspace/file /home/user/file"]);

    podman.run_ok(&["pod", "stop", "--time", &kubernetes::GRACE.as_secs().to_string(), "desktopd-0"]);
    let code = podman.run_ok(&["inspect", "--format", "{{.State.ExitCode}}", CONTAINER]);
    assert_eq!(code, "0", "{}", podman.run(&["logs", CONTAINER]).stdout);
    podman.run_ok(&["kube", "down", &pod]);
    assert_eq!(podman.run_ok(&["pod", "ps", "--quiet"]), "");

    podman.run_ok(&["kube", "play", &pod]);
    ready(&podman, ports[0].1).await;
    let kept = podman.run_ok(&["exec", CONTAINER, "cat", "/workspace/file", "/home/user/file"]);
    assert_eq!(kept, "kept\nkept");
    assert_eq!(podman.run_ok(&["exec", CONTAINER, "desktopd", "credentials"]), login, "the same password");
    podman.run_ok(&["kube", "down", &pod]);
}
