//! The repository's own `docker-compose.yaml` and the files beside it, with the settings of `.env.example`.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::browser::Browser;
use crate::cleanup::Cleanup;
use crate::docker::{self, Container, Done};
use crate::net::free_port;
use crate::stack::{self, Stack};

/// The files that people name after `docker-compose.yaml`.
const OVERRIDES: [&str; 4] = ["nvidia", "amd", "intel", "turn"];

/// A folder with these files and a `.env`, and everything that compose makes of it. Dropping it removes everything.
struct Project {
    folder: String,
    name: String,
    client: &'static [&'static str],
    _cleanup: Cleanup,
}

impl Project {
    fn new(settings: &[(&str, String)]) -> Project {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = TempDir::with_prefix("desktopd-test-compose-").expect("make a folder").keep();
        std::fs::create_dir_all(folder.join("docker/compose")).expect("make a folder");
        for file in std::iter::once("docker-compose.yaml".to_owned()).chain(OVERRIDES.map(path)) {
            std::fs::copy(root.join(&file), folder.join(&file)).unwrap_or_else(|why| panic!("{file}: {why}"));
        }
        let example = std::fs::read_to_string(root.join(".env.example")).expect("read .env.example");
        let dotenv = settings.iter().fold(example, |text, setting| set(&text, setting));
        std::fs::write(folder.join(".env"), dotenv).expect("write .env");

        let (name, client) = (docker::new_name(), client());
        let folder = folder.to_str().expect("a temporary folder's name is text").to_owned();
        let cleanup = Cleanup::new(
            r#"folder=$1; shift; cd "$folder" && "$@" down --volumes --remove-orphans --timeout 5; rm -rf "$folder""#,
            &[&[folder.as_str()], client, &["--project-name", &name]].concat(),
        );
        Project { folder, name, client, _cleanup: cleanup }
    }

    fn run(&self, args: &[&str]) -> Done {
        let mut command = Command::new(self.client[0]);
        command.args(&self.client[1..]).args(["--project-name", &self.name]).args(args);
        // A shell's variables override those of .env; only those that the Docker client needs are kept.
        let kept = std::env::vars().filter(|(name, _)| {
            matches!(name.as_str(), "PATH" | "HOME" | "TMPDIR") || name.starts_with("DOCKER_")
        });
        command.env_clear().envs(kept).current_dir(&self.folder).stdin(Stdio::null());
        docker::run(&mut command).into()
    }

    fn run_ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{:?} {args:?}: {}{}", self.client, done.stdout, done.stderr);
        done.stdout
    }

    /// All of Docker's objects of the project.
    fn left(&self) -> String {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let lists: [&[&str]; 3] =
            [&["ps", "--all", "--quiet"], &["network", "ls", "--quiet"], &["volume", "ls", "--quiet"]];
        let said = lists.map(|list| {
            let done = Done::from(docker::run(docker::docker().args(list).args(["--filter", &label])));
            assert_eq!(done.code, Some(0), "{list:?}: {}", done.stderr);
            done.stdout
        });
        said.concat()
    }
}

fn path(name: &str) -> String {
    format!("docker/compose/{name}.yaml")
}

