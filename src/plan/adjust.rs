//! Adjusts single units in ways that need computation and cannot be expressed in service files: one function per unit,
//! without I/O.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::env::{TABLE, is_own_secret};
use crate::config::{Config, Provider};
use crate::facts::account::USUAL_GROUPS;
use crate::facts::{Account, Facts};
use crate::sys::launch::NewFile;

use super::display::Decision;
use super::{Disposition, Unit, account, shells};

/// Edits one planned unit.
pub(super) fn apply(
    unit: &mut Unit,
    config: &Config,
    facts: &Facts,
    display: &Decision,
    wanted: Option<&Account>,
) {
    match unit.name.as_str() {
        account::STEP => user(unit, config, facts, wanted),
        "sshd" => sshd(unit, config, facts),
        "x-server" => x_server(unit, display),
        "selkies" => selkies(unit, config),
        "prepare" => prepare(unit, config, facts),
        "environment" => shells::environment(unit, config),
        "coturn" => coturn(unit, config, facts),
        "hotfix" | "boot-script" => whole_environment(unit, config),
        "hooks" => {
            whole_environment(unit, config);
            replaced(unit, config, facts);
        }
        "provisioning" => {
            if is_roots(config, facts) {
                shells::give_secrets(&mut unit.launch.env, config);
            }
            replaced(unit, config, facts);
        }
        _ => {}
    }
}

/// Arguments of the step: the account to make. They do not depend on the current state, because otherwise the step
/// would run again afterwards.
fn user(unit: &mut Unit, config: &Config, facts: &Facts, wanted: Option<&Account>) {
    if unit.disposition != Disposition::Run {
        return;
    }
    let Some(wanted) = wanted else {
        unit.disposition =
            Disposition::Skip("the desktop's user exists already and is not changed".to_owned());
        return;
    };
    let groups: Vec<String> =
        USUAL_GROUPS.map(str::to_owned).into_iter().chain(config.env.vars.user_groups()).collect();
    let devices = facts.making.devices.iter().map(|(id, name)| format!("{id}={name}"));
    unit.launch.argv.extend([
        wanted.name.clone(),
        wanted.identity.uid.to_string(),
        wanted.identity.gid.to_string(),
        wanted.home.display().to_string(),
        wanted.shell.display().to_string(),
        groups.join(","),
        devices.collect::<Vec<_>>().join(","),
        config.env.vars.workspace.folder().display().to_string(),
    ]);
}

/// A port that another process listens on will not become free soon: repeated restarts would not show the reason.
fn sshd(unit: &mut Unit, config: &Config, facts: &Facts) {
    if facts.ssh_port_taken && unit.disposition == Disposition::Run {
        let port = config.env.vars.ssh_port_local.0;
        unit.disposition = Disposition::Skip(format!(
            "another program listens on port {port}, an SSH server perhaps; SSH_PORT_LOCAL says which port is ours"
        ));
    }
}

