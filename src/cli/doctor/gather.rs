//! Collects what a maintainer would ask for. A part that cannot be had leaves its reason in its place.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::render;
use crate::config::{Config, Environment, own};
use crate::facts::gpu::{Gpus, Libraries};
use crate::logs::{Line, Mask};
use crate::observe::Snapshot;
use crate::portal::Credentials;
use crate::sys::{read, version, with_timeout_of};

use super::bundle::{Entry, pack};
use super::check::Check;
use super::desktop::Daemon;
use super::found::{Found, PATIENCE};
use super::scrub::passwords_of_addresses;

/// The last bytes of each log.
const OF_LOG: u64 = 200 << 10;

/// The bytes of all logs.
const OF_LOGS: usize = 20 << 20;

/// More logs than a desktop has.
const MOST_LOGS: usize = 1000;

/// The last lines of a log that only the daemon may read.
const LINES: usize = 1000;

/// How long all files of logs may take.
const LOGS_TIMEOUT: Duration = Duration::from_secs(5);

/// Files of the kernel and the system that say what the machine is and allows.
const FILES: [&str; 22] = [
    "/etc/os-release",
    "/proc/cmdline",
    "/proc/driver/nvidia/version",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/self/cgroup",
    "/proc/self/limits",
    "/proc/self/status",
    "/proc/version",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu.stat",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpuset.cpus.effective",
    "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/pids.current",
    "/sys/fs/cgroup/pids.events",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/pids/pids.max",
];

/// The list of Debian's packages, and the parts of the names of packages whose versions matter.
const PACKAGES: (&str, [&str; 9]) = (
    "/var/lib/dpkg/status",
    ["mesa", "nvidia", "libgl", "libegl", "virtualgl", "xserver", "xvfb", "tigervnc", "plasma-workspace"],
);

/// The files of the daemon's generated secrets.
const GENERATED: [&str; 2] = ["web-password", "web-token"];

/// The longest generated secret. Bytes.
const LONGEST_SECRET: u64 = 4096;

/// The packed bundle.
pub(super) async fn bundle(
    found: &Found,
    client: &Client,
    daemon: &Daemon,
    checks: &[Check],
) -> io::Result<Vec<u8>> {
    let mask = Mask::default();
    mask.hide(secrets(&found.config, client, daemon).await);
    let mut entries = vec![
        json("doctor.json", &checks),
        json("probe.json", &found.gpus),
        json("plan.json", &found.plan.view()),
        text("versions.txt", versions(&found.gpus)),
        text("machine.txt", machine()),
    ];
    match daemon {
        Daemon::Answers(snapshot) => {
            entries.push(json("status.json", &**snapshot));
            for (name, path) in [
                ("events.json", "/api/events"),
                ("timeline.json", "/api/timeline"),
                ("environment.json", "/api/environment"),
            ] {
                entries.push(text(name, asked(client, path).await));
            }
            entries.extend(logs(&found.config, client, Some(snapshot)).await);
        }
        Daemon::Absent(why) | Daemon::Denied(why) | Daemon::Silent(why) => {
            entries.push(text("status.txt", format!("{why}\n")));
            entries.push(json("environment.json", &found.config.env.rows()));
            entries.extend(logs(&found.config, client, None).await);
        }
    }
    let now = jiff::Timestamp::now().as_second();
    pack(&entries, &mask, u64::try_from(now).unwrap_or_default())
}

fn text(name: impl Into<String>, text: String) -> Entry {
    Entry { name: name.into(), text }
}

fn json(name: &str, value: &impl Serialize) -> Entry {
    let made = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("\"{error}\""));
    text(name, made + "\n")
}

/// An answer of the daemon, or why there is none.
async fn asked(client: &Client, path: &str) -> String {
    match tokio::time::timeout(PATIENCE, client.text(path)).await {
        Ok(Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Err(failure)) => format!("{}\n", failure.message),
        Err(_) => format!("no answer within {PATIENCE:?}\n"),
    }
}

