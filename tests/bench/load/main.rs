//! The load generator of `tests/bench/gateway`: WebSocket messages and a server that answers them, requests at a
//! constant rate, downloads that cost the reader nothing, wrong passwords, and requests to the control socket.
//!
//! Invariants: an unexpected result (another status, a closed connection) is an error and ends with code 1, so that no
//! figure hides a failure; one thread for each measurement, because processor time of the load is missing for the
//! measured program.

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
    /// The service: /echo, /source (messages of 64 KiB as fast as they go), /frames (60 a second).
    Server { address: SocketAddr },
    /// Messages of 1 KiB there and back.
    Pingpong(Many),
    /// Receives over a WebSocket, and discards the data.
    Bulk(Many),
    /// Downloads a file again and again, and discards the data.
    Download(Many),
    /// The delay of a stream's pictures.
    Frames(Many),
    /// Requests at a constant rate, whether or not the earlier requests were answered, each timed from when it was due.
    Rate {
        #[command(flatten)]
        many: Many,
        /// Requests per second, over all connections.
        #[arg(long)]
        rate: f64,
    },
    /// Wrong passwords.
    Flood {
        #[command(flatten)]
        many: Many,
        /// The source address.
        #[arg(long, default_value = "127.0.0.2")]
        from: Ipv4Addr,
    },
    /// Requests to a control socket, one after the other.
    Control {
        socket: PathBuf,
        #[arg(long, default_value = "/api/status")]
        path: String,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
}

/// Connections to one address for some time.
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

    /// The head of a request, with these additional lines.
    fn head(&self, more: &str) -> String {
        let mut head = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.address);
        for line in &self.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head + more + "\r\n"
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
