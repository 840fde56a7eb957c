//! The scripts in `docker/publish/`, each with inputs as a run of the workflow gives them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A table like `images.txt`.
const TABLE: &str = "\
# A comment.

cuda-13.0.1-runtime-debian13  Dockerfile.cuda  amd64,arm64  CUDA_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04 APPS=dev
cuda-12.9.1-runtime-debian13  Dockerfile.cuda  amd64,arm64
cpu-debian13  Dockerfile.cpu  amd64,arm64
cpu-debian13-minimal  Dockerfile.cpu  arm64,amd64  APPS=minimal
rocm-5.7.1-runtime-debian13  Dockerfile.rocm  amd64
";

/// A checkout that has only the scripts, a table of its own, and stand-ins.
struct Checkout {
    folder: TempDir,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self { folder: tempfile::tempdir().unwrap() };
        let publish = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/publish");
        for entry in fs::read_dir(publish).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            checkout.write(&format!("docker/publish/{name}"), &fs::read_to_string(&path).unwrap());
        }
        checkout.write("docker/publish/images.txt", TABLE);
        checkout
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file that can be executed.
    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script of `docker/publish/` with a clean environment. Programs in `bin/` come before those of the machine.
    fn run(&self, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new(self.path(&format!("docker/publish/{script}")))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", path)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.folder.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    /// What the script prints.
    fn prints(&self, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(script, arguments, environment);
        assert!(output.status.success(), "{script} {arguments:?}: {}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the script says when it refuses to go on. It must have printed nothing that the next step could take.
    fn refuses(&self, script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(script, arguments, environment);
        assert!(!output.status.success(), "{script} {arguments:?} accepts this");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{script} {arguments:?}");
        errors(&output)
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn the_images_of_a_run_are_those_that_were_asked_for() {
    let checkout = Checkout::new();
    let names = |wanted: &str, architectures: &str| -> Vec<String> {
        let text = checkout.prints("images", &["builds", wanted, architectures], &[]);
        let builds: Vec<Value> = serde_json::from_str(&text).unwrap();
        let name = |build: &Value| format!("{} {}", build["image"], build["arch"]).replace('"', "");
        builds.iter().map(name).collect()
    };
    assert_eq!(names("", "").len(), 9);
    assert_eq!(names("all", "amd64 arm64").len(), 9);
    assert_eq!(names("all", "amd64").len(), 5);
    assert_eq!(names("rocm", ""), ["rocm-5.7.1-runtime-debian13 amd64"]);
    assert_eq!(
        names("cuda-12.9.1 rocm", "amd64,arm64"),
        [
            "cuda-12.9.1-runtime-debian13 amd64",
            "cuda-12.9.1-runtime-debian13 arm64",
            "rocm-5.7.1-runtime-debian13 amd64"
        ]
    );
    assert_eq!(names("cpu-debian13", "arm64"), ["cpu-debian13 arm64", "cpu-debian13-minimal arm64"]);

    let text = checkout.prints("images", &["builds", "cuda-13.0.1", "arm64"], &[]);
    let expected = json!([{
        "image": "cuda-13.0.1-runtime-debian13",
        "dockerfile": "Dockerfile.cuda",
        "arch": "arm64",
        "runner": "ubuntu-24.04-arm",
        "arguments": "CUDA_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04\nAPPS=dev",
    }]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);

    let images = |wanted: &str, architectures: &str| -> Value {
        serde_json::from_str(&checkout.prints("images", &["images", wanted, architectures], &[])).unwrap()
    };
    assert_eq!(
        images("rocm cpu-debian13-minimal", ""),
        json!([
            {"image": "cpu-debian13-minimal", "architectures": "amd64 arm64"},
            {"image": "rocm-5.7.1-runtime-debian13", "architectures": "amd64"},
        ])
    );
    // An image that is not made for the architecture is left out, and no job waits for it.
    assert_eq!(images("rocm cpu-debian13-minimal", "arm64").as_array().unwrap().len(), 1);
    assert_eq!(checkout.prints("images", &["architectures", "rocm", ""], &[]), "[\"amd64\"]\n");
    assert_eq!(checkout.prints("images", &["architectures", "all", "arm64"], &[]), "[\"arm64\"]\n");
}

#[test]
fn a_word_that_is_no_image_is_refused() {
    let checkout = Checkout::new();
    for (arguments, message) in [
        (["builds", "cpu gpu", ""], "'gpu' is no image"),
        (["builds", "cud", ""], "'cud' is no image"),
        (["builds", "*", ""], "'*' is no image"),
        (["builds", "$(id)", ""], "'$(id)' is no image"),
        (["images", "cpu", "arm"], "'arm' is no architecture"),
        (["images", "rocm", "arm64"], "no image of 'rocm' is made for arm64"),
        (["tags", "", ""], "not 'tags'"),
    ] {
        let error = checkout.refuses("images", &arguments, &[]);
        assert!(error.starts_with("images: ") && error.contains(message), "{arguments:?}: {error}");
    }
    for (line, message) in [
        ("cpu-\"x\" Dockerfile.cpu amd64", "not allowed"),
        ("cpu-x Dockerfile.cpu", "needs a Dockerfile and architectures"),
        ("cpu-x Dockerfile.cpu amd64 A=$(id)", "not allowed"),
    ] {
        checkout.write("docker/publish/images.txt", line);
        let error = checkout.refuses("images", &["builds"], &[]);
        assert!(error.contains(message), "{line}: {error}");
    }
}

#[test]
fn an_image_gets_the_tags_of_its_variant_date_and_version() {
    let checkout = Checkout::new();
    let tags = |arguments: [&str; 4]| checkout.prints("tags", &arguments, &[]).trim().replace('\n', " ");
    for (arguments, expected) in [
        (["cpu-debian13", "2026-12-01", "0.1.0-g1a2b3c4d", "false"], "cpu-debian13-2026-12-01"),
        (
            ["cpu-debian13", "2026-12-01", "0.1.0", "true"],
            "cpu-debian13-2026-12-01 cpu-debian13-v0.1.0 cpu-debian13 latest-cpu",
        ),
        (
            ["cpu-debian13-minimal", "2026-12-01", "0.1.0-3-g1a2b3c4d", "true"],
            "cpu-debian13-minimal-2026-12-01 cpu-debian13-minimal",
        ),
        (
            ["cuda-13.0.1-runtime-debian13", "try_1", "", "true"],
            "cuda-13.0.1-runtime-debian13-try_1 cuda-13.0.1-runtime-debian13 latest-cuda latest",
        ),
        (
            ["cuda-12.9.1-runtime-debian13", "2026-12-01", "1.10.0", "true"],
            "cuda-12.9.1-runtime-debian13-2026-12-01 cuda-12.9.1-runtime-debian13-v1.10.0 cuda-12.9.1-runtime-debian13",
        ),
        (
            ["rocm-5.7.1-runtime-debian13", "2026-12-01", "1.0.0-dirty", "true"],
            "rocm-5.7.1-runtime-debian13-2026-12-01 rocm-5.7.1-runtime-debian13 latest-rocm",
        ),
    ] {
        assert_eq!(tags(arguments), expected, "{arguments:?}");
    }
    let long = "x".repeat(41);
    for (arguments, message) in [
        (["cpu", "2026-12-01", "", "true"], "'cpu' is not in"),
        (["cpu-debian13", "", "", "true"], "cannot be the end of a tag"),
        (["cpu-debian13", "-x", "", "true"], "cannot be the end of a tag"),
        (["cpu-debian13", "a b", "", "true"], "cannot be the end of a tag"),
        (["cpu-debian13", "a\nb=c", "", "true"], "cannot be the end of a tag"),
        (["cpu-debian13", &long, "", "true"], "cannot be the end of a tag"),
        (["cpu-debian13", "2026-12-01", "", "yes"], "true or false"),
    ] {
        let error = checkout.refuses("tags", &arguments, &[]);
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}

/// What the workflow's first step hands to all others.
#[test]
fn the_settings_of_a_run_come_from_its_inputs_and_secrets() {
    let checkout = Checkout::new();
    checkout.write(
        "docker/version",
        "#!/bin/sh\nprintf -- '--build-arg\\nVERSION=1.2.0\\n--build-arg\\nREVISION=abc\\n'\n",
    );
    let github = ("GITHUB_REPOSITORY", "Owner/Desktop");
    let text = checkout.prints("settings", &[], &[github]);
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    has("latest=true");
    has("version=1.2.0");
    has("repository=ghcr.io/owner/desktop");
    has("repositories=ghcr.io/owner/desktop");
    has("dockerhub=false");
    has(r#"architectures=["amd64","arm64"]"#);
    let date = text.lines().find_map(|line| line.strip_prefix("date=")).unwrap();
    assert!(date.len() == 10 && date.starts_with("20"), "{date}");
    assert!(
        text.contains("arguments<<END_OF_ARGUMENTS\nVERSION=1.2.0\nREVISION=abc\nEND_OF_ARGUMENTS\n"),
        "{text}"
    );

    let hub = [github, ("DOCKERHUB_TOKEN", "secret"), ("DOCKERHUB_USERNAME", "me")];
    let text = checkout.prints("settings", &[], &hub);
    assert!(text.contains("repositories=ghcr.io/owner/desktop docker.io/me/desktop\n"), "{text}");
    assert!(text.contains("dockerhub=true\n") && !text.contains("secret"), "{text}");
    let named = [&hub[..], &[("DOCKERHUB_NAMESPACE", "us"), ("DOCKERHUB_REPOSITORY", "kde")]].concat();
    let text = checkout.prints("settings", &[], &named);
    assert!(text.contains("repositories=ghcr.io/owner/desktop docker.io/us/kde\n"), "{text}");
    let chosen =
        [github, ("IMAGES", "rocm"), ("DATE", "try1"), ("LATEST", "false"), ("ARCHITECTURES", "amd64")];
    let text = checkout.prints("settings", &[], &chosen);
    assert!(text.contains("date=try1\nlatest=false\n") && !text.contains("cpu-debian13"), "{text}");

    let token = ("DOCKERHUB_TOKEN", "x");
    for (environment, message) in [
        (vec![], "GITHUB_REPOSITORY is not set"),
        (vec![github, ("IMAGES", "gpu")], "'gpu' is no image"),
        (vec![github, ("DATE", "a b")], "cannot be the end of a tag"),
        (vec![github, ("LATEST", "maybe")], "true or false"),
        (vec![github, token], "DOCKERHUB_USERNAME"),
        (vec![github, token, ("DOCKERHUB_USERNAME", "me"), ("DOCKERHUB_REPOSITORY", "a b")], "'me/a b'"),
        (
            vec![github, token, ("DOCKERHUB_USERNAME", "me"), ("DOCKERHUB_REPOSITORY", "a\nx=y")],
            "on Docker Hub",
        ),
    ] {
        let error = checkout.refuses("settings", &[], &environment);
        assert!(error.contains(message), "{environment:?}: {error}");
    }
    checkout.write("docker/version", "#!/bin/sh\n");
    assert!(checkout.refuses("settings", &[], &[github]).contains("docker/version names no version"));
}

#[test]
fn the_images_of_all_architectures_become_one_in_every_repository() {
    let checkout = Checkout::new();
    let (amd64, arm64) = (format!("sha256:{:064}", 1), format!("sha256:{:064}", 2));
    checkout.write(
        "bin/docker",
        "#!/bin/sh\necho \"$*\" >>calls\ncase $3 in create) echo progress ;; inspect) printf abc ;; esac\n",
    );
    checkout.write("digests/amd64", &format!("{amd64}\n"));
    let repositories = "ghcr.io/a/b docker.io/c/d";
    let arguments = ["digests", "ghcr.io/a/b", "amd64 arm64", repositories, "cpu-1", "latest"];
    let error = checkout.refuses("assemble", &arguments, &[]);
    assert!(error.contains("no digest of the image for arm64"), "{error}");
    checkout.write("digests/arm64", "sha256:12");
    assert!(checkout.refuses("assemble", &arguments, &[]).contains("has no digest"));
    assert!(checkout.refuses("assemble", &arguments[..4], &[]).contains("TAG"));
    assert!(!checkout.path("calls").exists(), "no tag was moved");

    checkout.write("digests/arm64", &arm64);
    // The sum of 'abc', which this registry gives as the manifest.
    let whole = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_eq!(checkout.prints("assemble", &arguments, &[]), whole);
    let parts = format!("ghcr.io/a/b@{amd64} ghcr.io/a/b@{arm64}");
    let expected = format!(
        "buildx imagetools create --tag ghcr.io/a/b:cpu-1 {parts}\n\
         buildx imagetools create --tag ghcr.io/a/b:latest ghcr.io/a/b:cpu-1\n\
         buildx imagetools create --tag docker.io/c/d:cpu-1 {parts}\n\
         buildx imagetools create --tag docker.io/c/d:latest docker.io/c/d:cpu-1\n\
         buildx imagetools inspect --raw ghcr.io/a/b:cpu-1\n"
    );
    assert_eq!(fs::read_to_string(checkout.path("calls")).unwrap(), expected);

    checkout.write("bin/docker", "#!/bin/sh\necho denied >&2\nexit 1\n");
    assert!(checkout.refuses("assemble", &arguments, &[]).contains("denied"));
}

#[test]
fn a_note_is_sent_without_showing_the_address_to_other_processes() {
    let checkout = Checkout::new();
    // curl with the same options, which writes down what it was given.
    checkout.write(
        "bin/curl",
        "#!/bin/bash\necho \"$*\" >arguments\ncat >body\nwhile [ \"$1\" != --config ]; do shift; done\ncat \"$2\" >config\n",
    );
    let text = "a \"quoted\" \\ back\nnext $HOME";
    let none = checkout.prints("note", &[text], &[]);
    assert!(none.contains("no note is sent"), "{none}");
    assert!(!checkout.path("body").exists());
    for bad in ["T0/B1/password", "https://a/\"\noutput = /etc/x", "https://a b"] {
        let error = checkout.refuses("note", &[text], &[("SLACK_WEBHOOK_URL", bad)]);
        assert!(error.contains("is no address") && !error.contains(bad), "{error}");
    }
    let url = "https://hooks.example/services/T0/B1/secret?x=1&y=2";
    assert_eq!(checkout.prints("note", &[text], &[("SLACK_WEBHOOK_URL", url)]), "");
    let read = |file: &str| fs::read_to_string(checkout.path(file)).unwrap();
    assert!(!read("arguments").contains("secret"), "{}", read("arguments"));
    assert_eq!(read("config"), format!("url = \"{url}\"\n"));
    assert_eq!(serde_json::from_str::<Value>(&read("body")).unwrap(), json!({ "text": text }));
    checkout.write("bin/curl", "#!/bin/sh\nexit 22\n");
    assert_eq!(checkout.run("note", &[text], &[("SLACK_WEBHOOK_URL", url)]).status.code(), Some(22));
}

#[test]
fn a_file_whose_sum_is_not_in_git_stops_a_run() {
    let checkout = Checkout::new();
    let git = |arguments: &[&str]| {
        let settings = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-C"];
        let folder = checkout.folder.path().to_str().unwrap();
        let status = Command::new("git").args(settings).arg(folder).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    };
    checkout.write("docker/sources.toml", "sha256 = \"1\"\n");
    checkout.write("docker/install/pin", "#!/bin/sh\n");
    git(&["init", "-q"]);
    git(&["add", "docker"]);
    git(&["commit", "-q", "-m", "x"]);
    assert_eq!(checkout.prints("pins", &[], &[]), "");
    checkout.write("docker/install/pin", "#!/bin/sh\necho 'sha256 = \"2\"' >docker/sources.toml\n");
    let output = checkout.run("pins", &[], &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("+sha256 = \"2\""), "the change is shown");
    assert!(errors(&output).contains("run docker/install/pin"), "{}", errors(&output));
    checkout.write("docker/install/pin", "#!/bin/sh\necho 'pin: the sum of x changed' >&2\nexit 1\n");
    assert!(checkout.refuses("pins", &[], &[]).contains("the sum of x changed"));
}

/// A script that removes folders must not do so on the machine of a developer.
#[test]
fn only_a_machine_of_githubs_is_emptied() {
    let checkout = Checkout::new();
    checkout.write("bin/sudo", "#!/bin/sh\necho \"$*\" >removed\n");
    for environment in [&[][..], &[("GITHUB_ACTIONS", "true")], &[("RUNNER_ENVIRONMENT", "github-hosted")]] {
        assert!(checkout.prints("make-room", &[], environment).contains("nothing is removed"));
        assert!(!checkout.path("removed").exists(), "{environment:?}");
    }
    let github = [("GITHUB_ACTIONS", "true"), ("RUNNER_ENVIRONMENT", "github-hosted")];
    checkout.prints("make-room", &[], &github);
    assert!(fs::read_to_string(checkout.path("removed")).unwrap().starts_with("rm -rf /usr/"));
}
