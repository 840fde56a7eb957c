//! The real program as a real process: with a configuration of its own, a marker in the environment by which all its
//! processes are found again, and an end that leaves nothing.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The time limit of every wait, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The marker: an environment variable that all processes inherit.
const MARK: &str = "DAEMON_TEST_MARK";

/// A service that writes to `order` when it starts and stops.
const POLITE: &str = r#"#!/bin/sh
trap 'echo "$1 down" >> "$D/order"; exit 0' TERM
sleep 1000 3>&- &
echo "$1 up" >> "$D/order"
echo >&3
exec 3>&-
wait
"#;

pub struct World {
    dir: TempDir,
    port: u16,
    /// The portal's port on loopback.
    inner: u16,
    mark: String,
    env: Vec<(OsString, OsString)>,
    /// The daemon's arguments.
    arguments: Vec<OsString>,
    program: PathBuf,
    uid: Option<u32>,
    wrapper: Vec<String>,
    daemon: Option<Child>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl World {
    /// A configuration without services.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("services")).unwrap();
        let places: String =
            ["run", "state", "log", "portal", "environment"].iter().fold(String::new(), |mut text, place| {
                let _ = writeln!(text, "{place} = \"{}\"", dir.path().join(place).display());
                text
            });
        fs::write(dir.path().join("desktopd.toml"), format!("[paths]\n{places}")).unwrap();
        let mark = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        let world = Self {
            port: free_port(),
            inner: free_port(),
            mark,
            env: Vec::new(),
            arguments: vec!["init".into()],
            program: env!("CARGO_BIN_EXE_desktopd").into(),
            uid: None,
            wrapper: Vec::new(),
            daemon: None,
            dir,
        };
        world.script("polite", POLITE);
        world
    }

    /// A configuration with these services; a service file without a user runs as the daemon's own user.
    pub fn of(services: &[(&str, &str)]) -> Self {
        let world = Self::new();
        for (name, text) in services {
            world.service(name, text);
        }
        world
    }

    /// The same, running.
    pub fn running(services: &[(&str, &str)]) -> Self {
        let mut world = Self::of(services);
        world.start();
        world
    }

    /// Writes a service file. `@D` is replaced with the folder, `@polite` with a well-behaved command of that name.
    pub fn service(&self, name: &str, text: &str) {
        let user = if text.contains("user =") { "" } else { "user = \"own\"\n" };
        let polite = format!("command = [\"@D/polite\", \"{name}\"]\nready = {{ kind = \"fd\" }}");
        let text = format!("{user}{text}\n").replace("@polite", &polite);
        self.write(&format!("services/{name}.toml"), &text.replace("@D", self.dir.path().to_str().unwrap()));
    }

