//! The documents and the tables of the program agree.

pub mod compose;
pub mod dockerfiles;
pub mod documents;
pub mod kubernetes;
pub mod programs;
pub mod variables;
