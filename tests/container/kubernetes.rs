//! The pod of `docker/kubernetes`, without Kubernetes: Docker gives a container what the manifest asks for, and folders
//! with the owners and modes that Kubernetes gives to volumes.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::docker::{Container, Spec};
use crate::stack::{self, Stack};

/// What the manifest allows for the end of a pod.
const GRACE: Duration = Duration::from_secs(30);

/// A document of the manifests.
fn document(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The `StatefulSet` of the base.
fn stateful_set() -> Value {
    document("base/statefulset.yaml")
}

/// A list of a manifest; empty where there is none.
fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {path} in {value}"))
}

/// The options of `docker run` for a pod.
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
    // Kubernetes gives the folders to root and to the group; every user can write those that are the pod's alone.
    for mount in list(container, "/volumeMounts") {
        let (path, claimed) = (text(mount, "/mountPath"), mount.get("subPath").is_some());
        let mode = if claimed { "2775" } else { "2777" };
        options.push(format!("--tmpfs={path}:exec,uid=0,gid={volumes},mode={mode}"));
    }
    options
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
async fn start(set: &Value) -> Stack {
    let spec =
        options(&set["spec"]["template"]["spec"]).into_iter().fold(Container::of_image(), Spec::option);
    let stack = Stack::new(spec.publish(stack::PORTAL).publish(stack::DESKTOP).start(&["init"]));
    let status = stack.wait_until_up().await;
    assert_eq!(status.problems, [""; 0]);
    stack
}

/// A capability set of a process, of `/proc/PID/status`.
fn capabilities(stack: &Stack, pid: &str) -> u64 {
    let status = stack.exec_ok(&["cat", &format!("/proc/{pid}/status")]);
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("CapEff");
    u64::from_str_radix(line.trim(), 16).expect("a number")
}

async fn stops(stack: &Stack) {
    stack.stop(GRACE);
    assert_eq!(stack.wait_exit_code(Duration::from_secs(5)).await, 0, "desktopd was not killed");
}

#[tokio::test]
async fn the_root_component_gives_sudo_and_the_desktop_to_the_user() {
    let mut set = stateful_set();
    merge(&mut set, &document("components/root/root.yaml"));
    let stack = start(&set).await;
    assert_eq!(stack.as_user(&["sudo", "-n", "id", "-u"]).stdout, "0");
    assert_ne!(capabilities(&stack, "1"), 0);
    let kde = stack.exec_ok(&["pgrep", "-o", "-x", "plasmashell"]);
    assert_eq!(stack.exec_ok(&["stat", "-c", "%U", &format!("/proc/{kde}")]), "user");
    assert_eq!(capabilities(&stack, &kde), 0);
    let done = stack.exec(&["stat", "-c", "%U %a", "/var/lib/desktopd", "/workspace"]);
    assert_eq!(done.stdout, "root 700\nuser 2775");
    stops(&stack).await;
}
