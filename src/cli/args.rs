//! The command line: all commands, their options, and examples.

mod habits;
mod root;

pub use root::as_root;
pub(super) use root::quoted;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::sys::version;

/// A GPU desktop in one container.
#[derive(Debug, Parser)]
#[command(name = "desktopd", version = version::line(), about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// Folder with desktopd.toml and services/; default: `DESKTOPD_CONFIG` or /etc/desktopd
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  docker run -d -p 1111:1111 -p 6100:6100 --shm-size=1g IMAGE init
  docker exec C desktopd status
  docker exec C desktopd logs -f kde
  docker exec C desktopd restart --wait selkies
  docker exec C desktopd timeline

Exit codes: 0 done, 1 not done, 3 the daemon does not run, 64 wrong command line,
78 wrong configuration. -o json on a command that shows something prints what the API answers.";

/// Program names that are commands, with and without `.sh`, as scripts use them.
const NAMES: [(&str, &[&str]); 13] = [
    ("init", &["init"]),
    // vast.ai's onstart calls these.
    ("entrypoint", &["init"]),
    // Scripts that replace vast.ai's boot script call it at their end.
    ("boot_default", &["init", "--unless-running"]),
    ("set-web-credentials", &["set-web-credentials"]),
    ("hash-password", &["hash-password"]),
    ("env-store", &["env-store"]),
    ("logtail", &["logs", "--all", "--follow"]),
    ("reboot", &["system", "reboot"]),
    ("poweroff", &["system", "poweroff"]),
    ("halt", &["system", "halt"]),
    ("shutdown", &["system", "shutdown"]),
    ("systemctl", &["system", "systemctl"]),
    ("service", &["system", "service"]),
];

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the desktop: the container's main process
    #[command(after_help = "Examples:
  docker run -d -p 1111:1111 -p 6100:6100 --shm-size=1g IMAGE init
  docker run -d -p 6100:6100 --shm-size=1g IMAGE init WEB_PASSWORD=secret DISPLAY_SIZEW=2560")]
    Init {
        /// Do nothing if desktopd is already running
        #[arg(long, hide = true)]
        unless_running: bool,
        /// Variables in addition to the environment, NAME=value
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME=value")]
        variables: Vec<OsString>,
    },
    /// Run a command in the desktop that runs here; where none runs, run the desktop and the command in it, and stop
    /// everything when the command ends
    #[command(after_help = "Examples:
  docker exec C desktopd run -- glxgears
  docker exec -it C desktopd run -- bash
  docker run --rm --shm-size=1g IMAGE desktopd run -- glxgears
  docker run --rm -w /work -v $PWD:/work --shm-size=1g IMAGE desktopd run -- sh -c 'make test'

