//! Combines the configuration with the files in which users and hooks leave variables.

use super::{Config, Environment, Service, env};

impl Config {
    /// This configuration with these files read again. They may be on a volume that does not answer for seconds.
    #[must_use]
    pub fn with_files(self) -> Self {
        let env = self.env.reread(&self.env_files(), &self.settings.environment);
        self.with(env)
    }

    /// This configuration with the users' edits of the gateway's variables in the system's file. Call this before
    /// the gateway is opened.
    #[must_use]
    pub fn with_door(self) -> Self {
        let env = self.env.opened(&self.env_files());
        self.with(env)
    }

    /// This configuration with another environment and its problems.
    fn with(mut self, env: Environment) -> Self {
        let (before, problems) = (self.env.problems(), env.problems());
        // Nothing else that is read from files depends on the environment.
        if env.vars.portal_config != self.env.vars.portal_config {
            let command = self.services.into_iter().find(Service::is_command);
            let mut config = Self::read(self.dir, env, problems);
            config.services.extend(command);
            return config;
        }
        self.problems.retain(|problem| !before.contains(problem));
        self.problems.splice(..0, problems);
        Self { env, ..self }
    }

    /// The files in which users and hooks leave variables.
    pub fn env_files(&self) -> env::Files {
        env::Files {
            system: self.settings.environment_file.clone(),
            written: self.places.state.join("environment-written"),
            found: self.places.state.join("environment-found"),
            hooks: self.places.run.join("hook-environment"),
        }
    }
}
