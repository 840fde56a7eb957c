//! One request: who asks, what may answer it, and the answers that are our own.

pub(super) mod access_log;
pub(super) mod base;
pub mod browser_address;
pub(crate) mod builtin;
pub(super) mod context;
mod cors;
mod errors;
pub(super) mod files;
pub mod forwarded;
pub(super) mod handler;
mod https;
mod login;
pub(super) mod origin;
mod own;
pub(crate) mod page;
pub mod uri;
pub(crate) mod visitor;
mod waiting;
mod webrtc;
