//! The values of `${…}`.

use crate::config::env::TABLE;
use crate::config::{Config, Problem};
use crate::facts::Facts;

use super::display::{Decision, Kind, frame_rate, room};
use super::ready_fd;
use super::template::Values;

/// The values that exist only if the desktop's user exists.
pub const OF_THE_ACCOUNT: [&str; 7] = ["user", "uid", "gid", "home", "shell", "xauthority", "runtime-dir"];

/// The values that are the same for all units. Secrets are not among them: a template may end on a command line.
pub fn shared(config: &Config, facts: &Facts, display: &Decision) -> Values {
    let vars = &config.env.vars;
    let number = display.number.to_string();
    let mut values = Values::from(
        [
            ("config-dir", config.dir.display().to_string()),
            ("run-dir", config.places.run.display().to_string()),
            ("state-dir", config.places.state.display().to_string()),
            ("workspace", vars.workspace.folder().display().to_string()),
            ("log-dir", config.places.log.display().to_string()),
            ("display", format!(":{number}")),
            ("display-number", number),
            ("width", vars.display_sizew.to_string()),
            ("height", vars.display_sizeh.to_string()),
            ("room", room(vars).to_string()),
            ("refresh", vars.display_refresh.to_string()),
            ("dpi", vars.display_dpi.to_string()),
            ("depth", vars.display_cdepth.to_string()),
            ("display-kind", display.chosen.map(Kind::word).unwrap_or_default().to_owned()),
            ("vgl-device", display.virtualgl().unwrap_or_default().to_owned()),
            ("vgl-fps", display.virtualgl().map(|_| frame_rate(config)).unwrap_or_default()),
            ("ready-fd", ready_fd(0).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let compose = match display.virtualgl() {
        // VirtualGL's EGL back end has no glXBindTexImageEXT: KWin would say that it composes the screen, and show windows
        // without their content (seen with VirtualGL 3.1.5 and KWin 6.3), also where the user's kwinrc asks for it.
        Some(_) => "N",
        None => config.env.text("KWIN_COMPOSE").unwrap_or_default(),
    };
    values.insert("kwin-compose".to_owned(), compose.to_owned());
    if let Ok(account) = &facts.account {
        let runtime = config.places.runtime(account.identity.uid);
        values.extend(
            [
                ("user", account.name.clone()),
                ("uid", account.identity.uid.to_string()),
                ("gid", account.identity.gid.to_string()),
                ("home", account.home.display().to_string()),
                ("shell", account.shell.display().to_string()),
                ("xauthority", runtime.join("Xauthority").display().to_string()),
                ("runtime-dir", runtime.display().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    for variable in TABLE.iter().filter(|variable| !variable.secret) {
        let name = variable.names[0];
        values.insert(name.to_owned(), variable.shown(&config.env.raw));
    }
    // Programs that do not find their locale would use C, and show question marks.
    if let Some(locale) = facts.locales.instead_of(&vars.lang) {
        values.insert("LANG".to_owned(), locale);
    }
    values
}

/// A problem if the requested locale has no data in this image.
pub fn unknown_locale(config: &Config, facts: &Facts) -> Option<Problem> {
    let asked = &config.env.vars.lang;
    let locale = facts.locales.instead_of(asked).filter(|_| config.env.is_given("LANG"))?;
    let known: Vec<&str> = facts.locales.0.iter().map(String::as_str).collect();
    let known = known.join(", ");
    let message = format!("\"{asked}\" is not a locale of this image, which has {known}; {locale} is used");
    Some(Problem::new("environment", "LANG", message))
}
