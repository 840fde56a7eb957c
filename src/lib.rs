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
//! - [`sys`]: the duties of PID 1: fork, wait, signals, and the child side of a launch.
//! - [`state`]: data that survives a restart of the container (keys, generated passwords).
//! - [`logs`]: every line that a unit prints: ring, rotated file, container output; secrets masked.
//! - [`config`]: environment and TOML to typed values; one pass reports all mistakes.
//! - [`facts`]: what this machine has. Never fails: an absence is a value with a reason.
//! - [`plan`]: config and facts to the units that will run. Pure.
//! - [`steps`]: the work of boot steps, each in a child process.
//! - [`supervise`]: units to processes; a pure core decides, a driver acts.
//! - [`observe`]: the snapshot that pages, commands and the gateway read, and the events.
//! - [`gateway`]: listeners, authentication, reverse proxy, waiting pages.
//! - [`portal`]: pages and the API, served by the gateway and on the control socket.
//! - [`cli`]: the commands that people type.
//! - [`app`]: the composition root.
//!
//! Invariants, checked by `tests/it/house.rs`: imports point left only in the order above, and no files use each
//! other in
//! a circle; `plan` and the core of `supervise` use no clock, file, environment or process; the only fork and the
//! only wait
//! are in `sys::reaper`; the environment is read only in `config::env`; only `main` ends the process; the words are
//! plain.
//!
//! # Three walks through the code
//!
//! An environment variable becomes a part of a command line:
//!
//! 1. `config/env/table.rs` has a row for each variable: its name, type, default and description.
//! 2. `config/env/layers.rs` merges the variables of the container, the provider and the files into one set, with
//!    the origin of each.
//! 3. `plan/values.rs` names the typed values (`${width}`), and `plan/expander.rs` puts them into the texts of a
//!    service file.
//! 4. `plan/compose.rs` makes the planned unit: arguments, user, limits, files; `compose/environment.rs` its
//!    environment.
//! 5. `supervise/process.rs` starts the unit: `sys/reaper.rs` forks `desktopd __exec`, and `sys/launch.rs` becomes
//!    the program.
//!
//! A request passes from a client to a service and back:
//!
//! 1. `gateway/listen.rs` accepts, `gateway/limits.rs` limits connections, `gateway/workers.rs` gives them to
//!    threads, `gateway/carry.rs` does TLS.
//! 2. `gateway/connection.rs` serves HTTP/1 and HTTP/2; `gateway/validator.rs` validates heads,
//!    `gateway/timeouts.rs` has the time limits.
//! 3. `gateway/handler.rs` decides: `decide` is the order of all checks, `auth/admit.rs` says who asks, `admitted`
//!    chooses page or service.
//! 4. `gateway/proxy.rs` changes headers (`headers.rs`, `rewrite.rs`) and sends the request on a connection of
//!    `pool.rs`.
//! 5. The answer comes back through `gateway/body.rs`, is compressed by `compress.rs`, and counted by `metrics.rs`.
//!
//! The end of a service's process reaches the portal:
//!
//! 1. `sys/reaper.rs` gets SIGCHLD and waits; `supervise/process.rs` learns how its process ended.
//! 2. `supervise/driver.rs` passes the end to `supervise/lifecycle.rs`, which is pure and decides: restart after a
//!    delay (`backoff.rs`), or failed.
//! 3. The driver carries the effects out and publishes the states of all units; `supervise/changes.rs` names what
//!    changed.
//! 4. `observe/events.rs` records the changes, `observe/mod.rs` makes the snapshot, `observe/sight.rs` says how a
//!    route looks to people.
//! 5. `portal/api/events.rs` streams both, `portal/assets/portal.js` draws them; `cli/status.rs` prints the same
//!    snapshot.
//!
//! # Glossary
//!
//! - **service**: what people see: a file in `config/services`, a row of `desktopd status`. **unit**: the planned
//!   and supervised form of a service or step.
//! - **step**: a unit that does its work once at boot and ends, as `desktopd __step NAME`.
//! - **guard**: the process above a contained unit: a subreaper, so that all processes of the unit can be found and
//!   ended.
//! - **boot**: the time from the start of PID 1 until every unit has settled for the first time.
//! - **candidate**: a display that the plan could choose, with the reason for or against it.
//! - **job**: a process that a person detached from the desktop; a restart of the desktop leaves it alone.
//! - **session**: a login in one browser, shown by a cookie. **session guard**: what a stream holds to end with its
//!   session. **desktop session**: the programs of the user's desktop.
//! - **route**: a port of the gateway with the service behind it. **upstream**: where that service listens.
//! - **upgrade**: a connection that became a WebSocket. **tunnel**: a connection of cloudflared, and nothing else.
//! - **provider**: the cloud that rents the machine. **hooks**: scripts of people, run at boot.
//! - **snapshot**: the state of everything at one moment. **event**: a change of it, with a time.

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
