//! The manifests of `docker/kubernetes` agree with the program and the image, meet the levels of the Pod Security
//! Standards that they name, and refer to files and objects that exist.
//!
//! Facts: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.

use std::path::{Path, PathBuf};

use desktopd::config::env::TABLE;
use serde_json::{Value, json};

use crate::docs::documents::read;

const FOLDER: &str = "docker/kubernetes";

/// The folders that people build from, and what these are made of.
const KUSTOMIZATIONS: [&str; 5] = ["base", "overlays/cpu", "overlays/nvidia", "components/root", "example"];

/// What the level `baseline` allows a container to add.
const BASELINE: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The documents of a file.
fn documents(file: &str) -> Vec<Value> {
    let text = read(&format!("{FOLDER}/{file}"));
    let parsed = text.split("\n---\n").map(serde_saphyr::from_str::<Value>);
    parsed.map(|document| document.unwrap_or_else(|why| panic!("{file}: {why}"))).collect()
}

fn document(file: &str) -> Value {
    let mut all = documents(file);
    assert_eq!(all.len(), 1, "{file}");
    all.remove(0)
}

fn stateful_set() -> Value {
    document("base/statefulset.yaml")
}

/// The container of a `StatefulSet`, or of a patch of it.
fn container(set: &Value) -> &Value {
    &set["spec"]["template"]["spec"]["containers"][0]
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    items(value, key).filter_map(Value::as_str).collect()
}

/// Why a pod does not meet the level `restricted`.
fn violations(set: &Value) -> Vec<&'static str> {
    let pod = &set["spec"]["template"]["spec"];
    let (of_pod, of_container) = (&pod["securityContext"], &container(set)["securityContext"]);
    let volumes = items(pod, "volumes").all(|volume| volume.get("emptyDir").is_some());
    let rules = [
        (of_pod["runAsNonRoot"] == true && of_pod["runAsUser"] != 0, "root"),
        (of_pod["seccompProfile"] == json!({ "type": "RuntimeDefault" }), "seccomp"),
        (of_container["allowPrivilegeEscalation"] == false, "privilege escalation"),
        (of_container["capabilities"] == json!({ "drop": ["ALL"] }), "capabilities"),
        (of_container.get("privileged").is_none(), "privileged"),
        (
            ["hostNetwork", "hostPID", "hostIPC"].iter().all(|host| pod.get(host).is_none()),
            "the host's namespaces",
        ),
        (items(container(set), "ports").all(|port| port.get("hostPort").is_none()), "the host's ports"),
        (volumes, "volumes"),
    ];
    rules.into_iter().filter_map(|(holds, what)| (!holds).then_some(what)).collect()
}

#[test]
fn the_base_is_restricted_and_each_rule_can_be_broken() {
    let set = stateful_set();
    assert_eq!(violations(&set), [""; 0]);
    assert_eq!(container(&set)["securityContext"]["readOnlyRootFilesystem"], true);
    let (pod, first) = ("/spec/template/spec", "/spec/template/spec/containers/0");
    for (place, key, value, expected) in [
        (format!("{pod}/securityContext"), "runAsUser", json!(0), "root"),
        (format!("{pod}/securityContext"), "seccompProfile", json!({ "type": "Unconfined" }), "seccomp"),
        (format!("{first}/securityContext"), "allowPrivilegeEscalation", json!(true), "privilege escalation"),
        (format!("{first}/securityContext"), "capabilities", json!({ "add": ["KILL"] }), "capabilities"),
        (format!("{first}/securityContext"), "privileged", json!(true), "privileged"),
        (pod.to_owned(), "hostNetwork", json!(true), "the host's namespaces"),
        (format!("{first}/ports/0"), "hostPort", json!(1111), "the host's ports"),
        (format!("{pod}/volumes/0"), "emptyDir", Value::Null, ""),
    ] {
        let mut changed = set.clone();
        let place = changed.pointer_mut(&place).and_then(Value::as_object_mut).expect("a table");
        place.insert(key.to_owned(), value);
        if expected.is_empty() {
            place.remove(key);
        }
        let expected = if expected.is_empty() { "volumes" } else { expected };
        assert_eq!(violations(&changed), [expected], "{key}");
    }
}

#[test]
fn root_gets_the_capabilities_of_the_reference_and_no_more_than_the_level_allows() {
    let root = document("components/root/root.yaml");
    let context = &container(&root)["securityContext"];
    let added = strings(&context["capabilities"], "add");
    let reference = read("config/README.md");
    let line = reference.split("- `--cap-drop ALL`").nth(1).and_then(|rest| rest.split("\n- ").next());
    let line = line.expect("the reference has a line about --cap-drop ALL");
    for name in &added {
        assert!(BASELINE.contains(name), "baseline does not allow {name}");
        assert!(line.contains(&format!("`{name}`")), "the reference does not name {name}");
    }
    let named = line.split('`').skip(1).step_by(2).filter(|name| *name != "NET_BIND_SERVICE");
    assert_eq!(named.collect::<Vec<_>>(), added, "in the reference and in root.yaml");
}

