//! The commands for users. They talk to the daemon over its control socket and use only the information of the API.

mod args;
mod change;
mod client;
pub mod code;
mod completions;
mod doctor;
mod events;
mod layout;
mod logs;
mod names;
mod output;
mod password;
mod planned;
mod probe;
mod render;
mod run;
mod screen;
mod screenshot;
mod status;
mod store;
mod system;
mod table;
mod top;
mod url;
mod variables;
mod wait;

use crate::config::Config;

pub use args::{Args, Command, as_root};
pub use client::Failure;
pub use doctor::{Found, doctor};
pub use planned::planned;
pub use probe::show as show_probe;
pub use run::{become_command, is_beside, session};
pub use url::to_open;

use crate::supervise::{Replanned, Verb};
use crate::sys::{print, version};
use client::Client;
use screen::Screen;

/// Whether a daemon answers here.
pub fn runs(config: &Config) -> bool {
    std::os::unix::net::UnixStream::connect(config.places.control_socket()).is_ok()
}

/// Runs a command that asks the daemon.
pub async fn ask(command: &Command, config: &Config) -> Result<(), Failure> {
    let client = Client::new(config);
    let screen = Screen::of(&config.env);
    match command {
        Command::Status(args) => status::status(&client, args, screen).await,
        Command::Ps(args) => status::ps(&client, args, screen).await,
        Command::Url(args) => url::url(&client, args, screen).await,
        Command::Screenshot(args) => screenshot::screenshot(&client, args, screen).await,
        Command::Start(args) => change::change(&client, Verb::Start, args, false).await,
        Command::Stop(args) => change::change(&client, Verb::Stop, args, false).await,
        Command::Restart(args) => change::change(&client, Verb::Restart, &args.change, args.only).await,
        Command::Logs(args) => logs::logs(&client, args, screen).await,
        Command::Events(args) => events::events(&client, args, screen).await,
        Command::Timeline(args) => events::timeline(&client, args, screen).await,
        Command::Top(args) => top::top(&client, args, config).await,
        Command::Env(args) => variables::show(config, &client, args, screen).await,
        Command::EnvStore { variables } => store::store(config, variables),
        Command::Version { json } => {
            let build = version::build();
            render::print(*json, &build, || format!("desktopd {build}\n"))
        }
        Command::Completions { shell } => completions::print(*shell),
        Command::System { words } => system::run(&client, config, words, screen).await,
        Command::Shutdown => {
            client.shutdown().await?;
            Ok(print::out("stopping everything\n")?)
        }
        Command::Reload { json } => {
            let changes: Replanned = client.post("/api/reload", &()).await?;
            render::print(*json, &changes, || changes.to_string() + "\n")
        }
        Command::Health { json } => {
            let health = status::Health::of(&client.status().await?);
            render::print(*json, &health, || health.reason.clone() + "\n")?;
            if health.healthy { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
        }
        Command::Credentials { json } => {
            let credentials = client.get("/api/credentials").await?;
            render::print(*json, &credentials, || render::credentials(&credentials))
        }
        Command::SetWebCredentials { user, password } => {
            password::set(&client, user, password.as_deref()).await
        }
        Command::HashPassword { password, cost } => password::hash(password.as_deref(), *cost).await,
        Command::Init { .. }
        | Command::Run { .. }
        | Command::Plan { .. }
        | Command::Probe { .. }
        | Command::Doctor { .. } => {
            Err(Failure::new(code::USAGE, "this command does not only ask the daemon"))
        }
    }
}
