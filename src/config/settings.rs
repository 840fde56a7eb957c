//! The settings of the whole daemon, from `desktopd.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::problem::Problem;
use super::table::Reader;

/// The daemon's own settings. Every one has a default: a missing or broken file does not stop a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Sockets and other files that last until the next boot.
    pub run_dir: PathBuf,
    /// Data that survives a restart of the container.
    pub state_dir: PathBuf,
    /// The units' log files.
    pub log_dir: PathBuf,
    /// The file with further ports and links of the portal, if it exists.
    pub portal_file: PathBuf,
    /// The system's file of variables, which users edit.
    pub environment_file: PathBuf,
    /// A log file is rotated when it would grow beyond this. Bytes.
    pub log_file_size: u64,
    /// Rotated files that are kept beside the current one.
    pub log_files: u32,
    /// How much of each unit's output is kept in memory. Bytes.
    pub log_ring: usize,
    /// Environment of every unit; templates.
    pub environment: BTreeMap<String, String>,
    /// Further environment of the units with `desktop = true`; templates.
    pub desktop_environment: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            run_dir: "/run/desktopd".into(),
            state_dir: "/var/lib/desktopd".into(),
            log_dir: "/var/log/desktopd".into(),
            portal_file: "/etc/portal.yaml".into(),
            environment_file: "/etc/environment".into(),
            log_file_size: 10 << 20,
            log_files: 2,
            log_ring: 128 << 10,
            environment: BTreeMap::new(),
            desktop_environment: BTreeMap::new(),
        }
    }
}

const MAP: &str = "a table of NAME = \"value\"";

impl Settings {
    /// Reads the file's text.
    pub fn parse(path: &std::path::Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut settings = Self::default();
        let mut file = Reader::new(path, text, problems);
        file.table("paths", |paths| {
            for (key, field) in [
                ("run", &mut settings.run_dir),
                ("state", &mut settings.state_dir),
                ("log", &mut settings.log_dir),
                ("portal", &mut settings.portal_file),
                ("environment", &mut settings.environment_file),
            ] {
                let absolute = |text: &str| Some(PathBuf::from(text)).filter(|p| p.is_absolute());
                if let Some(path) = paths.parse(key, "an absolute path", absolute) {
                    *field = path;
                }
            }
        });
        file.table("logs", |logs| {
            let expected = "a size such as \"64KiB\" or \"10MiB\"";
            if let Some(size) = logs.parse("file-size", expected, super::quantity::size) {
                settings.log_file_size = size;
            }
            if let Some(files) = logs.get("files", "a number of files") {
                settings.log_files = files;
            }
            if let Some(size) = logs.parse("memory", expected, super::quantity::size) {
                settings.log_ring = usize::try_from(size).unwrap_or(usize::MAX);
            }
        });
        if let Some(environment) = file.get("environment", MAP) {
            settings.environment = environment;
        }
        if let Some(environment) = file.get("desktop-environment", MAP) {
            settings.desktop_environment = environment;
        }
        file.finish();
        settings
    }
}
