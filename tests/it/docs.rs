//! The documents and the tables of the program agree.

pub mod dockerfiles;
pub mod documents;
pub mod variables;
