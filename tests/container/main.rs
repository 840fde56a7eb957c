//! Container tests: a real image, started by a real Docker, viewed with a real Chromium.
//!
//! Every test starts its own containers and browsers, so tests can run side by side, in one process or in several. They
//! need Docker, Chromium, chromedriver and an image named by `DESKTOPD_TEST_IMAGE`, and report it where one of these is
//! missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that does not get what it needs is a test that fails, and says why"
)]

mod accounts;
mod apps;
mod browser;
mod cleanup;
mod clipboard;
mod commands;
mod compose;
mod contract;
mod desktop;
mod display;
mod docker;
mod driver;
mod fetch;
mod figures;
mod harness;
mod hooks;
mod image;
mod input;
mod jobs;
mod journey;
mod keycodes;
mod kubernetes;
mod logout;
mod logs;
mod menu;
mod mistakes;
mod narrow;
mod net;
mod picture;
mod places;
mod podman;
mod poll;
mod provisioning;
mod recipe;
mod remote;
mod restart;
mod scenario;
mod screen;
mod screenshot;
mod secure;
mod server;
mod session;
mod shells;
mod sight;
mod sound;
mod ssh;
mod stack;
mod system;
mod upload;
mod variants;
mod viewer;
mod vnc;
mod wire;
mod workspace;
