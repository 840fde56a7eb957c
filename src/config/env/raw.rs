//! Variables as texts, before they are parsed.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// All variables that are set, by name.
pub type Raw = BTreeMap<OsString, OsString>;
