//! A container that a test owns: started with the test's options, and removed when the test is over, whatever its
//! result.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::cleanup::Cleanup;
use crate::poll::eventually;

/// How much of a container's log a failing test prints, in bytes.
const LOG_TAIL: &str = "80";

/// The image under test, from `DESKTOPD_TEST_IMAGE`.
pub fn image() -> String {
    std::env::var("DESKTOPD_TEST_IMAGE")
        .unwrap_or_else(|_| panic!("no image to test: run tests/run or set DESKTOPD_TEST_IMAGE=name:tag"))
}

/// The Docker client; `DESKTOPD_TEST_DOCKER` names another client, podman for example.
pub fn docker() -> Command {
    let mut command =
        Command::new(std::env::var_os("DESKTOPD_TEST_DOCKER").unwrap_or_else(|| "docker".into()));
    command.stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"))
}

/// The output and the exit code of a command in a container, or of the client itself.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Done { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// A name that no other test has.
pub fn new_name() -> String {
    let random = RandomState::new().build_hasher().finish();
    format!("desktopd-test-{}-{random:016x}", std::process::id())
}

/// One field of the image under test, as JSON.
pub fn image_config(field: &str) -> serde_json::Value {
    let template = format!("{{{{json {field}}}}}");
    let done = client("image", ["inspect", "--format", &template, &image()]);
    serde_json::from_str(&done.stdout)
        .unwrap_or_else(|error| panic!("{field} of the image: {error}: {done:?}"))
}

/// Is there a container of this name, running or not?
pub fn exists(name: &str) -> bool {
    run(docker().args(["container", "inspect", name])).status.success()
}

fn client<S: AsRef<OsStr>>(verb: &str, args: impl IntoIterator<Item = S>) -> Done {
    run(docker().arg(verb).args(args)).into()
}

/// A container to start; finished by [`Spec::start`].
pub struct Spec {
    options: Vec<String>,
    image: String,
}

impl Spec {
    /// Any option of `docker run`, as it is.
    pub fn option(mut self, option: impl Into<String>) -> Spec {
        self.options.push(option.into());
        self
    }

    pub fn env(self, name: &str, value: impl AsRef<str>) -> Spec {
        self.option(format!("--env={name}={}", value.as_ref()))
    }

    /// Makes a TCP port reachable from this machine alone, on a free port: see [`Container::port`].
    pub fn publish(self, port: u16) -> Spec {
        self.option(format!("--publish=127.0.0.1::{port}"))
    }

    pub fn mount(self, from: &str, to: &str) -> Spec {
        self.option(format!("--volume={from}:{to}:ro"))
    }

    /// Starts it with the image's own command, or with `command` where that isn't empty.
    pub fn start(self, command: &[&str]) -> Container {
        let name = new_name();
        // The clean-up first, then the container: when the test's process is killed between the two, nothing is left
        // behind.
        let client = docker().get_program().to_string_lossy().into_owned();
        let cleanup = Cleanup::new(r#"exec "$1" rm -f -v "$2""#, &[&client, &name]);
        let mut run_it = docker();
        run_it
            .args(["run", "--detach", "--pull=never", "--name", &name])
            .args(&self.options)
            .arg(&self.image)
            .args(command);
        let done = Done::from(run(&mut run_it));
        assert_eq!(done.code, Some(0), "docker run of {}: {}", self.image, done.stderr);
        Container { name, _cleanup: Some(cleanup) }
    }
}

/// A started container. Dropping it removes it, with its anonymous volumes.
pub struct Container {
    pub name: String,
    _cleanup: Option<Cleanup>,
}

impl Container {
    /// A container of the image under test.
    pub fn of_image() -> Spec {
        Spec { options: Vec::new(), image: image() }
    }

    /// A container of another image of this project: `CUDA` or `ROCM`, from `DESKTOPD_TEST_IMAGE_CUDA` and so on.
    pub fn of_variant(name: &str) -> Spec {
        let variable = format!("DESKTOPD_TEST_IMAGE_{name}");
        let image = std::env::var(&variable)
            .unwrap_or_else(|_| panic!("no image to test: run tests/run or set {variable}=name:tag"));
        Spec { options: Vec::new(), image }
    }

    /// A container that is started and removed elsewhere.
    pub fn of_another(name: &str) -> Container {
        Container { name: name.to_owned(), _cleanup: None }
    }

    /// Runs a command inside, as root.
    pub fn exec(&self, command: &[&str]) -> Done {
        client("exec", [&[self.name.as_str()], command].concat())
    }

    /// Runs a command inside, as root, that reads `input`.
    pub fn exec_with_input(&self, command: &[&str], input: &[u8]) -> Done {
        let mut client = docker();
        client.args(["exec", "--interactive", &self.name]).args(command);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = client.spawn().unwrap_or_else(|error| panic!("run {client:?}: {error}"));
        // A command that ends without reading everything says so by its code.
        let _ = running.stdin.take().expect("an input").write_all(input);
        running.wait_with_output().unwrap_or_else(|error| panic!("wait for {client:?}: {error}")).into()
    }

    /// Runs a command inside that must succeed, and returns its output.
    pub fn exec_ok(&self, command: &[&str]) -> String {
        let done = self.exec(command);
        assert_eq!(done.code, Some(0), "{command:?} in {}: {}{}", self.name, done.stdout, done.stderr);
        done.stdout
    }

