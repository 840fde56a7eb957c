//! The environment of a unit: what it inherits, what its file and the settings add, and its user.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::config::env::{OF_SHELL, OF_UNIT, is_one_of, is_own_secret, looks_secret};
use crate::config::service::{Ready, RunAs, Service};
use crate::plan::expander::Expander;
use crate::plan::{adjust, env_overrides, machine_variables, shells};

use super::Composer;

impl Composer<'_> {
    pub(super) fn environment(
        &self,
        service: &Service,
        expander: &mut Expander<'_>,
    ) -> BTreeMap<OsString, OsString> {
        // What describes the daemon's own surroundings would mislead a unit. A unit has no terminal, and processes that
        // it starts in a terminal are recognized by TERM: see `sys::jobs`.
        let inherited = |(name, _): &(&OsString, &OsString)| {
            !name.to_str().is_some_and(is_own_secret) && !is_one_of(name, &[&OF_SHELL, &OF_UNIT])
        };
        let raw = env_overrides::environment(self.inputs.config, service, &self.early);
        let path = raw.get(OsStr::new("PATH"));
        let raw = raw.iter().filter(inherited);
        let mut env: BTreeMap<OsString, OsString> = raw.map(|(n, v)| (n.clone(), v.clone())).collect();
        let is_set = |name: &str| env.contains_key(OsStr::new(name));
        let follows = machine_variables::of(self.inputs.config, self.inputs.facts, is_set);
        env.extend(follows.into_iter().map(|(name, value)| (name.into(), value.into())));
        env.extend(self.who(service));
        let settings = &self.inputs.config.settings;
        let desktop = service.desktop.then_some(&settings.desktop_environment).into_iter().flatten();
        for (name, text) in settings.environment.iter().chain(desktop).chain(&service.environment) {
            let value = expander.text(&format!("environment.{name}"), text);
            // A value made of nothing but unset variables means "unset", not "empty".
            if value.is_empty() && text.contains("${") {
                env.remove(&OsString::from(name));
            } else if name == "PATH" && !service.environment.contains_key(name) {
                env.insert(name.into(), shells::programs(path, &value).into());
            } else {
                env.insert(name.into(), value.into());
            }
        }
        for name in &service.secrets {
            if !is_own_secret(name) {
                let hint = crate::config::env::nearest_variable(name)
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                expander.problem("secrets", format!("\"{name}\" is not a secret variable of desktopd{hint}"));
            }
            if let Some(value) = self.inputs.config.env.raw.get(&OsString::from(name)) {
                env.insert(name.into(), value.clone());
            }
        }
        self.stand_in(&mut env);
        if service.ready == Ready::Notify {
            let socket = self.inputs.config.places.run.join("notify").join(&service.name);
            env.insert("NOTIFY_SOCKET".into(), socket.into());
        }
        env
    }

    /// Gives a process its user's entry if the system's lists lack it.
    fn stand_in(&self, env: &mut BTreeMap<OsString, OsString>) {
        let stand_in = self.inputs.facts.account.as_ref().ok().and_then(|account| account.stand_in.as_ref());
        let Some(library) = stand_in.and_then(|stand_in| stand_in.library.as_ref()) else { return };
        let (passwd, group) = adjust::lists(self.inputs.config);
        env.insert("NSS_WRAPPER_PASSWD".into(), passwd.into());
        env.insert("NSS_WRAPPER_GROUP".into(), group.into());
        let preload = env.entry("LD_PRELOAD".into()).or_default();
        if !preload.is_empty() {
            preload.push(":");
        }
        preload.push(library);
    }

    fn who(&self, service: &Service) -> Vec<(OsString, OsString)> {
        let desktop = self.inputs.facts.account.as_ref().ok().filter(|account| {
            service.user == RunAs::Desktop || account.identity.uid == self.inputs.facts.daemon.uid
        });
        let (name, home, shell) = match desktop {
            Some(account) => (account.name.as_str(), account.home.as_os_str(), account.shell.as_os_str()),
            None => ("root", "/root".as_ref(), "/bin/bash".as_ref()),
        };
        vec![
            ("USER".into(), name.into()),
            ("LOGNAME".into(), name.into()),
            ("HOME".into(), home.into()),
            ("SHELL".into(), shell.into()),
        ]
    }
}

/// An environment with its secrets masked.
pub(in crate::plan) fn masked(env: &BTreeMap<OsString, OsString>) -> BTreeMap<String, String> {
    let show = |(name, value): (&OsString, &OsString)| {
        let name = name.to_string_lossy().into_owned();
        let value = if looks_secret(&name) { "******".into() } else { value.to_string_lossy().into_owned() };
        (name, value)
    };
    env.iter().map(show).collect()
}