    /// Writes an executable file and returns its path.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Compiles a C program, or with `-shared` a library, and returns its path.
    pub fn compiled(&self, name: &str, source: &str, flags: &[&str]) -> String {
        let (file, made) = (self.path(&format!("{name}.c")), self.path(name));
        fs::write(&file, source).unwrap();
        let output = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&made).arg(&file).args(flags).output();
        let output = output.expect("a C compiler, which building this program needs as well");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made.to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The same, with a rename: a program that reads the file again and again finds the old text or the new text, never
    /// half of it.
    pub fn replace(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn argument(&mut self, argument: &str) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Makes the daemon run a command (`desktopd run`) and end with it.
    pub fn run(&mut self, command: &[&str]) -> &mut Self {
        self.arguments = ["run", "--"].iter().chain(command).map(OsString::from).collect();
        self
    }

    /// Puts words before the program: `unshare …`, `sh -c …`.
    pub fn wrapped_in(&mut self, words: &[&str]) -> &mut Self {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs everything as that user; with a copy of the program, as the user may have no access to the original's
    /// folder.
    pub fn as_user(&mut self, uid: u32) -> &mut Self {
        let copy = self.path("desktopd");
        fs::copy(&self.program, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
        self.program = copy;
        self.uid = Some(uid);
        nix::unistd::chown(self.dir.path(), Some(uid.into()), Some(uid.into())).unwrap();
        self
    }

    /// The portal's port, and its inner port on loopback.
    pub fn ports(&self) -> (u16, u16) {
        (self.port, self.inner)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The lines of `order`.
    pub fn order(&self) -> Vec<String> {
        self.read("order").lines().map(str::to_owned).collect()
    }

    fn command(&self, words: &[&OsStr]) -> Command {
        let mut line: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        line.push(self.program.clone().into());
        line.extend(["--config".into(), self.dir.path().into()]);
        line.extend(words.iter().map(|word| (*word).to_owned()));
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir.path())
            .env("D", self.dir.path())
            .env(MARK, &self.mark)
            .env("SERVICEPORTAL_PORT_HOST", self.port.to_string())
            .env("SERVICEPORTAL_PORT_LOCAL", self.inner.to_string())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Starts the daemon and waits until it answers and has made its plan.
    pub fn start(&mut self) {
        self.spawn();
        self.until("it runs", |status| status["phase"] != "starting");
    }

    /// Starts the daemon.
    pub fn spawn(&mut self) {
        let console = File::options().create(true).append(true).open(self.path("console")).unwrap();
        let words: Vec<&OsStr> = self.arguments.iter().map(OsString::as_os_str).collect();
        let mut command = self.command(&words);
        command.stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console).process_group(0);
        self.daemon = Some(command.spawn().unwrap());
    }

    /// The command line before a program that has to run in the daemon's own mount namespace, if it has one.
    fn words_for_its_mounts(&self) -> Vec<OsString> {
        match &self.daemon {
            Some(daemon) if self.has_mounts() => {
                vec!["nsenter".into(), "--mount".into(), "--target".into(), daemon.id().to_string().into()]
            }
            _ => Vec::new(),
        }
    }

    fn has_mounts(&self) -> bool {
        self.wrapper.iter().take(2).eq(["unshare", "--mount"])
    }

    /// The path of the control socket, seen from the test's mount namespace.
    pub fn control_socket(&self) -> PathBuf {
        let path = self.path("run/control.sock");
        match &self.daemon {
            Some(daemon) if self.has_mounts() => {
                format!("/proc/{}/root{}", daemon.id(), path.display()).into()
            }
            _ => path,
        }
    }

    /// Runs a subcommand of the program beside the daemon.
    pub fn cli(&self, words: &[&str]) -> Answer {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let mut beside = self.command(&words);
        if !self.wrapper.is_empty() {
            let wrapper = self.wrapper.len();
            // The first word of the wrapper is the program, not an argument.
            let line: Vec<OsString> = beside.get_args().skip(wrapper - 1).map(OsStr::to_owned).collect();
            let mut words = self.words_for_its_mounts();
            words.extend(line);
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).env_clear();
            beside = command;
        }
        let output = beside.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Runs the program under another name, as a link would, and gives it input.
    pub fn cli_named(&self, name: &str, words: &[&str], input: &str) -> Answer {
        let link = self.path(name);
        let _ = std::os::unix::fs::symlink(&self.program, &link);
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let known = self.command(&words);
        let set = known.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut command = Command::new(link);
        command.args(known.get_args()).env_clear().envs(set).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Answer { code: output.status.code().unwrap_or(-1), out, err }
    }

    /// A command whose output the test redirects.
    pub fn cli_command(&self, words: &[&str]) -> Command {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let mut command = self.command(&words);
        command.stdin(Stdio::null());
        command
    }

    /// Starts a command with this input, and with its output in pipes.
    pub fn cli_with(&self, words: &[&str], input: Stdio) -> Child {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let mut command = self.command(&words);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The portal's whole answer to a request; `head` has neither `Host` nor the empty line at its end.
    pub fn http(&self, head: &str) -> String {
        self.http_raw(&format!("{head}Host: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// The same for a complete request, which has to ask for the end of the connection.
    pub fn http_raw(&self, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The portal's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts a command in the background, its output in a pipe.
    pub fn cli_beside(&self, words: &[&str]) -> Child {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        self.command(&words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command that must succeed; its output.
    pub fn tell(&self, words: &[&str]) -> String {
        let answer = self.cli(words);
        assert_eq!(answer.code, 0, "{words:?}: {answer:?}");
        answer.out
    }

    /// What `desktopd status` prints, with each wrapped sentence in one line again.
    pub fn page(&self) -> String {
        const REMEDY: &str = "\n    -> ";
        let text = self.tell(&["status"]).replace(REMEDY, "\0").replace("\n    ", " ");
        text.replace('\0', REMEDY)
    }

    /// Sends a `POST` to the control socket: the status and the answer.
    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let mut socket = UnixStream::connect(self.path("run/control.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "Host: test\r\nConnection: close\r\nContent-Type: application/json";
        let length = body.len();
        let request = format!("POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// The answer to a `GET` on the control socket, if the daemon answers.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut socket = UnixStream::connect(self.control_socket()).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The snapshot.
    pub fn status(&self) -> Value {
        self.get("/api/status").expect("an answer of the daemon")
    }

    /// A unit's part of the snapshot.
    pub fn unit(&self, name: &str) -> Value {
        find(&self.status(), name)
    }

    /// The text of a unit's log.
    pub fn log(&self, name: &str) -> String {
        let lines = self.get(&format!("/api/logs/{name}?lines=10000")).unwrap_or_default();
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().flat_map(|line| [line["text"].as_str().unwrap_or_default(), "\n"]).collect()
    }

    /// Waits until the snapshot satisfies `right`, and returns it.
    pub fn until(&self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = poll(|| {
            last = self.get("/api/status")?;
            right(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}: {last:#}"))
    }

    /// Waits until a unit is in that state, and returns its status.
    pub fn until_state(&self, name: &str, state: &str) -> Value {
        let status = self.until(&format!("{name} is {state}"), |status| find(status, name)["state"] == state);
        find(&status, name)
    }

    /// Waits until a unit runs as another process than `before`, and is ready.
    pub fn until_replaced(&self, name: &str, before: &Value) -> Value {
        let replaced = |unit: &Value| unit["state"] == "ready" && unit["pid"] != before["pid"];
        let status = self.until(&format!("{name} is replaced"), |status| replaced(&find(status, name)));
        find(&status, name)
    }

    /// Waits until everything that should be up is up.
    pub fn until_up(&self) -> Value {
        self.until("everything is up", |status| status["up"] == true)
    }

    /// Waits until a file in the folder contains `text`.
    pub fn until_written(&self, name: &str, text: &str) -> String {
        until(&format!("{name} contains {text:?}"), || {
            let found = self.read(name);
            found.contains(text).then_some(found)
        })
    }

    /// Waits until the console shows `text`.
    pub fn until_said(&self, text: &str) {
        self.until_written("console", text);
    }

    /// The daemon's own process.
    pub fn pid(&self) -> i32 {
        self.daemon.as_ref().expect("a daemon").id().cast_signed()
    }

    /// The daemon's own process where it runs under others (`wrapped_in`).
    pub fn inner_pid(&self) -> i32 {
        let ours = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program);
        let mut all = vec![self.pid()];
        all.extend(descendants(self.pid()));
        all.into_iter().find(ours).expect("the daemon below its wrapper")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits until the daemon has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("a daemon");
        until("the daemon ends", || daemon.try_wait().unwrap())
    }

    /// Stops the daemon with TERM, and checks that no process is left.
    pub fn end(&mut self) {
        // Guards do not carry the marker: they have no environment.
        let below = descendants(self.pid());
        self.signal(Signal::SIGTERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status}");
        self.assert_nothing_left();
        let left: Vec<String> = below.into_iter().filter(|pid| is_alive(*pid)).map(describe).collect();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// Kills the daemon with SIGKILL, and then the processes that it started. To be called when nothing is being
    /// started: a process that has no environment yet, or is just getting another, is not found.
    pub fn crash(&mut self) {
        let mut below = descendants(self.pid());
        self.signal(Signal::SIGKILL);
        self.ended();
        below.extend(self.everything());
        for pid in &below {
            // Some end together with the daemon.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        until("all have ended", || below.iter().all(|pid| !is_alive(*pid)).then_some(()));
    }

    /// All processes that this daemon, or a unit of it, started; also those that escaped.
    pub fn everything(&self) -> Vec<i32> {
        let wanted = format!("{MARK}={}", self.mark);
        let marked = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
        };
        processes().into_iter().filter(marked).collect()
    }

    pub fn assert_nothing_left(&self) {
        let left = self.everything();
        let lines: Vec<String> = left.iter().copied().map(describe).collect();
        assert!(left.is_empty(), "left behind: {lines:#?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- console ---\n{}---", self.read("console"));
        } else if self.daemon.is_some() {
            self.end();
        }
        for pid in self.everything() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A unit in a snapshot.
pub fn find(status: &Value, name: &str) -> Value {
    let units = status["units"].as_array().cloned().unwrap_or_default();
    units.into_iter().find(|unit| unit["name"] == name).unwrap_or_default()
}

/// Calls `ask` again and again until it has a result or the time limit is reached.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(40));
    }
}

/// The same, but no result within the time limit is a failure.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    poll(ask).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}

/// The pid in a unit's status.
pub fn pid_of(unit: &Value) -> i32 {
    i32::try_from(unit["pid"].as_i64().unwrap_or_else(|| panic!("no process: {unit}"))).unwrap()
}

/// Every process that this user may see.
fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether such a process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

/// State and parent.
fn stat(pid: i32) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Children of `parent`, and how many of them are zombies.
pub fn children(parent: i32) -> (Vec<i32>, usize) {
    let found: Vec<(i32, String)> = processes()
        .into_iter()
        .filter_map(|pid| stat(pid).filter(|(_, of)| *of == parent).map(|(state, _)| (pid, state)))
        .collect();
    let zombies = found.iter().filter(|(_, state)| state == "Z").count();
    (found.into_iter().map(|(pid, _)| pid).collect(), zombies)
}

/// All descendants of `root`.
pub fn descendants(root: i32) -> Vec<i32> {
    let (mut found, mut left) = (Vec::new(), vec![root]);
    while let Some(pid) = left.pop() {
        let (children, _) = children(pid);
        found.extend(&children);
        left.extend(children);
    }
    found
}

fn describe(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid} {}", String::from_utf8_lossy(&line).replace('\0', " "))
}

/// How much processor time a process has used.
pub fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    // The process's own time, in hundredths of a second.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Runs a program that must succeed.
pub fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Whether this wrapper works here; if not, reports that the test is skipped.
pub fn works(words: &[&str]) -> bool {
    let probe = Command::new(words[0]).args(&words[1..]).arg("true").output();
    let well = probe.as_ref().is_ok_and(|output| output.status.success());
    if !well {
        skipped(&format!("{} does not work here: {probe:?}", words.join(" ")));
    }
    well
}

/// A port that was free a moment ago, and that the kernel does not give to outgoing connections of other tests
/// meanwhile.
pub fn free_port() -> u16 {
    let random = || 10_000 + rand::random::<u16>() % 20_000;
    std::iter::repeat_with(random).find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

/// Whether this test runs as root.
pub fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// Reports that a test cannot run here, and why.
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// The environment of a process.
pub fn environment(pid: i32) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=').unwrap();
            (entry[..at].to_vec(), entry[at + 1..].to_vec())
        })
        .collect()
}

/// One variable of a process.
pub fn variable(pid: i32, name: &str) -> Option<OsString> {
    let found = environment(pid).into_iter().find(|(found, _)| found == name.as_bytes());
    found.map(|(_, value)| OsStr::from_bytes(&value).to_owned())
}

/// One field of `/proc/PID/status`.
pub fn proc_status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
}