The command runs as the desktop's user, with the desktop's environment, on the desktop's GPU, in the
folder of desktopd run or else in the home folder. In a desktop that runs, it waits until the X
server is ready; in its own, until every service that starts by itself is ready or has failed for
good. The exit code is the command's, 128+n when signal n ended it, 127 when there is no such
program, 126 when it cannot be executed.")]
    Run {
        /// The program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Show problems, all services and the ways in; with names, details and the last log lines
    #[command(aliases = ["st"], after_help = "Examples:
  desktopd status
  desktopd status kde 'pipewire*'
  desktopd status --watch            # the same, redrawn after every change
  desktopd status -o json | jq -r '.units[] | select(.state == \"failed\") | .name'")]
    Status(Status),
    /// Show the table of the services
    #[command(aliases = ["ls", "list"], after_help = "Examples:
  desktopd ps
  desktopd ps --all                  # also what is not in use, and why
  desktopd ps -q 'pipewire*'         # only names")]
    Ps(Ps),
    /// Show the addresses of the desktop, the one that works from outside first
    #[command(aliases = ["urls", "address", "link", "links"], after_help = "Examples:
  desktopd url
  desktopd url selkies               # only the addresses of this service, the best one first
  docker exec -t C desktopd url --qr # for a phone
  docker exec C desktopd url selkies --token
  desktopd run -- desktopd url --open

An address with the token logs in without a password: give it only to people who may use the
desktop. Only root and the user that desktopd runs as get the token.")]
    Url(Url),
    /// Take a picture of the desktop, as a PNG
    #[command(aliases = ["screenshots", "shot"], after_help = "Examples:
  desktopd screenshot desktop.png
  docker exec C desktopd screenshot - > desktop.png
  docker exec C desktopd screenshot --width 480 - > small.png

The picture has what is on the display, without the mouse pointer. The portal has the same picture
at /desktopd/screenshot.png, and with ?width=480 a smaller one.")]
    Screenshot(Screenshot),
    /// Start services and the services that they need
    #[command(after_help = "Examples:
  desktopd start kde
  desktopd start --wait --timeout 30s 'pipewire*'")]
    Start(Change),
    /// Stop services and the services that need them
    #[command(after_help = "Examples:
  desktopd stop selkies
  desktopd stop --wait kde fcitx5")]
    Stop(Change),
    /// Restart services and the services that need them
    #[command(after_help = "Examples:
  desktopd restart selkies
  desktopd restart --wait 'pipewire*' wireplumber
  desktopd restart --only kde        # without the X server, which its file restarts with it
  desktopd restart caddy             # the gateway is desktopd itself: reads its configuration")]
    Restart(Restart),
    /// Show the logs of services, merged in the order of time; without names, of all
    #[command(aliases = ["log", "tail"], after_help = "Examples:
  desktopd logs -f kde
  desktopd logs desktopd             # the daemon itself
  desktopd logs kde selkies --since 10m --level warn
  desktopd logs --grep 'not found' -n all
  desktopd logs --regex --grep 'fail(ed|ure)' --since 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z
  desktopd logs -o json | jq -r 'select(.level == \"error\") | .text'

What the daemon has in memory is shown; the files in /var/log/desktopd go back further. Times are UTC.")]
    Logs(Logs),
    /// Show events: every state change of every service, with its reason
    #[command(after_help = "Examples:
  desktopd events -n 20
  desktopd events -f
  desktopd events --json | jq -r 'select(.to == \"failed\") | .unit'")]
    Events(Events),
    /// Show the boot timeline: which service waited for which, and how long each took to start
    #[command(after_help = "Examples:
  desktopd timeline
  desktopd timeline --svg > boot.svg")]
    Timeline(Timeline),
    /// Show what the machine and its services do: processor, memory, GPUs, disks, network
    #[command(after_help = "Examples:
  docker exec -it C desktopd top     # every second; q ends it, c and m sort by CPU and memory
  desktopd top --once --sort memory
  desktopd top -o json | jq .memory_used_bytes

Shares are shares of what the container may use: with a limit of 2 cores, 50% is one core.")]
    Top(Top),
    /// Show the plan: what would run on this machine, and why
    #[command(after_help = "Examples:
  desktopd plan
  desktopd plan DESKTOPD_DISPLAY=llvmpipe
  desktopd plan --root DIR --json    # for a copy of another machine's /proc, /sys and /dev
  docker run --rm IMAGE desktopd plan --json")]
    Plan {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
        /// Plan for another machine: what is known about its hardware, its libraries and its programs is read below
        /// this folder, and no driver is asked
        #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
        root: PathBuf,
        /// Variables in addition to the environment, NAME=value
        #[arg(value_name = "NAME=value")]
        variables: Vec<OsString>,
    },
    /// Show the GPUs of this machine, and why each can or cannot be used
    #[command(after_help = "Examples:
  desktopd probe
  desktopd probe --json | jq -r '.gpus[] | select(.usable) | .pci'
  docker run --rm --gpus all IMAGE desktopd probe")]
    Probe {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
        /// Read the files of the machine below this folder instead of /
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
        /// Also draw on each GPU and read the picture back
        #[arg(long)]
        render: bool,
    },
    /// Show what works on this machine and what does not, with a remedy for each
    #[command(after_help = "Examples:
  desktopd doctor
  docker run --rm --shm-size=1g IMAGE desktopd doctor    # before the first start
  docker exec C desktopd doctor --bundle - > desktop.tar.gz

The bundle has what a maintainer asks for: these checks, the probe, the plan, status, events,
variables, versions, limits, and the last lines of every log. Values of secrets are masked; read it
before you send it.
The exit code is 0 when there is no problem, else 1; warnings are no problems.")]
    Doctor {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
        /// Also write a .tar.gz for a report; - writes it to standard output, and nothing else
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        bundle: Option<PathBuf>,
    },
    /// Show all known variables, their values and where each value comes from
    #[command(after_help = "Examples:
  desktopd env
  desktopd env WEB_USER TURN_HOST
  docker run --rm IMAGE desktopd env

Secrets are masked. Variables given to `init` as NAME=value are shown only while the daemon runs.")]
    Env(Env),
    /// Check by exit code whether users can log in and see the desktop
    #[command(after_help = "Examples:
  desktopd health || desktopd status")]
    Health {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
    },
    /// Show the user name, password and token of the web services; for root
    #[command(after_help = "Examples:
  desktopd credentials
  desktopd credentials --json | jq -r .token")]
    Credentials {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
    },
    /// Change the user name and password of the web services while they run; for root
    #[command(
        name = "set-web-credentials",
        after_help = "Examples:
  docker exec -it C desktopd set-web-credentials ada           # asks for the password
  docker exec -i C desktopd set-web-credentials ada < file     # a file with nothing else in it
  docker exec C set-web-credentials.sh ada secret

All users have to log in again, and open streams end. The change survives restarts of the container,
until WEB_USER, WEB_PASSWORD or WEB_PASSWORD_HASH is changed. Other users can read a password in an
argument while the command runs."
    )]
    SetWebCredentials {
        /// The new user name
        #[arg(value_name = "USER")]
        user: String,
        /// The new password; if omitted, asked for or read from standard input
        #[arg(value_name = "PASSWORD", allow_hyphen_values = true)]
        password: Option<String>,
    },
    /// Print a bcrypt hash of a password, for `WEB_PASSWORD_HASH`
    #[command(
        name = "hash-password",
        after_help = "Examples:
  docker run --rm -it IMAGE desktopd hash-password
  docker run --rm -i IMAGE desktopd hash-password --cost 14 < file

