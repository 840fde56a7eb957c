//! The account as the plan decided it.

use std::path::{Path, PathBuf};

use crate::steps::arguments::number;

/// The account as it should be.
#[derive(Clone)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
    pub(super) shell: &'a str,
    /// Groups by name or number; missing groups are skipped.
    pub(super) groups: Vec<&'a str>,
    /// Groups that own devices, each with a name to use if the group has no name.
    pub(super) devices: Vec<(u32, &'a str)>,
    pub(super) workspace: &'a Path,
}

impl<'a> Wanted<'a> {
    pub(super) fn read(
        [name, uid, gid, home, shell, groups, devices, workspace]: [&'a str; 8],
    ) -> Result<Self, String> {
        let device = |text: &'a str| {
            let (id, name) = text.split_once('=').ok_or_else(|| format!("'{text}' is not ID=NAME"))?;
            Ok((number(id)?, name))
        };
        let list = |text: &'a str| text.split(',').filter(|word| !word.is_empty());
        Ok(Self {
            name,
            uid: number(uid)?,
            gid: number(gid)?,
            home: home.into(),
            shell,
            groups: list(groups).collect(),
            devices: list(devices).map(device).collect::<Result<_, String>>()?,
            workspace: workspace.as_ref(),
        })
    }
}
