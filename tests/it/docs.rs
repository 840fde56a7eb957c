//! The documents and the tables of the program agree.

pub mod documents;
pub mod programs;
pub mod variables;