A hash contains dollar signs: put it between single quotes in a shell and in compose's .env;
in a compose file itself, write each $ as $$."
    )]
    HashPassword {
        /// The password; if omitted, asked for or read from standard input
        #[arg(short, long, allow_hyphen_values = true)]
        password: Option<String>,
        /// The bcrypt cost: each step doubles the time to check a password
        #[arg(
            short = 'r',
            long,
            visible_alias = "rounds",
            default_value_t = bcrypt::DEFAULT_COST,
            value_parser = clap::value_parser!(u32).range(4..=31)
        )]
        cost: u32,
    },
    /// Store variables for shells and for services that start from now on: as root for all users, else for the user
    /// alone
    #[command(
        name = "env-store",
        after_help = "Examples:
  docker exec C env-store HF_TOKEN=hf_abc
  desktopd env-store HF_HOME         # its value in this shell

Root's variables are in /etc/environment, which may also be edited; those of the desktop's user are
for the shells and services of that user. A running service gets them after a restart."
    )]
    EnvStore {
        /// Variables; a name alone stores the value that it has here
        #[arg(required = true, value_name = "NAME[=value]")]
        variables: Vec<OsString>,
    },
    /// Reload the configuration and restart only the services that changed; for root
    #[command(aliases = ["reread", "update", "daemon-reload"], after_help = "Examples:
  docker exec C desktopd reload

Changed files are also noticed without this command. A file with a mistake changes nothing.")]
    Reload {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
    },
    /// Stop all services and desktopd itself, as `docker stop` does; for root
    #[command(after_help = "Examples:
  docker exec C desktopd shutdown")]
    Shutdown,
    /// Replacements for systemd's commands: reboot, poweroff, halt, shutdown, systemctl and service
    #[command(hide = true, disable_help_flag = true)]
    System {
        /// The program's name and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
        words: Vec<OsString>,
    },
    /// Print the version, and the commit that it was built from
    #[command(after_help = "Examples:
  docker run --rm IMAGE desktopd version
  desktopd version --json")]
    Version {
        /// Print JSON (also -o json)
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  desktopd completions bash > /etc/bash_completion.d/desktopd
  desktopd completions fish > ~/.config/fish/completions/desktopd.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which services to show, and how.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Names, aliases or patterns such as 'pipewire*'; without names, the whole desktop
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
    /// Keep running and show every change; q or Ctrl-C ends
    #[arg(short, long)]
    pub watch: bool,
    /// Also show finished boot steps and the services that are not in use
    #[arg(short, long)]
    pub all: bool,
    /// Print JSON (also -o json); with --watch, one object per line
    #[arg(long)]
    pub json: bool,
}

/// Which services to list, and how.
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Names, aliases or patterns such as 'pipewire*'; without names, all services in use
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
    /// Also show finished boot steps and the services that are not in use
    #[arg(short, long)]
    pub all: bool,
    /// Print only the names of all services
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print JSON (also -o json)
    #[arg(long)]
    pub json: bool,
}

/// Which addresses to show, and how.
#[derive(Debug, clap::Args)]
pub struct Url {
    /// A service, or a title of the portal; without it, one address of each way in
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// Put the token into the addresses, with which no login is needed
    #[arg(long)]
    pub token: bool,
    /// Also draw the first address as a QR code
    #[arg(long, conflicts_with = "json")]
    pub qr: bool,
    /// Open the first address in the desktop's browser
    #[arg(long, conflicts_with_all = ["json", "qr"])]
    pub open: bool,
    /// Print JSON (also -o json)
    #[arg(long)]
    pub json: bool,
}

/// Where a picture goes, and its size.
#[derive(Debug, clap::Args)]
pub struct Screenshot {
    /// The file; - is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The width of the picture; default: that of the display
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(16..))]
    pub width: Option<u16>,
}

