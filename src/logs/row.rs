//! A row of the logs as clients get it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Level;

/// A row of a log, or of several logs in one order.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "LogRow"))]
pub struct Row {
    /// The row's number. The numbers are the order of the rows of all logs.
    pub seq: u64,
    /// When the row was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The service that printed it.
    pub service: Arc<str>,
    /// The text: valid UTF-8 without control characters other than tabs and the sequences of colours (SGR).
    pub text: Arc<str>,
    /// The level that the text seems to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The number under which this row was shown first: this state takes the place of the earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// Whether the row has not ended: another state may follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The filter does not accept the row's new state: the row shown before is to be removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Here this many rows of the service are missing, whatever the filter says about them; the text says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Here a new daemon begins: the rows before are not in its memory. The text says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarted: bool,
    /// The places of the hits of a search, each as its begin and end in the text without colours, in units of UTF-16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<[u32; 2]>,
}

impl Row {
    /// A row with nothing but its text.
    pub(super) fn new(seq: u64, at: i64, service: Arc<str>, text: Arc<str>) -> Self {
        Self {
            seq,
            at,
            service,
            text,
            level: None,
            replaces: None,
            open: false,
            gone: false,
            lost: None,
            restarted: false,
            hits: Vec::new(),
        }
    }

    /// The number under which the row was shown first.
    pub fn id(&self) -> u64 {
        self.replaces.unwrap_or(self.seq)
    }

    /// The row as a line of text without its newline. `name` is the service as it is to be shown, if it is.
    pub fn line(&self, name: Option<&str>, text: &str) -> String {
        let time = jiff::Timestamp::from_millisecond(self.at).unwrap_or_default();
        match name {
            Some(name) => format!("{time:.3} {name} | {text}"),
            None => format!("{time:.3} {text}"),
        }
    }
}

/// The width of the column of names; `None` if a single service needs no such column.
pub fn width<'a>(names: impl Iterator<Item = &'a str>) -> Option<usize> {
    let (longest, count) = names.fold((0, 0), |(longest, count), name| (name.len().max(longest), count + 1));
    (count != 1).then_some(longest)
}
