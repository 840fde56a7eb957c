//! plan.

pub mod routes;