/// Which services to change, and whether to wait.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// Names, aliases or patterns such as 'pipewire*'
    #[arg(required = true, value_name = "SERVICE")]
    pub names: Vec<String>,
    /// Wait until the services have reached the state or have failed
    #[arg(short, long)]
    pub wait: bool,
    /// How long to wait, such as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", requires = "wait", default_value = "60s", value_parser = limit)]
    pub timeout: Duration,
    /// Print JSON (also -o json)
    #[arg(long)]
    pub json: bool,
}

/// Which services to restart.
#[derive(Debug, clap::Args)]
pub struct Restart {
    /// Which services, and whether to wait.
    #[command(flatten)]
    pub change: Change,
    /// Do not also restart the services that `restart-with` names
    #[arg(long)]
    pub only: bool,
}

/// Which logs, and which of their rows.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Names, aliases or patterns such as 'pipewire*'; without names, all services
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
    /// Show the logs of all services, which is also what happens without names
    #[arg(short, long, conflicts_with = "names")]
    pub all: bool,
    /// Keep running and show new rows
    #[arg(short, long, conflicts_with = "until")]
    pub follow: bool,
    /// Number of last rows, or all; default: 100 if no time is given
    #[arg(short = 'n', long, visible_alias = "tail", value_name = "N", value_parser = rows)]
    pub lines: Option<usize>,
    /// Only rows since then: a time such as 2026-01-31 or 2026-01-31T12:00:00Z, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<i64>,
    /// Only rows until then
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<i64>,
    /// Only rows with this text, in upper or lower case
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub grep: Option<String>,
    /// The pattern is a regular expression
    #[arg(short = 'E', long, requires = "grep")]
    pub regex: bool,
    /// Upper and lower case are different in the pattern
    #[arg(long, requires = "grep")]
    pub case: bool,
    /// Only rows that seem to be at least as bad as this
    #[arg(short, long, value_parser = ["error", "warn", "info", "debug"])]
    pub level: Option<String>,
    /// No colours, neither ours nor those of the services
    #[arg(long, visible_alias = "no-color")]
    pub no_colour: bool,
    /// Print JSON, one object per row; also -o json
    #[arg(long)]
    pub json: bool,
}

/// Which events to show.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Keep running and show new events
    #[arg(short, long)]
    pub follow: bool,
    /// Number of last events
    #[arg(short = 'n', long, visible_alias = "tail", default_value_t = 100, value_name = "N")]
    pub lines: usize,
    /// Print JSON (also -o json), one object per line
    #[arg(long)]
    pub json: bool,
}

/// How to show the boot timeline.
#[derive(Debug, clap::Args)]
pub struct Timeline {
    /// Print JSON (also -o json)
    #[arg(long)]
    pub json: bool,
    /// Print an SVG picture
    #[arg(long, conflicts_with = "json")]
    pub svg: bool,
}

/// How to show what the machine does.
#[derive(Debug, clap::Args)]
pub struct Top {
    /// Show it once, and end; so does an output that is no terminal
    #[arg(long)]
    pub once: bool,
    /// What the services are sorted by
    #[arg(long, value_enum, default_value_t = Sort::Cpu)]
    pub sort: Sort,
    /// Print JSON, once
    #[arg(long)]
    pub json: bool,
}

/// What services are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// Which variables to show.
#[derive(Debug, clap::Args)]
pub struct Env {
    /// Variables, by any of their names; without names, all variables
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Print JSON (also -o json)
    #[arg(long)]
    pub json: bool,
}

/// Shells with completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The fish shell.
    Fish,
}

/// A time, absolute or before now, in milliseconds since the Unix epoch.
fn since(text: &str) -> Result<i64, String> {
    since_at(text, jiff::Timestamp::now().as_millisecond())
}

fn since_at(text: &str, now: i64) -> Result<i64, String> {
    crate::config::time(text, now).ok_or_else(|| {
        "it is no time such as 2026-01-31 or 2026-01-31T12:00:00Z, nor how long ago, such as 10m".to_owned()
    })
}

/// A number of rows; `all` is more than there can be.
fn rows(text: &str) -> Result<usize, String> {
    if text == "all" {
        return Ok(usize::MAX);
    }
    text.parse().map_err(|_| "it is neither a number of rows nor 'all'".to_owned())
}

fn limit(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).ok_or_else(|| "it is not a time such as 500ms, 30s or 2m".to_owned())
}

impl Args {
    /// Parses a command line. A program that is called by one of the names in `NAMES` runs that command.
    pub fn read(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        let called = words.first().and_then(|word| std::path::Path::new(word).file_name()?.to_str());
        let called = called.map(|name| name.strip_suffix(".sh").unwrap_or(name));
        if let Some((_, command)) = NAMES.iter().find(|(name, _)| called == Some(name)) {
            words.splice(..1, ["desktopd"].iter().chain(*command).map(OsString::from));
        }
        habits::spell(&mut words);
        Self::try_parse_from(words).map_err(habits::told)
    }
}

#[cfg(test)]
mod tests;