/// The values of secrets that this command can know: those of its own environment, of the daemon's, and the generated
/// ones. The daemon has masked its logs already.
async fn secrets(config: &Config, client: &Client, daemon: &Daemon) -> Vec<String> {
    let mut secrets = of_environment(&config.env);
    if let Some(snapshot) = daemon.snapshot() {
        secrets.extend(of_environment(&of_process(snapshot.pid)));
        let given = tokio::time::timeout(PATIENCE, client.get::<Credentials>("/api/credentials")).await;
        if let Ok(Ok(given)) = given {
            secrets.extend(given.password.into_iter().chain([given.token]));
        }
    }
    let kept = GENERATED.iter().map(|name| config.places.state.join(name));
    secrets.extend(kept.filter_map(|file| read::text(&file, LONGEST_SECRET).ok()));
    secrets
}

/// The secrets of an environment: those that have the name of a secret, and the passwords of addresses.
fn of_environment(environment: &Environment) -> Vec<String> {
    let values = environment.raw.values().flat_map(|value| passwords_of_addresses(&value.to_string_lossy()));
    environment.secrets().into_iter().chain(values).collect()
}

/// The environment of the daemon's process, with the arguments of `init`.
fn of_process(pid: i32) -> Environment {
    let words = |file: &str| {
        let bytes = read::kernel(format!("/proc/{pid}/{file}"));
        let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.map(|word| OsStr::from_bytes(word).to_owned()).collect::<Vec<OsString>>()
    };
    let pairs = words("environ").into_iter().filter_map(|word| {
        let at = word.as_bytes().iter().position(|byte| *byte == b'=')?;
        let (name, value) = word.as_bytes().split_at(at);
        Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(&value[1..]).to_owned()))
    });
    let given: Vec<OsString> =
        words("cmdline").into_iter().skip(1).filter(|word| word.as_bytes().contains(&b'=')).collect();
    Environment::new(pairs, &given, &mut Vec::new())
}

/// The ends of all logs: from the files, which also have earlier starts, or else from the daemon.
async fn logs(config: &Config, client: &Client, snapshot: Option<&Snapshot>) -> Vec<Entry> {
    let folder = config.places.log.clone();
    let shown = folder.display().to_string();
    let files = with_timeout_of(LOGS_TIMEOUT, move || files_of(&folder));
    let mut logs = files.unwrap_or_else(|| vec![text("logs/none.txt", format!("{shown} does not answer\n"))]);
    if logs.is_empty() {
        let units = snapshot.map(|snapshot| snapshot.units.iter().map(|unit| unit.name.as_str()));
        for name in units.into_iter().flatten().chain(snapshot.map(|_| own::NAMES[0])) {
            let lines = tokio::time::timeout(PATIENCE, client.log(&format!("{name}?lines={LINES}"))).await;
            let Ok(Ok(lines)) = lines else { continue };
            let lines = lines.iter().fold(String::new(), |all, line| all + &self::line(line));
            if !lines.is_empty() {
                logs.push(text(format!("logs/{name}.log"), lines));
            }
        }
    }
    if logs.is_empty() {
        logs.push(text("logs/none.txt", format!("no log can be read in {shown}\n")));
    }
    bounded(logs)
}

fn line(line: &Line) -> String {
    format!("{} {}\n", render::time(line.at), line.text)
}

/// The ends of the files: of the newest of each log, then of the one before.
fn files_of(folder: &Path) -> Vec<Entry> {
    let is_log = |name: &str| {
        let name = name.strip_suffix(".1").unwrap_or(name);
        Path::new(name).extension() == Some(OsStr::new("log"))
    };
    let (names, _) = read::names_where(folder, MOST_LOGS, is_log);
    let mut names: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    names.sort_by_key(|name| name.extension() != Some(OsStr::new("log")));
    let entry = |name: &PathBuf| {
        let (bytes, cut) = read::ending(&folder.join(name), OF_LOG).ok()?;
        let whole = String::from_utf8_lossy(&bytes);
        // The first line is cut, and with it perhaps a secret that can no longer be found.
        let lines = if cut { whole.split_once('\n').map_or("", |(_, lines)| lines) } else { &whole };
        Some(text(format!("logs/{}", name.display()), lines.to_owned()))
    };
    names.iter().filter_map(entry).collect()
}