#[test]
fn ports_users_and_names_are_those_of_the_program_and_the_image() {
    let set = stateful_set();
    let names =
        [("portal", "SERVICEPORTAL_PORT_HOST"), ("desktop", "SELKIES_PORT_HOST"), ("vnc", "VNC_PORT_HOST")];
    let default = |variable: &str| {
        let row = TABLE.iter().find(|row| row.names[0] == variable).expect("a variable");
        row.default.parse::<u64>().expect("a port")
    };
    let expected: Vec<_> =
        names.iter().map(|(name, variable)| ((*name).to_owned(), default(variable))).collect();
    let pair = |port: &Value, key: &str| {
        let name = port["name"].as_str().expect("a name").to_owned();
        (name, port[key].as_u64().expect("a port"))
    };
    let of_pod: Vec<_> = items(container(&set), "ports").map(|port| pair(port, "containerPort")).collect();
    assert_eq!(of_pod, expected, "the ports of the container");
    let services = documents("base/services.yaml");
    let of_service: Vec<_> = items(&services[0]["spec"], "ports").map(|port| pair(port, "port")).collect();
    assert_eq!(of_service, expected, "the ports of the service");
    for service in &services {
        for port in items(&service["spec"], "ports") {
            assert_eq!(port["targetPort"], port["name"], "{service}");
        }
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    }
    assert_eq!(services[1]["metadata"]["name"], set["spec"]["serviceName"]);
    assert_eq!(services[1]["spec"]["clusterIP"], "None");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container(&set)[probe]["httpGet"]["port"], expected[0].1, "{probe}");
    }

    let context = &set["spec"]["template"]["spec"]["securityContext"];
    for key in ["runAsUser", "runAsGroup", "fsGroup"] {
        let user = format!("/build/user.sh user {}", context[key]);
        assert!(read("Dockerfile.cpu").contains(&user), "{key} is not the id of the image's user");
    }
}

#[test]
fn kustomizations_name_files_and_objects_that_exist() {
    let set = stateful_set();
    for folder in KUSTOMIZATIONS {
        let kustomization = document(&format!("{folder}/kustomization.yaml"));
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(folder);
        let exists = |path: &str| {
            let path: PathBuf = here.join(path);
            assert!(
                path.is_file() || path.join("kustomization.yaml").is_file(),
                "{folder}: {}",
                path.display()
            );
        };
        let named = ["resources", "components"].into_iter().flat_map(|key| strings(&kustomization, key));
        named.for_each(exists);
        for patch in items(&kustomization, "patches") {
            let file = patch["path"].as_str().expect("a file");
            exists(file);
            let patch = document(&format!("{folder}/{file}"));
            assert_eq!(patch["metadata"]["name"], set["metadata"]["name"], "{folder}/{file}");
            assert_eq!(patch["kind"], set["kind"], "{folder}/{file}");
            assert_eq!(container(&patch)["name"], container(&set)["name"], "{folder}/{file}");
        }
        for image in items(&kustomization, "images") {
            assert_eq!(image["name"], container(&set)["image"], "{folder}");
        }
        // What the generators of the example make is what the pod reads.
        for (generator, reference) in
            [("configMapGenerator", "configMapRef"), ("secretGenerator", "secretRef")]
        {
            for made in items(&kustomization, generator) {
                let read =
                    items(container(&set), "envFrom").any(|from| from[reference]["name"] == made["name"]);
                assert!(read, "{folder}: no pod reads {}", made["name"]);
                for literal in strings(made, "literals") {
                    let name = literal.split('=').next().unwrap_or_default();
                    assert!(
                        TABLE.iter().any(|row| row.names.contains(&name)),
                        "{folder}: {name} is not read"
                    );
                }
            }
        }
    }
    let ingress = document("example/ingress.yaml");
    for rule in items(&ingress["spec"], "rules") {
        for path in items(&rule["http"], "paths") {
            let service = &path["backend"]["service"];
            let services = documents("base/services.yaml");
            let found = services.iter().find(|found| found["metadata"]["name"] == service["name"]);
            let found = found.unwrap_or_else(|| panic!("no service {}", service["name"]));
            let port = &service["port"]["name"];
            assert!(items(&found["spec"], "ports").any(|found| found["name"] == *port), "no port {port}");
        }
    }
}
