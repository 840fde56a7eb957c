//! Searches for inputs that break a parser.

pub mod config;
pub mod portal_config;
pub mod request;
pub mod search;
