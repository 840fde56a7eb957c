//! The side of the clients: opens ports, gives connections to threads, and serves HTTP/1 and HTTP/2 within limits.

pub(super) mod carry;
pub(crate) mod connection;
mod frames;
pub(crate) mod listen;
pub(super) mod observed;
pub(crate) mod timeouts;
pub(super) mod validator;
pub(super) mod workers;
