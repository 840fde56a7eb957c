//! The pod of `docker/kubernetes`, without Kubernetes: Docker gives a container what the manifest asks for, and volumes
//! with the owners and modes that Kubernetes gives to them.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::docker::{Container, Spec, Volume};
use crate::net::http_get;
use crate::stack::{self, Stack};

/// What the manifest allows for the end of a pod.
pub const GRACE: Duration = Duration::from_secs(30);

/// The user of the manifest and no capabilities, as `/proc/PID/status` writes them.
pub const IDS: &str = "1000\t1000\t1000\t1000";
pub const NONE: &str = "0000000000000000";

/// A document of the manifests.
fn document(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The `StatefulSet` of the base.
pub fn stateful_set() -> Value {
    document("base/statefulset.yaml")
}

/// A list of a manifest; empty where there is none.
fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {path} in {value}"))
}

/// The options of `docker run` for a pod, without its volumes.
fn options(pod: &Value) -> Vec<String> {
    let container = &pod["containers"][0];
    let id = |name: &str| pod["securityContext"][name].as_u64().unwrap_or_else(|| panic!("no {name}"));
    let (user, group, volumes) = (id("runAsUser"), id("runAsGroup"), id("fsGroup"));
    let mut options = vec![
        "--hostname=desktopd-0".to_owned(),
        format!("--user={user}:{group}"),
        format!("--group-add={volumes}"),
    ];
    let context = &container["securityContext"];
    for (option, path) in [("--cap-drop", "/capabilities/drop"), ("--cap-add", "/capabilities/add")] {
        let names = list(context, path).iter().map(|name| name.as_str().expect("a capability"));
        options.extend(names.map(|name| format!("{option}={name}")));
    }
    if context["allowPrivilegeEscalation"] == false {
        options.push("--security-opt=no-new-privileges".into());
    }
    if context["readOnlyRootFilesystem"] == true {
        options.push("--read-only".into());
    }
    let memory = text(container, "/resources/limits/memory").replace("Gi", "g");
    options.push(format!("--memory={memory}"));
    options
}

/// A mount of a pod: the option of `docker run`, and the volume if the mount is on a disk. As Kubernetes does for
/// `fsGroup`, all folders belong to root and to the group. Every user can write those that end with the pod.
fn mount(pod: &Value, mount: &Value) -> (String, Option<Volume>) {
    let (name, path, group) = (&mount["name"], text(mount, "/mountPath"), &pod["securityContext"]["fsGroup"]);
    let Some(volume) = list(pod, "/volumes").iter().find(|volume| volume["name"] == *name) else {
        // The claim of the StatefulSet. Without `nocopy`, Docker gives a volume the owner that the image's folder has.
        let volume = Volume::new(0, &format!("chgrp {group} .; chmod 2775 ."));
        return (format!("--volume={}:{path}:nocopy", volume.name), Some(volume));
    };
    if volume["emptyDir"]["medium"] == "Memory" {
        let size = text(volume, "/emptyDir/sizeLimit").replace("Gi", "g");
        return (format!("--tmpfs={path}:exec,uid=0,gid={group},mode=2777,size={size}"), None);
    }
    let volume = Volume::new(0, &format!("chgrp {group} .; chmod 2777 ."));
    (format!("--volume={}:{path}:nocopy", volume.name), Some(volume))
}

/// The pod's container. Its fields are dropped in this order: Docker removes no volume that a container uses.
struct Pod {
    stack: Stack,
    _volumes: Vec<Option<Volume>>,
}

impl Deref for Pod {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// Changes a pod as a strategic merge patch does, as far as the patches here go: tables are merged, lists of containers
/// too, other lists are joined, and everything else is replaced.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) => {
            for value in patch {
                let same = |old: &&mut Value| old.get("image").is_some() && old["name"] == value["name"];
                match into.iter_mut().find(same) {
                    Some(old) => merge(old, value),
                    None => into.push(value.clone()),
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Starts the pod; a desktop without problems.
async fn start(set: &Value) -> Pod {
    let pod = &set["spec"]["template"]["spec"];
    let mounts = list(pod, "/containers/0/volumeMounts").iter().map(|each| mount(pod, each));
    let (mounts, volumes): (Vec<_>, Vec<_>) = mounts.unzip();
    let spec = options(pod).into_iter().chain(mounts).fold(Container::of_image(), Spec::option);
    let stack = Stack::new(spec.publish(stack::PORTAL).publish(stack::DESKTOP).start(&["init"]));
    let status = stack.wait_until_up().await;
    assert_eq!(status.problems, [""; 0]);
    Pod { stack, _volumes: volumes }
}

/// A line of `/proc/PID/status`.
fn of_process(stack: &Stack, pid: &str, name: &str) -> String {
    let status = stack.exec_ok(&["cat", &format!("/proc/{pid}/status")]);
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

async fn stops(stack: &Stack) {
    stack.stop(GRACE);
    assert_eq!(stack.wait_exit_code(Duration::from_secs(5)).await, 0, "desktopd was not killed");
}

#[tokio::test]
async fn the_pod_needs_no_root_no_capability_and_no_file_of_its_own() {
    let set = stateful_set();
    let stack = start(&set).await;
    for (name, expected) in [("Uid", IDS), ("CapEff", NONE), ("CapBnd", NONE), ("NoNewPrivs", "1")] {
        assert_eq!(of_process(&stack, "1", name), expected, "{name}");
    }
    let refused = stack.exec(&["touch", "/new"]).stderr;
    assert!(refused.contains("Read-only file system"), "the root file system can be written: {refused}");
    stack.exec_ok(&["touch", "/workspace/new", "/home/user/new"]);

    let container = &set["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = text(container, &format!("/{probe}/httpGet/path"));
        assert_eq!(container[probe]["httpGet"]["port"], stack::PORTAL, "{probe}");
        let url = format!("http://localhost:{}{path}", stack.portal_port());
        let reply = http_get(&url, &[]).await.expect("an answer");
        assert_eq!(reply.status, 200, "{probe}");
    }
    // Only `ready` follows the desktop.
    stack.exec_ok(&["desktopd", "stop", "kde"]);
    for (path, expected) in [("/desktopd/ready", 503), ("/desktopd/health", 200)] {
        let url = format!("http://localhost:{}{path}", stack.portal_port());
        assert_eq!(http_get(&url, &[]).await.expect("an answer").status, expected, "{path}");
    }
    // The random password is on the volume.
    let kept = stack.exec_ok(&["cat", "/home/user/.local/state/desktopd/web-password"]);
    assert!(stack.exec_ok(&["desktopd", "credentials"]).contains(&kept), "{kept}");
    stops(&stack).await;
}

#[tokio::test]
async fn the_root_component_gives_sudo_and_the_desktop_to_the_user() {
    let mut set = stateful_set();
    merge(&mut set, &document("components/root/root.yaml"));
    let stack = start(&set).await;
    assert_eq!(stack.as_user(&["sudo", "-n", "id", "-u"]).stdout, "0");
    assert_ne!(of_process(&stack, "1", "CapEff"), NONE);
    let kde = stack.exec_ok(&["pgrep", "-o", "-x", "plasmashell"]);
    assert_eq!(stack.exec_ok(&["stat", "-c", "%U", &format!("/proc/{kde}")]), "user");
    assert_eq!(of_process(&stack, &kde, "CapEff"), NONE);
    let done = stack.exec(&["stat", "-c", "%U %a", "/var/lib/desktopd", "/workspace"]);
    assert_eq!(done.stdout, "root 700\nuser 2775");
    stops(&stack).await;
}
