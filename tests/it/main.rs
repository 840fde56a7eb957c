//! All tests without containers: the daemon as a real process, the gateway on real sockets, and the rules of the
//! sources.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod daemon_addresses;
mod daemon_cli;
mod daemon_credentials;
mod daemon_env;
mod daemon_events;
mod daemon_exits;
mod daemon_faults;
mod daemon_files;
mod daemon_flood;
mod daemon_health;
mod daemon_init;
mod daemon_jobs;
mod daemon_lack;
mod daemon_life;
mod daemon_limits;
mod daemon_output;
mod daemon_providers;
mod daemon_reads;
mod daemon_reload;
mod daemon_requests;
mod daemon_run;
mod daemon_sight;
mod daemon_stop;
mod daemon_storm;
mod daemon_tls;
mod daemon_world;
mod documents;
mod env_file;
mod fuzz;
mod fuzz_config;
mod fuzz_door;
mod fuzz_portal;
mod gateway_answers;
mod gateway_auth;
mod gateway_credentials;
mod gateway_cross;
mod gateway_desk;
mod gateway_errors;
mod gateway_flood;
mod gateway_forged;
mod gateway_guesses;
mod gateway_http2;
mod gateway_https;
mod gateway_listen;
mod gateway_load;
mod gateway_markup;
mod gateway_pass;
mod gateway_pass_pages;
mod gateway_portal;
mod gateway_prefix;
mod gateway_proxy;
mod gateway_smuggling;
mod gateway_streams;
mod gateway_tls;
mod gateway_tossed;
mod gateway_upstream;
mod gateway_visitor;
mod gateway_vnc;
mod gateway_waiting;
mod gateway_world;
mod house;
mod login_pages;
mod variables;

// The browser that the containers' tests drive.
#[path = "../container/browser.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod browser;
#[path = "../container/cleanup.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod cleanup;
#[path = "../container/driver.rs"]
mod driver;
#[path = "../container/input.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod input;
#[path = "../container/net.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod net;
#[path = "../container/picture.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod picture;
#[path = "../container/poll.rs"]
#[allow(dead_code, reason = "the containers' tests use all of it")]
mod poll;
