//! All tests without containers: the daemon as a real process, the gateway on real sockets, and the rules of the
//! sources.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod daemon;
mod docs;
mod fuzz;
mod gateway;
mod house;
mod machines;
mod publish;

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