/// `docker compose` where there is one, else `docker-compose`.
fn client() -> &'static [&'static str] {
    let clients: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let works = |client: &&&[&str]| {
        let mut version = Command::new(client[0]);
        version.args(&client[1..]).arg("version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    clients.iter().find(works).expect("docker compose or docker-compose")
}

/// Sets a variable of a `.env`, which may be commented out in the file.
fn set(text: &str, (name, value): &(&str, String)) -> String {
    let starts = |line: &str| line.trim_start_matches('#').starts_with(&format!("{name}="));
    assert_eq!(text.lines().filter(|line| starts(line)).count(), 1, "{name} is once in .env.example");
    let line = |line: &str| if starts(line) { format!("{name}={value}\n") } else { format!("{line}\n") };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn compose_starts_a_desktop_and_leaves_nothing() {
    let (portal, desktop, vnc) = (free_port(), free_port(), free_port());
    let project = Project::new(&[
        ("SSH_PORT_HOST", free_port().to_string()),
        ("SERVICEPORTAL_PORT_HOST", portal.to_string()),
        ("SELKIES_PORT_HOST", desktop.to_string()),
        ("VNC_PORT_HOST", vnc.to_string()),
        ("IMAGE", docker::image()),
    ]);
    project.run_ok(&["up", "--detach", "--no-build"]);
    let id = project.run_ok(&["ps", "--quiet", "desktopd"]);
    let stack = Stack::with_ports(Container::of_another(&id), portal, desktop);
    let status = stack.wait_until_up().await;
    assert_eq!(status.problems, [""; 0], "the settings of .env.example are right");
    let ports: Vec<u16> = status.routes.iter().map(|route| route.port).collect();
    assert_eq!(ports, [portal, desktop, vnc], "the same numbers inside and outside");

    let browser = Browser::start().await;
    // The example sets no password, so a password is generated.
    let login = stack.exec_ok(&["desktopd", "credentials", "--json"]);
    let login: serde_json::Value = serde_json::from_str(&login).expect("credentials");
    let password = login["password"].as_str().expect("a password was made");
    stack::enter(&browser, &stack, "user", password).await;
    browser.goto(&stack.portal()).await;
    let here = browser.url().await;
    assert!(!here.contains("login"), "one login for both ports, not {here}");
    let mounted = stack.exec(&["sh", "-c", "echo kept > /workspace/file"]);
    assert_eq!(mounted.code, Some(0), "the workspace: {}", mounted.stderr);
    let outside = Path::new(&project.folder).join("workspace/file");
    assert_eq!(std::fs::read_to_string(outside).expect("the workspace is this folder's"), "kept\n");

    drop(browser);
    project.run_ok(&["down"]);
    assert_eq!(project.left(), "", "objects of {} that are left", project.name);
}

/// What compose reads out of the files, as lines without indentation.
fn merged(project: &Project, names: &[&str]) -> Vec<String> {
    let files: Vec<String> = names.iter().copied().map(path).collect();
    let mut args = vec!["-f", "docker-compose.yaml"];
    args.extend(files.iter().flat_map(|file| ["-f", file]));
    args.push("config");
    project.run_ok(&args).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn every_combination_of_the_compose_files_is_understood() {
    let project = Project::new(&[]);
    for chosen in 0..1_u32 << OVERRIDES.len() {
        let names: Vec<&str> =
            (0..).zip(OVERRIDES).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, name)| name).collect();
        let lines = merged(&project, &names);
        let has = |text: &str| lines.iter().any(|line| line.contains(text));
        // Each file has an effect that no other file has, or that only a file with more has as well.
        let (nvidia, amd) = (names.contains(&"nvidia"), names.contains(&"amd"));
        for (text, expected) in [
            ("driver: nvidia", nvidia),
            ("NVIDIA_DRIVER_CAPABILITIES: all", nvidia),
            ("/dev/kfd", amd),
            ("/dev/dri", amd || names.contains(&"intel")),
            ("protocol: udp", names.contains(&"turn")),
            ("ENABLE_COTURN: \"true\"", names.contains(&"turn")),
            ("dockerfile: Dockerfile.rocm", amd),
            ("dockerfile: Dockerfile.cuda", nvidia && !amd),
            ("dockerfile: Dockerfile.cpu", !nvidia && !amd),
            // Relative paths count from the folder of the first file, whichever file comes last.
            (&format!("{}/workspace", project.folder), true),
        ] {
            assert_eq!(has(text), expected, "{text} with {names:?}: {lines:#?}");
        }
    }
}

#[test]
fn a_line_in_the_settings_chooses_the_compose_files() {
    let files = format!("docker-compose.yaml:{}:{}", path("amd"), path("turn"));
    let hash = "'$2b$12$abcdefghijklmnopqrstuv'";
    let settings = [("COMPOSE_FILE", files), ("WEB_PASSWORD_HASH", hash.into()), ("WEB_USER", "ada".into())];
    let lines = Project::new(&settings).run_ok(&["config"]);
    // `config` prints what another compose file would need: a dollar sign is written twice there.
    for expected in ["/dev/kfd", "protocol: udp", "WEB_USER: ada", "$$2b$$12$$abcdefghijklmnopqrstuv\n"] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    // A name without a value is left to desktopd.
    assert!(lines.contains("WEB_TOKEN: null\n"), "{lines}");
}
