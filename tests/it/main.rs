//! Tests.

mod documents;
mod gateway_auth;
mod gateway_listen;
mod gateway_portal;
mod gateway_proxy;
mod gateway_vnc;
mod gateway_waiting;
mod gateway_world;
mod house;
