//! The load of `tests/bench/gateway`: WebSockets with what answers them, requests at a constant rate, downloads that
//! cost the reader nothing, wrong passwords, and questions to the control socket.
//!
//! Invariants: whatever does not go as it should (another status, a closed connection) is an error and ends with code
//! 1, so that no figure stands for something else; one thread each, as whoever measures takes time from the measured.

mod control;
mod flood;
mod frame;
mod frames;
mod net;
mod rate;
mod relay;
mod server;
mod stats;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Answers WebSockets: /echo, /source (messages of 64 KiB as fast as they go), /frames (60 a second).
    Server { address: SocketAddr },
    /// Messages of 1 KiB there and back.
    Pingpong(Many),
    /// What comes over WebSockets, thrown away.
    Bulk(Many),
    /// A file again and again, thrown away.
    Download(Many),
    /// The delay of a stream's pictures.
    Frames(Many),
    /// Requests at a constant rate, whether or not the earlier ones were answered, timed from when each was due.
    Rate {
        #[command(flatten)]
        many: Many,
        /// Requests a second, over all connections.
        #[arg(long)]
        rate: f64,
    },
    /// Wrong passwords.
    Flood {
        #[command(flatten)]
        many: Many,
        /// The address that they come from.
        #[arg(long, default_value = "127.0.0.2")]
        from: Ipv4Addr,
    },
    /// Questions to a control socket, one after the other.
    Control {
        socket: PathBuf,
        #[arg(long, default_value = "/api/status")]
        path: String,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
}

/// Connections to one place for some time.
#[derive(Args, Clone)]
struct Many {
    address: SocketAddr,
    path: String,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// `Name: value`.
    #[arg(long = "header")]
    headers: Vec<String>,
}

impl Many {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The head of a request, with these lines besides.
    fn head(&self, more: &str) -> String {
        let headers: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n{headers}{more}\r\n", self.path, self.address)
    }
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| match arguments.what {
        What::Server { address } => runtime.block_on(server::run(address)),
        What::Pingpong(many) => runtime.block_on(relay::pingpong(many)),
        What::Bulk(many) => runtime.block_on(relay::bulk(many)),
        What::Download(many) => runtime.block_on(relay::download(many)),
        What::Frames(many) => runtime.block_on(frames::run(many)),
        What::Rate { many, rate } => rate::run(&many, rate),
        What::Flood { many, from } => runtime.block_on(flood::run(many, from)),
        What::Control { socket, path, seconds } => {
            control::run(&socket, &path, Duration::from_secs_f64(seconds))
        }
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
