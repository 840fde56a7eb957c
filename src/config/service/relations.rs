//! The relations of a service to other services.

use serde::Serialize;

use crate::config::table::Reader;

/// The names of the other services: in a service file any of their names, in the plan the names of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Relations {
    /// Services that must be ready, or listening, before this one starts, and that stop after it.
    pub needs: Vec<String>,
    /// Services that start before this one, whether they become ready or fail.
    pub after: Vec<String>,
    /// Services whose restart also restarts this one.
    pub follows: Vec<String>,
    /// Contained services: the processes that they started beside their main process are ended when this one ends.
    pub clears: Vec<String>,
    /// The service that is restarted with this one when a user requests its restart.
    pub restart_with: Option<String>,
}

impl Relations {
    pub(super) fn read(file: &mut Reader<'_>) -> Self {
        Self {
            needs: file.texts("needs"),
            after: file.texts("after"),
            follows: file.texts("follows"),
            clears: file.texts("clears"),
            restart_with: file.get("restart-with", "the name of a service, as a text"),
        }
    }

    /// The lists, with their keys.
    pub fn lists(&self) -> [(&'static str, &[String]); 4] {
        [("needs", &self.needs), ("after", &self.after), ("follows", &self.follows), ("clears", &self.clears)]
    }

    /// The names of the services that start before this one.
    pub fn before(&self) -> impl Iterator<Item = &String> {
        self.needs.iter().chain(&self.after).chain(&self.follows)
    }

    /// Keeps the names for which `keep` returns true; it gets the key and the name, which it may change.
    pub fn retain(&mut self, mut keep: impl FnMut(&'static str, &mut String) -> bool) {
        for (key, list) in [
            ("needs", &mut self.needs),
            ("after", &mut self.after),
            ("follows", &mut self.follows),
            ("clears", &mut self.clears),
        ] {
            list.retain_mut(|name| keep(key, name));
        }
        self.restart_with.take_if(|name| !keep("restart-with", name));
    }
}
