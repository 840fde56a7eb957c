//! `desktopd`: a desktop in one container, in one process.
//!
//! Data flows one way, and `ls src` reads in the same order:
//!
//! ```text
//! environment + TOML   the machine     pure          processes       what is true     people
//!       config    ->     facts    ->   plan   ->    supervise   ->    observe   ->  gateway, portal, cli
//!                                                       ^                                  |
//!                                                       +------------ commands ------------+
//! sys (PID 1 duties, the one fork and the one wait, signals), state and logs lie under all; app wires all.
//! ```
//!
//! - [`sys`]: what only an init may do: spawn, reap, signals, and the child side of a launch.
//! - [`state`]: what survives a restart of the container (keys, generated passwords).
//! - [`logs`]: every line that a unit prints: ring, rotated file, container output; secrets masked.
//! - [`config`]: environment and TOML to typed values; every mistake found in one pass.
//! - [`facts`]: what this machine has. Never fails: an absence is a value with a reason.
//! - [`plan`]: config and facts to the units that will run. Pure.
//! - [`steps`]: the work of boot steps, run as units in children of their own.
//! - [`supervise`]: units to processes; a pure core decides, a driver acts.
//! - [`observe`]: the snapshot that everybody reads.
//! - [`gateway`]: the front door: listeners, authentication, reverse proxy, waiting pages.
//! - [`portal`]: pages and the API, served by the gateway and over the control socket.
//! - [`cli`]: the commands that people type.
//! - [`app`]: the composition root.
//!
//! Invariants, held by tests: imports point left only in the order above; `plan` and the core of `supervise` know
//! no clock, file, environment or process; the only fork and the only wait are in `sys::reaper`; the environment is
//! read only in `config::env`; only `main` ends the process.

pub mod sys;

pub mod state;

pub mod logs;

pub mod config;

pub mod facts;

pub mod plan;

pub mod steps;

pub mod supervise;

pub mod observe;

pub mod gateway;

pub mod portal;

pub mod cli;

pub mod app;