/// Root's own scripts get the environment of this program, including its secrets, as in the older images.
fn whole_environment(unit: &mut Unit, config: &Config) {
    for (name, value) in config.env.before_hooks().iter().filter(|(name, _)| *name != "TERM") {
        unit.launch.env.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// Whether root runs the provisioning script, which then gets the environment of root's shells.
fn is_roots(config: &Config, facts: &Facts) -> bool {
    let asked = config.env.vars.provisioning_user.as_deref();
    facts.daemon.uid == 0
        && asked.map_or_else(|| Provider::of(&config.env.raw).is_vast(), |user| user == "root")
}

/// The user's own boot script takes the place of this unit.
fn replaced(unit: &mut Unit, config: &Config, facts: &Facts) {
    if config.env.is_on("BOOT_SCRIPT") && facts.daemon.uid == 0 && unit.disposition == Disposition::Run {
        unit.disposition = Disposition::Skip("BOOT_SCRIPT takes its place".to_owned());
    }
}

fn x_server(unit: &mut Unit, display: &Decision) {
    if display.taken().is_none() && unit.disposition == Disposition::Run {
        let reasons: Vec<_> =
            display.candidates.iter().map(|c| format!("{}: {}", c.kind, c.reason)).collect();
        unit.disposition = Disposition::Skip(format!("no display is possible: {}", reasons.join("; ")));
    }
}

/// Settings of Selkies that the gateway or variables of desktopd decide.
const NOT_ITS_OWN: [&str; 11] = [
    "SELKIES_ADDR",
    "SELKIES_ENABLE_BASIC_AUTH",
    "SELKIES_ENABLE_HTTPS",
    "SELKIES_ENABLE_RESIZE",
    "SELKIES_ENCODER",
    "SELKIES_PORT",
    "SELKIES_TURN_HOST",
    "SELKIES_TURN_PASSWORD",
    "SELKIES_TURN_PORT",
    "SELKIES_TURN_PROTOCOL",
    "SELKIES_TURN_USERNAME",
];

fn selkies(unit: &mut Unit, config: &Config) {
    turn(unit, config);
    screen(unit, config);
    // For all other settings, the value in the service file is only a default.
    for (name, value) in config.env.raw.iter().filter(|(_, value)| !value.is_empty()) {
        let of_selkies = name.to_str().filter(|name| name.starts_with("SELKIES_"));
        if of_selkies.is_some_and(|name| !NOT_ITS_OWN.contains(&name) && !is_own_secret(name)) {
            unit.launch.env.insert(name.clone(), value.clone());
        }
    }
    encoder(unit, config);
}

/// The paths of the lists of users and groups that replace the system's.
pub(super) fn lists(config: &Config) -> (PathBuf, PathBuf) {
    (config.places.run.join("passwd"), config.places.run.join("group"))
}

/// Writes the lists of users and groups: all other units start after this one and find them.
fn prepare(unit: &mut Unit, config: &Config, facts: &Facts) {
    let stand_in = facts.account.as_ref().ok().and_then(|account| account.stand_in.as_ref());
    let Some(stand_in) = stand_in.filter(|stand_in| stand_in.library.is_some()) else { return };
    let (passwd, group) = lists(config);
    for (path, content) in [(passwd, &stand_in.passwd), (group, &stand_in.group)] {
        unit.launch.files.push(NewFile { path, mode: 0o644, content: content.clone() });
    }
}

/// Limits the relay: clients may reach only this container through it.
fn coturn(unit: &mut Unit, config: &Config, facts: &Facts) {
    // Templates for other images contain this option.
    unit.launch.argv.retain(|word| word != "-n");
    if let Some(why) = config.env.lost_relay_port().filter(|_| unit.disposition == Disposition::Run) {
        unit.disposition = Disposition::Skip(why);
    }
    let Some(file) = unit.launch.files.first_mut() else { return };
    let mut lines: Vec<String> = facts.addresses.iter().map(|own| format!("allowed-peer-ip={own}")).collect();
    if facts.daemon.uid == 0 {
        lines.extend(["proc-user=turnserver", "proc-group=turnserver"].map(str::to_owned));
    }
    if let Some(address) = &config.env.vars.coturn_listen_address {
        match address.parse::<std::net::IpAddr>() {
            // An address of this container needs no translation.
            Ok(address) if facts.addresses.contains(&address) => {}
            Ok(address) => lines.push(format!("external-ip={address}")),
            Err(_) => {
                unit.disposition =
                    Disposition::Skip(format!("COTURN_LISTEN_ADDRESS: \"{address}\" is not an IP address"));
            }
        }
    }
    file.content += &(lines.join("\n") + "\n");
}

/// Sets the TURN server. Without one from the user, the configuration without any server stays: the defaults of Selkies
/// are public servers.
fn turn(unit: &mut Unit, config: &Config) {
    let vars = &config.env.vars;
    let env = &mut unit.launch.env;
    let nameless = vars.turn_username.is_none() && vars.turn_password.is_none();
    let password = if vars.enable_coturn && (vars.turn_host.is_none() || nameless) {
        // Browsers reach our TURN server at the address of all other ports, unless another address is configured.
        let given = vars.turn_host.as_ref().map(|host| &host.0);
        let address = given.or(vars.coturn_listen_address.as_ref()).unwrap_or(&vars.direct_address.0);
        env.insert("SELKIES_TURN_HOST".into(), address.into());
        env.insert("SELKIES_TURN_PORT".into(), vars.coturn_port_host.0.to_string().into());
        env.insert("SELKIES_TURN_USERNAME".into(), vars.coturn_user.clone().into());
        &vars.coturn_password
    } else if vars.turn_host.is_some() {
        &vars.turn_password
    } else {
        return;
    };
    env.remove(&OsString::from("SELKIES_RTC_CONFIG_JSON"));
    if let Some(password) = password {
        env.insert("SELKIES_TURN_PASSWORD".into(), password.reveal().into());
    }
}

/// The screen's size and density: set by browsers if they may resize the screen, and by our variables otherwise.
fn screen(unit: &mut Unit, config: &Config) {
    let vars = &config.env.vars;
    let dpi = vars.display_dpi.to_string();
    let mut set = |name: &str, value: String| unit.launch.env.insert(name.into(), value.into());
    if !vars.webrtc_enable_resize {
        // A page that knows the size scales the picture to its window, also when the window changes.
        set("SELKIES_MANUAL_WIDTH", vars.display_sizew.to_string());
        set("SELKIES_MANUAL_HEIGHT", vars.display_sizeh.to_string());
    }
    if !vars.webrtc_enable_resize || !is_usual("DISPLAY_DPI", &dpi) {
        set("SELKIES_SCALING_DPI", dpi);
    }
}

/// Whether a variable has its default value, and so requests nothing.
fn is_usual(name: &str, value: &str) -> bool {
    TABLE.iter().any(|row| row.names[0] == name && row.default == value)
}

/// Sets the requested encoder, in the terms of Selkies 2.
fn encoder(unit: &mut Unit, config: &Config) {
    let Some(asked) = &config.env.vars.webrtc_encoder else { return };
    let mut set =
        |name: &str, value: &str| unit.launch.env.insert(OsString::from(name), OsString::from(value));
    set("SELKIES_ENCODER", &asked.names);
    if asked.cpu {
        set("SELKIES_USE_CPU", "true");
    }
}