    /// Everything that PID 1 wrote to standard output and standard error.
    pub fn logs(&self) -> String {
        let done = client("logs", [&self.name]);
        [done.stdout, done.stderr].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// The port of this machine for a published port.
    pub fn port(&self, inside: u16) -> u16 {
        let done = client("port", [self.name.clone(), format!("{inside}/tcp")]);
        let port = done.stdout.lines().find_map(|line| line.rsplit_once(':')?.1.parse().ok());
        port.unwrap_or_else(|| panic!("port {inside} of {} isn't published: {done:?}", self.name))
    }

    /// Sends PID 1 a signal.
    pub fn kill(&self, signal: &str) {
        let done = client("kill", ["--signal", signal, self.name.as_str()]);
        assert_eq!(done.code, Some(0), "docker kill: {}", done.stderr);
    }

    /// TERM, then KILL after `grace`.
    pub fn stop(&self, grace: Duration) {
        let done = client("stop", ["--time", &grace.as_secs().to_string(), self.name.as_str()]);
        assert_eq!(done.code, Some(0), "docker stop: {}", done.stderr);
    }

    /// TERM, then KILL after `grace`, and a new start with the container's own changed files. Docker chooses new ports
    /// for it.
    pub fn restart(&self, grace: Duration) {
        let done = client("restart", ["--time", &grace.as_secs().to_string(), self.name.as_str()]);
        assert_eq!(done.code, Some(0), "docker restart: {}", done.stderr);
    }

    /// Starts a stopped container again, with its own changed files.
    pub fn start_again(&self) {
        let done = client("start", [&self.name]);
        assert_eq!(done.code, Some(0), "docker start: {}", done.stderr);
    }

    /// Changes limits while it runs: options of `docker update`.
    pub fn update(&self, options: &[&str]) {
        let done = client("update", [options, &[self.name.as_str()]].concat());
        assert_eq!(done.code, Some(0), "docker update: {}", done.stderr);
    }

    /// An image of the container with its own changed files.
    pub fn commit(&self) -> Snapshot {
        let name = new_name();
        let docker = docker().get_program().to_string_lossy().into_owned();
        let cleanup = Cleanup::new(r#"exec "$1" rmi -f "$2""#, &[&docker, &name]);
        let done = client("commit", [self.name.as_str(), &name]);
        assert_eq!(done.code, Some(0), "docker commit: {}", done.stderr);
        Snapshot { name, _cleanup: cleanup }
    }

    /// One field of `docker inspect`, as a Go template.
    pub fn inspect(&self, template: &str) -> String {
        client("inspect", ["--format", template, self.name.as_str()]).stdout
    }

    /// Waits until PID 1 has ended; its exit code.
    pub async fn wait_exit_code(&self, timeout: Duration) -> i32 {
        let what = format!("the end of {}", self.name);
        eventually(&what, timeout, async || {
            let state = self.inspect("{{.State.Running}} {{.State.ExitCode}}");
            state.strip_prefix("false ").and_then(|code| code.parse().ok()).ok_or(state)
        })
        .await
    }
}

/// An image made by a test. Dropping it removes it.
pub struct Snapshot {
    name: String,
    _cleanup: Cleanup,
}

impl Snapshot {
    /// Builds an image on the image under test, which `dockerfile` names by `${IMAGE}`.
    pub fn build(dockerfile: &str) -> Snapshot {
        let context = tempfile::tempdir().expect("make a folder");
        std::fs::write(context.path().join("Dockerfile"), dockerfile).expect("write a Dockerfile");
        let name = new_name();
        let client = docker().get_program().to_string_lossy().into_owned();
        let cleanup = Cleanup::new(r#"exec "$1" rmi -f "$2""#, &[&client, &name]);
        let mut build = docker();
        build
            .args(["build", "-q", "-t", &name, "--build-arg", &format!("IMAGE={}", image())])
            .arg(context.path());
        let done = Done::from(run(&mut build));
        assert_eq!(done.code, Some(0), "docker build: {}{}", done.stdout, done.stderr);
        Snapshot { name, _cleanup: cleanup }
    }

    /// A container of this image.
    pub fn spec(&self) -> Spec {
        Spec { options: Vec::new(), image: self.name.clone() }
    }
}

/// A named volume, removed after the test. Declared before its containers, so that it is dropped after them.
pub struct Volume {
    pub name: String,
    _cleanup: Cleanup,
}

impl Volume {
    /// A volume that Docker makes when a container first mounts it.
    pub fn fresh() -> Volume {
        let name = new_name();
        let client = docker().get_program().to_string_lossy().into_owned();
        // After a killed test, its container may still use the volume for a moment.
        let script = r#"for i in 1 2 3 4 5 6 7 8 9; do "$1" volume rm -f "$2" && exit; sleep 1; done"#;
        Volume { _cleanup: Cleanup::new(script, &[&client, &name]), name }
    }

    /// A volume whose top folder belongs to `owner`; `prepare` is run in it.
    pub fn new(owner: u32, prepare: &str) -> Volume {
        let volume = Volume::fresh();
        volume.shell(&format!("chown {owner}:{owner} /workspace; cd /workspace; {prepare}"));
        volume
    }

    /// Runs a script in another container with the volume at /workspace, and returns its output.
    pub fn shell(&self, script: &str) -> String {
        let mount = format!("--volume={}:/workspace", self.name);
        let mut command = docker();
        command.args(["run", "--rm", "--pull=never", &mount, &image(), "bash", "-ec", script]);
        let done = Done::from(run(&mut command));
        assert_eq!(done.code, Some(0), "{script}: {}", done.stderr);
        done.stdout
    }

    pub fn of(&self, spec: Spec) -> Spec {
        spec.option(format!("--volume={}:/workspace", self.name))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = client("logs", ["--tail", LOG_TAIL, self.name.as_str()]);
            eprintln!("--- end of the log of {}\n{}\n{}\n---", self.name, tail.stdout, tail.stderr);
        }
    }
}
