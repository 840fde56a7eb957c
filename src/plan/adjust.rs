//! The hooks of the plan: what service files cannot say because it is computed. One function for each hook, without I/O,
//! edits one planned unit.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::env::{TABLE, is_own_secret};
use crate::config::service::step::AccountSpec;
use crate::config::{Config, Provider, Service};
use crate::facts::account::USUAL_GROUPS;
use crate::facts::encoder::{Trials, User};
use crate::facts::gpu::compute::{Repair, State};
use crate::facts::{Account, Facts};
use crate::sys::launch::NewFile;

use super::display::{self, Decision, encoder};
use super::{Unit, shells};

/// What a plan is made from.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) config: &'a Config,
    /// The facts as they will be after the step `user`.
    pub(super) facts: &'a Facts,
    /// The account that this step should make.
    pub(super) wanted: Option<&'a Account>,
    /// The display that was chosen.
    pub(super) display: &'a Decision,
    /// The encoder that was chosen.
    pub(super) encoder: &'a encoder::Decision,
}

/// Edits a unit that would run. Returns the reason to skip the unit, if there is one.
pub(super) type Hook = fn(&mut Unit, &Inputs<'_>) -> Option<String>;

/// The hooks that service files may name.
pub(super) const HOOKS: [(&str, Hook); 14] = [
    ("desktop-account", account),
    ("coturn", coturn),
    ("cron", cron),
    ("cuda", cuda),
    ("device-nodes", device_nodes),
    ("encoder", trials),
    ("nvidia-driver", nvidia_driver),
    ("provisioning", provisioning),
    ("selkies", selkies),
    ("shell-environment", shell_environment),
    ("sshd", sshd),
    ("user-lists", user_lists),
    ("whole-environment", whole_environment),
    ("xorg", xorg),
];

/// The hook of that name.
pub(super) fn hook(name: &str) -> Option<Hook> {
    HOOKS.iter().find(|(known, _)| *known == name).map(|(_, hook)| *hook)
}

/// Arguments of the step: the account to make. They do not depend on the current state, because otherwise the step
/// would run again afterwards.
fn account(unit: &mut Unit, &Inputs { config, facts, wanted, .. }: &Inputs<'_>) -> Option<String> {
    let Some(wanted) = wanted else {
        return Some("the desktop's user exists already and is not changed".to_owned());
    };
    let groups: Vec<String> =
        USUAL_GROUPS.map(str::to_owned).into_iter().chain(config.env.vars.user_groups()).collect();
    let account = AccountSpec {
        name: wanted.name.clone(),
        uid: wanted.identity.uid,
        gid: wanted.identity.gid,
        home: wanted.home.clone(),
        shell: wanted.shell.display().to_string(),
        groups,
        devices: facts.making.devices.clone(),
        workspace: config.env.vars.workspace.folder().to_owned(),
    };
    unit.launch.argv.extend(serde_json::to_string(&account));
    None
}

/// Without these capabilities cron runs, and none of its jobs, which no log would say.
fn cron(_: &mut Unit, &Inputs { facts, .. }: &Inputs<'_>) -> Option<String> {
    (facts.gpus.container.other_users == Some(false)).then(|| {
        "jobs run as their users, for which root needs the capabilities SETUID and SETGID (--cap-add)"
            .to_owned()
    })
}

/// Only where there is something to set, or something that was set before.
fn cuda(_: &mut Unit, &Inputs { facts, .. }: &Inputs<'_>) -> Option<String> {
    let compat = &facts.gpus.nvidia.compat;
    (compat.state == State::NotNeeded && !compat.file).then(|| compat.reason.clone())
}

/// Argument of the step: the nodes that desktopd can repair.
fn device_nodes(unit: &mut Unit, &Inputs { facts, .. }: &Inputs<'_>) -> Option<String> {
    let repairs: Vec<&Repair> = facts.gpus.repairs.iter().filter(|repair| repair.action.is_some()).collect();
    if repairs.is_empty() {
        return Some("no device node needs a repair that is possible here".to_owned());
    }
    unit.launch.argv.extend(serde_json::to_string(&repairs));
    None
}

/// A port that another process listens on will not become free soon: repeated restarts would not show the reason.
fn sshd(_: &mut Unit, &Inputs { config, facts, .. }: &Inputs<'_>) -> Option<String> {
    let port = config.env.vars.ssh_port_local.0;
    facts.ssh_port_taken.then(|| {
        format!(
            "another program listens on port {port}, an SSH server perhaps; SSH_PORT_LOCAL says which port is ours"
        )
    })
}

/// Root's own scripts get the environment of this program, including its secrets, as in the older images.
fn whole_environment(unit: &mut Unit, inputs: &Inputs<'_>) -> Option<String> {
    for (name, value) in inputs.config.env.before_hooks().iter().filter(|(name, _)| *name != "TERM") {
        unit.launch.env.entry(name.clone()).or_insert_with(|| value.clone());
    }
    None
}

/// A provisioning script that root runs gets the environment of root's shells.
fn provisioning(unit: &mut Unit, &Inputs { config, facts, .. }: &Inputs<'_>) -> Option<String> {
    let asked = config.env.vars.provisioning_user.as_deref();
    let roots = asked.map_or_else(|| Provider::of(&config.env.raw).is_vast(), |user| user == "root");
    if facts.daemon.uid == 0 && roots {
        shells::give_secrets(&mut unit.launch.env, config);
    }
    None
}

/// The step writes the environment that it has itself.
fn shell_environment(unit: &mut Unit, inputs: &Inputs<'_>) -> Option<String> {
    shells::environment(unit, inputs.config);
    None
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

fn selkies(unit: &mut Unit, &Inputs { config, encoder, .. }: &Inputs<'_>) -> Option<String> {
    turn(unit, config);
    screen(unit, config);
    // For all other settings, the value in the service file is only a default.
    for (name, value) in config.env.raw.iter().filter(|(_, value)| !value.is_empty()) {
        let of_selkies = name.to_str().filter(|name| name.starts_with("SELKIES_"));
        if of_selkies.is_some_and(|name| !NOT_ITS_OWN.contains(&name) && !is_own_secret(name)) {
            unit.launch.env.insert(name.clone(), value.clone());
        }
    }
    video(unit, config, encoder);
    None
}

/// The paths of the lists of users and groups that replace the system's.
pub(super) fn lists(config: &Config) -> (PathBuf, PathBuf) {
    (config.places.run.join("passwd"), config.places.run.join("group"))
}

/// Writes the lists of users and groups: all other units start after this one and find them.
fn user_lists(unit: &mut Unit, &Inputs { config, facts, .. }: &Inputs<'_>) -> Option<String> {
    let stand_in = facts.account.as_ref().ok().and_then(|account| account.stand_in.as_ref());
    let stand_in = stand_in.filter(|stand_in| stand_in.library.is_some())?;
    let (passwd, group) = lists(config);
    for (path, content) in [(passwd, &stand_in.passwd), (group, &stand_in.group)] {
        unit.launch.files.push(NewFile { path, mode: 0o644, content: content.clone() });
    }
    None
}

/// Puts the program under VirtualGL, where programs draw through it. The whole session of Plasma is under it and not only
/// programs that are started by a launcher in `PATH`: the menu, file associations and other programs start programs by
/// absolute paths, and all that the session starts inherits the preloaded library. The price on an idle desktop is
/// 160 MB (measured with VirtualGL 3.1.5 and Plasma 6); nothing of people's files is rewritten.
pub(super) fn virtualgl(unit: &mut Unit, service: &Service, inputs: &Inputs<'_>) {
    let &Inputs { config, facts, display, .. } = inputs;
    let (Some(device), Ok(vglrun)) = (display.virtualgl(), facts.programs.get("vglrun")) else { return };
    unit.launch.argv.insert(0, vglrun.display().to_string());
    // A service's own file may name another GPU, or another frame rate.
    for (name, value) in [("VGL_DISPLAY", device.to_owned()), ("VGL_FPS", display::frame_rate(config))] {
        if !service.environment.contains_key(name) {
            unit.launch.env.insert(name.into(), value.into());
        }
    }
}

/// Writes the configuration, which the command line names.
fn xorg(unit: &mut Unit, &Inputs { config, facts, display, .. }: &Inputs<'_>) -> Option<String> {
    let content = display::xorg::configuration(display, config, facts);
    unit.launch.files.push(NewFile { path: config.places.run.join("xorg.conf"), mode: 0o644, content });
    None
}

/// Says what the container lacks of NVIDIA's driver.
fn nvidia_driver(unit: &mut Unit, &Inputs { config, facts, .. }: &Inputs<'_>) -> Option<String> {
    match display::driver::spec(config, facts) {
        Ok(spec) => unit.launch.argv.extend(serde_json::to_string(&spec)),
        Err(reason) => return Some(reason),
    }
    None
}

/// Limits the relay: clients may reach only this container through it.
fn coturn(unit: &mut Unit, &Inputs { config, facts, .. }: &Inputs<'_>) -> Option<String> {
    if let Some(why) = config.env.lost_relay_port() {
        return Some(why);
    }
    // Templates for other images contain this option.
    unit.launch.argv.retain(|word| word != "-n");
    let file = unit.launch.files.first_mut()?;
    let mut lines: Vec<String> = facts.addresses.iter().map(|own| format!("allowed-peer-ip={own}")).collect();
    if facts.daemon.uid == 0 {
        lines.extend(["proc-user=turnserver", "proc-group=turnserver"].map(str::to_owned));
    }
    if let Some(address) = &config.env.vars.coturn_listen_address {
        match address.parse::<std::net::IpAddr>() {
            // An address of this container needs no translation.
            Ok(address) if facts.addresses.contains(&address) => {}
            Ok(address) => lines.push(format!("external-ip={address}")),
            Err(_) => return Some(format!("COTURN_LISTEN_ADDRESS: \"{address}\" is not an IP address")),
        }
    }
    file.content += &(lines.join("\n") + "\n");
    None
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

/// Sets the encoder in the terms of Selkies 2, and the GPU or the CPU that was chosen for it.
fn video(unit: &mut Unit, config: &Config, decision: &encoder::Decision) {
    let asked = config.env.vars.webrtc_encoder.as_ref();
    let names = asked.map(|asked| ("SELKIES_ENCODER", asked.names.clone()));
    for (name, value) in names.into_iter().chain(decision.variables()) {
        unit.launch.env.insert(name.into(), value.into());
    }
}

/// Arguments of the step that tries encoders: what to try, as which user, and the Selkies whose encoder is used. They do
/// not depend on what became of earlier tries.
fn trials(unit: &mut Unit, &Inputs { facts, encoder, .. }: &Inputs<'_>) -> Option<String> {
    let selkies = match facts.programs.get("selkies") {
        Ok(path) => path.to_owned(),
        Err(reason) => return Some(reason),
    };
    let trials = encoder.trials();
    if trials.is_empty() {
        return Some(format!("there is nothing to try: {}", encoder.line()));
    }
    let account = facts.account.as_ref().ok().filter(|_| facts.daemon.uid == 0);
    let user = account.map(|account| User {
        identity: account.identity.clone(),
        name: account.name.clone(),
        home: account.home.clone(),
    });
    unit.launch.argv.extend(serde_json::to_string(&Trials { selkies, user, trials }));
    None
}
