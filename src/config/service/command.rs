//! Converts the command of `desktopd run` to a service.

use std::path::PathBuf;

use super::{Restart, RestartPolicy, Run, Service};
use crate::config::own::RUN;

impl Service {
    /// The service that runs `argv`, without templates, in `folder` or else in the user's home.
    pub fn of_command(argv: Vec<String>, folder: Option<PathBuf>) -> Self {
        Self {
            name: RUN.to_owned(),
            file: RUN.into(),
            description: "the command given to desktopd run".to_owned(),
            run: Run::Literal(argv),
            desktop: true,
            virtualgl: true,
            main: true,
            restart: RestartPolicy { when: Restart::Never, ..RestartPolicy::default() },
            // The directory is a template, so each `$` of the folder's name is escaped.
            directory: folder.map(|folder| folder.display().to_string().replace('$', "$$")),
            ..Self::default()
        }
    }

    /// A service without a command, as which programs run that users start in the desktop from outside.
    pub fn of_session() -> Self {
        let run = Run::Literal(Vec::new());
        Self {
            name: RUN.to_owned(),
            file: RUN.into(),
            run,
            desktop: true,
            virtualgl: true,
            ..Self::default()
        }
    }

    /// Whether it runs the command of `desktopd run`. No file can have that name.
    pub fn is_command(&self) -> bool {
        self.name == RUN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::service::RunAs;

    #[test]
    fn a_command_is_the_main_service_of_the_desktops_user() {
        let argv = vec!["echo".to_owned(), "${HOME} $$".to_owned()];
        let service = Service::of_command(argv.clone(), Some("/a$b".into()));
        assert_eq!(service.run, Run::Literal(argv));
        assert_eq!(service.directory.as_deref(), Some("/a$$b"));
        assert_eq!((service.user, service.restart.when), (RunAs::Desktop, Restart::Never));
        assert!(
            service.virtualgl && service.desktop && service.main && service.autostart && service.is_command()
        );
    }
}