/// As many logs as may be in a bundle, and the names of those that are left out.
fn bounded(logs: Vec<Entry>) -> Vec<Entry> {
    let (mut size, mut left_out) = (0, String::new());
    let mut kept = Vec::new();
    for log in logs {
        if size + log.text.len() > OF_LOGS {
            left_out.extend([log.name.as_str(), "\n"]);
            continue;
        }
        size += log.text.len();
        kept.push(log);
    }
    if !left_out.is_empty() {
        kept.push(text("logs/left-out.txt", left_out));
    }
    kept
}

/// The versions of this program, of the libraries that draw, and of packages.
fn versions(gpus: &Gpus) -> String {
    let mut versions = vec![format!("desktopd {}", version::line())];
    let nvidia = &gpus.nvidia;
    for (name, version) in [("module", &nvidia.module), ("NVML", &nvidia.driver), ("CUDA", &nvidia.cuda)] {
        versions.push(format!("NVIDIA {name}: {}", version.as_deref().unwrap_or("unknown")));
    }
    let Libraries { gl, egl, egl_nvidia, glx_nvidia, nvml, cuda, .. } = &gpus.libraries;
    for path in [gl, egl, egl_nvidia, glx_nvidia, nvml, cuda].into_iter().flatten() {
        // The name behind the links has the version.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        versions.push(real.display().to_string());
    }
    versions.join("\n") + "\n" + &packages(&read::kernel_text(PACKAGES.0))
}

/// Name and version of the packages that matter, from Debian's list.
fn packages(list: &str) -> String {
    let mut found = String::new();
    let mut name = "";
    for line in list.lines() {
        if let Some(next) = line.strip_prefix("Package: ") {
            name = next;
        } else if let Some(version) = line.strip_prefix("Version: ")
            && PACKAGES.1.iter().any(|part| name.contains(part))
        {
            found.extend([name, " ", version, "\n"]);
        }
    }
    found
}

/// The files of the kernel and the system, each below its path.
fn machine() -> String {
    let part = |path: &&str| {
        let text = read::kernel_text(path);
        (!text.is_empty()).then(|| format!("== {path}\n{}\n\n", text.trim_end()))
    };
    FILES.iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_cut_at_a_line_and_bounded_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let long = format!("first {}\nlast\n", "x".repeat(usize::try_from(OF_LOG).unwrap()));
        for (name, text) in
            [("kde.log.1", "old\n"), ("kde.log", &*long), ("kde.log.2", "older\n"), ("notes.txt", "no\n")]
        {
            write(name, text);
        }
        fs::create_dir(dir.path().join("folder.log")).unwrap();
        let found: Vec<(String, String)> =
            files_of(dir.path()).into_iter().map(|entry| (entry.name, entry.text)).collect();
        let expected = [("logs/kde.log", "last\n"), ("logs/kde.log.1", "old\n")];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let large = || text("logs/a", "x".repeat(OF_LOGS / 2));
        let kept = bounded(vec![large(), large(), large(), text("logs/b", String::new())]);
        let names: Vec<&str> = kept.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["logs/a", "logs/a", "logs/b", "logs/left-out.txt"]);
    }

    #[test]
    fn versions_are_those_of_packages_that_draw() {
        let list = "Package: mesa-vulkan-drivers\nStatus: x\nVersion: 25.0\n\nPackage: bash\nVersion: 5\n";
        assert_eq!(packages(list), "mesa-vulkan-drivers 25.0\n");
    }

    #[test]
    fn environment_of_a_process_has_its_secrets() {
        let found = of_process(std::process::id().cast_signed());
        assert!(found.raw.keys().any(|name| name == "PATH"));
    }
}
