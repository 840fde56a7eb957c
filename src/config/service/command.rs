//! Converts the command of `desktopd run` to a service.

use std::path::{Path, PathBuf};

use super::{Run, Service};
use crate::config::own::RUN;

/// All other keys have their defaults.
const TEXT: &str =
    "description = \"the command given to desktopd run\"\ncommand = [\"\"]\ndesktop = true\nmain = true\n";

impl Service {
    /// The service that runs `argv`, without templates, in `folder` or else in the user's home.
    pub fn of_command(argv: Vec<String>, folder: Option<PathBuf>) -> Option<Self> {
        let service = Self::read(RUN, Path::new("run"), TEXT, &mut Vec::new())?;
        // The directory is a template, so each `$` of the folder's name is escaped.
        let directory = folder.map(|folder| folder.display().to_string().replace('$', "$$"));
        Some(Self { run: Run::Literal(argv), directory, ..service })
    }

    /// Whether it runs the command of `desktopd run`. No file can have that name.
    pub fn is_command(&self) -> bool {
        self.name == RUN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::{Restart, RunAs};

    #[test]
    fn a_command_is_the_main_service_of_the_desktops_user() {
        let argv = vec!["echo".to_owned(), "${HOME} $$".to_owned()];
        let service = Service::of_command(argv.clone(), Some("/a$b".into())).unwrap();
        assert_eq!(service.run, Run::Literal(argv));
        assert_eq!(service.directory.as_deref(), Some("/a$$b"));
        assert_eq!((service.user, service.restart), (RunAs::Desktop, Restart::Never));
        assert!(service.desktop && service.main && service.autostart && service.is_command());
    }
}
