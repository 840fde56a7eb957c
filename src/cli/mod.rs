//! The commands that people type. They talk to the daemon over its control socket and know nothing that the API does
//! not tell.

mod client;
mod render;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Config;

pub use client::Failure;

/// Exit codes that scripts can rely on.
pub mod code {
    /// The command did not do what was asked.
    pub const FAILED: i32 = 1;
    /// The daemon does not run, or does not answer.
    pub const NOT_RUNNING: i32 = 3;
    /// The command line is wrong.
    pub const USAGE: i32 = 64;
    /// The configuration is wrong.
    pub const CONFIG: i32 = 78;
}

/// A GPU desktop in one container.
#[derive(Debug, Parser)]
#[command(name = "desktopd", version, about, after_help = EXAMPLES, max_term_width = 110)]
pub struct Args {
    /// Folder with desktopd.toml and services/; `DESKTOPD_CONFIG` or /etc/desktopd when left out
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  docker run -d -p 1111:1111 -p 6100:6100 --shm-size=1g IMAGE init
  docker exec C desktopd status
  docker exec C desktopd logs -f kde
  docker exec C desktopd restart selkies";

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the desktop: the container's main process
    Init {
        /// Variables in addition to the environment, NAME=value
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME=value")]
        variables: Vec<OsString>,
    },
    /// Show all services and how they are
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start services, and what they need
    Start(Units),
    /// Stop services, after what needs them
    Stop(Units),
    /// Restart services, together with what needs them
    Restart(Units),
    /// Show what a service printed
    Logs {
        /// The service; the daemon itself when left out
        #[arg(default_value = crate::logs::OWN_LOG)]
        name: String,
        /// Go on showing what it prints
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines
        #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
        lines: usize,
        /// Print JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Show what would run here, and why
    Plan {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Variables in addition to the environment, NAME=value
        #[arg(value_name = "NAME=value")]
        variables: Vec<OsString>,
    },
    /// Tell by the exit code whether people can get in
    Health {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the user name, password and token for the web services
    Credentials {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The child side of a launch
    #[command(name = "__exec", hide = true)]
    Exec,
    /// The subreaper above a contained unit
    #[command(name = "__guard", hide = true)]
    Guard,
    /// The work of a boot step
    #[command(name = "__step", hide = true)]
    Step {
        /// The step and its arguments
        words: Vec<String>,
    },
}

/// Names of units.
#[derive(Debug, clap::Args)]
pub struct Units {
    /// Names or aliases
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// Reads a command line. A program called `init` is the command of that name.
    pub fn read(mut words: Vec<OsString>) -> Result<Self, clap::Error> {
        let called =
            words.first().and_then(|word| std::path::Path::new(word).file_name()).map(OsString::from);
        if called.is_some_and(|name| name == "init" || name == "init.sh") {
            words.splice(..1, ["desktopd".into(), "init".into()]);
        }
        Self::try_parse_from(words)
    }
}

/// Runs a command that asks the daemon.
pub async fn ask(command: &Command, config: &Config) -> Result<(), Failure> {
    let client = client::Client::new(config);
    match command {
        Command::Status { json } => {
            let snapshot = client.status().await?;
            render::print(*json, &snapshot, || render::status(&snapshot))
        }
        Command::Start(units) => client.verb("start", units).await,
        Command::Stop(units) => client.verb("stop", units).await,
        Command::Restart(units) => client.verb("restart", units).await,
        Command::Logs { name, follow, lines, json } => client.logs(name, *lines, *follow, *json).await,
        Command::Health { json } => {
            let health = render::Health::of(&client.status().await?);
            render::print(*json, &health, || health.reason.clone() + "\n")?;
            if health.healthy { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
        }
        Command::Credentials { json } => {
            let credentials = client.credentials().await?;
            render::print(*json, &credentials, || render::credentials(&credentials))
        }
        Command::Init { .. }
        | Command::Plan { .. }
        | Command::Exec
        | Command::Guard
        | Command::Step { .. } => Err(Failure::new(code::USAGE, "this command does not ask the daemon")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Args, clap::Error> {
        Args::read(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn init_is_a_command_and_a_name() {
        for words in [
            &["desktopd", "init", "A=b", "--x"][..],
            &["/usr/local/bin/init", "A=b", "--x"],
            &["init.sh", "A=b", "--x"],
        ] {
            match read(words).unwrap().command {
                Command::Init { variables } => assert_eq!(variables, ["A=b", "--x"]),
                other => panic!("{words:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        assert!(read(&["desktopd", "stop"]).is_err());
        assert!(read(&["desktopd", "logs", "kde", "-f", "-n", "5"]).is_ok());
    }
}
