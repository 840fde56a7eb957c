//! Tests of the environment: values, layers, files and problems.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;

use rustix::fs::FlockOperation;

use super::*;

mod places;
mod properties;

fn environment(pairs: &[(&str, &str)], arguments: &[&str]) -> (Environment, Vec<Problem>) {
    let mut problems = Vec::new();
    let pairs = pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
    (Environment::new(pairs, &arguments, &mut problems), problems)
}

#[test]
fn every_default_parses_and_names_are_unique() {
    let (_, problems) = environment(&[], &[]);
    assert_eq!(problems, []);
    let mut names: Vec<_> = TABLE.iter().flat_map(|v| v.names).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn aliases_are_read_in_order_and_empty_is_unset() {
    let (env, _) = environment(&[("WEB_USER", ""), ("WEB_USERNAME", "ada")], &[]);
    assert_eq!(env.vars.web_user.0, "ada");
    let (env, _) = environment(&[("SIZEW", "800"), ("DISPLAY_SIZEW", "1024")], &[]);
    assert_eq!(env.vars.display_sizew, Within(1024));
}

#[test]
fn quotes_and_underscores_stay_in_secrets_and_urls() {
    let (env, _) = environment(
        &[("WEB_USER", "\"ada___l\""), ("WEB_TOKEN", "\"a___b\""), ("SELKIES_URL", "https://a/___")],
        &[],
    );
    assert_eq!(env.vars.web_user.0, "ada l");
    assert_eq!(env.vars.web_token.unwrap().reveal(), "\"a___b\"");
    assert_eq!(env.vars.selkies_url.as_ref().map(|url| url.0.as_str()), Some("https://a/___"));
}

#[test]
fn all_mistakes_are_reported_at_once_without_showing_secrets() {
    let long = "x".repeat(73);
    let (env, problems) = environment(
        &[
            ("SELKIES_PORT_HOST", "70000x"),
            ("WEB_PASSWORD", &long),
            ("DESKTOPD_DISPLAY", "wayland"),
            ("WEB_USER", "a:b"),
        ],
        &["NAME", "1X=2"],
    );
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told.iter().any(|t| t.contains("SELKIES_PORT_HOST: \"70000x\" is not a port")), "{told:#?}");
    assert!(told.iter().any(|t| t.contains("WEB_PASSWORD: the value is not a password of at most 72 bytes")));
    assert!(!told.concat().contains(&long));
    assert_eq!(env.vars.selkies_port_host, HostPort(6100));
    assert_eq!((env.vars.web_password, env.vars.web_user.0.as_str()), (None, "user"));
}

#[test]
fn arguments_of_init_win_over_the_environment() {
    let (env, problems) = environment(&[("WEB_USER", "a")], &["WEB_USER=b", "EXTRA=x=y"]);
    assert_eq!(problems, []);
    assert_eq!(env.vars.web_user.0, "b");
    assert_eq!(env.text("EXTRA"), Some("x=y"));
}

#[test]
fn password_of_seventy_two_bytes_is_accepted() {
    let (env, problems) = environment(&[("WEB_PASSWORD", &"é".repeat(36))], &[]);
    assert_eq!(problems, []);
    assert!(env.vars.web_password.is_some());
}

/// A folder with the files in which users and hooks leave variables.
struct Left {
    dir: tempfile::TempDir,
}

impl Left {
    fn new() -> Self {
        let left = Self { dir: tempfile::tempdir().unwrap() };
        // The copy of the daemon's own values is empty, so every line of the system's file is an edit.
        left.write("written", "");
        left
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    /// Writes the environment that hooks leave when they start with `before` and set and unset these variables.
    fn hooks(&self, before: &Environment, set: &[(&str, &str)], unset: &[&str]) -> &Self {
        let mut after = before.raw.clone();
        after.extend(set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        after.extend(
            [("PWD", "/"), ("SHLVL", "1"), ("_", "/usr/bin/env"), ("USER", "root")]
                .map(|(n, v)| (n.into(), v.into())),
        );
        after.retain(|name, _| !unset.iter().any(|unset| name == unset));
        let bytes: Vec<u8> = after
            .iter()
            .flat_map(|(name, value)| {
                [name.as_encoded_bytes(), b"=", value.as_encoded_bytes(), b"\0"].concat()
            })
            .collect();
        self.write("hooks", bytes)
    }

    fn files(&self) -> Files {
        let path = |name| self.dir.path().join(name);
        Files { system: path("system"), written: path("written"), found: path("found"), hooks: path("hooks") }
    }

    fn read(&self, env: &Environment) -> (Environment, Vec<String>) {
        let usual = BTreeMap::from([("PATH".into(), "/usr/bin".into()), ("LANG".into(), "${LANG}".into())]);
        let env = env.reread(&self.files(), &usual);
        let told = env.problems().iter().map(ToString::to_string).collect();
        (env, told)
    }

    /// An environment with its workspace in the folder.
    fn environment(&self, pairs: &[(&str, &str)], arguments: &[&str]) -> Environment {
        let workspace = self.dir.path().to_str().unwrap();
        let pairs: Vec<_> = pairs.iter().copied().chain([("WORKSPACE", workspace)]).collect();
        environment(&pairs, arguments).0
    }
}

fn source(env: &Environment, name: &str) -> (String, String) {
    let row = env.rows().into_iter().find(|row| row.name == name).unwrap();
    (row.value, row.source)
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let left = Left::new();
    left.write("system", "DISPLAY_DPI=1\nDISPLAY_SIZEW=801\nSIZEH=601\nLANG=C\nMINE=edited\n");
    left.write(".env", "DISPLAY_SIZEW=802\nTZ=Asia/Tokyo\nCOTURN_USER=ada\nNOT_OURS=x\n");
    let env = left.environment(
        &[("DISPLAY_SIZEH", "600"), ("SIZEW", "800"), ("PATH", "/image"), ("MINE", "given"), ("TZ", "UTC")],
        &["TURN_PORT=99", "COTURN_USER=bob"],
    );
    let (read, told) = left.read(&env);
    assert_eq!(
        told,
        ["DISPLAY_DPI: \"1\" is not a whole number from 20 to 1200; 96 is used".to_owned()]
            .map(|text| { format!("{}: {text}", left.files().system.display()) })
    );
    left.hooks(
        &read,
        &[("TURN_PORT", "100"), ("NEW", "x=y\n\"z\""), ("PATH", "/usr/bin"), ("LANG", "C")],
        &["MINE"],
    );
    let (read, _) = left.read(&read);
    let dotenv = left.dir.path().join(".env").display().to_string();
    let system = left.files().system.display().to_string();
    for (name, value, expected) in [
        ("DISPLAY_REFRESH", "60", "default".to_owned()),
        ("DISPLAY_DPI", "96", "default; DISPLAY_DPI is wrong".to_owned()),
        ("DISPLAY_SIZEH", "601", format!("{system}, as SIZEH")),
        ("DISPLAY_SIZEW", "802", dotenv.clone()),
        ("TZ", "Asia/Tokyo", dotenv),
        ("COTURN_USER", "bob", "arguments of init".to_owned()),
        ("TURN_PORT", "100", "hooks".to_owned()),
        ("LANG", "C", system),
    ] {
        assert_eq!(source(&read, name), (value.to_owned(), expected), "{name}");
    }
    assert_eq!(read.text("NEW"), Some("x=y\n\"z\""));
    assert_eq!((read.text("PATH"), read.text("NOT_OURS"), read.text("MINE")), (Some("/image"), None, None));
    assert_eq!((read.text("PWD"), read.text("USER")), (None, None), "what a shell has for itself");
    let before: Raw = read.before_hooks().clone();
    assert_eq!(before.get(OsStr::new("MINE")), Some(&"given".into()), "an edit is read at each start");
    assert_eq!(before.get(OsStr::new("NEW")), None);
}

#[test]
fn changes_of_hooks_stay_when_their_input_changes() {
    let left = Left::new();
    let env = left.environment(&[("A", "1"), ("B", "1")], &[]);
    left.hooks(&env, &[("B", "2")], &[]);
    let (read, _) = left.read(&env);
    left.write("system", "A=3\nB=3\n");
    let (read, _) = left.read(&read);
    assert_eq!((read.text("A"), read.text("B")), (Some("3"), Some("2")));
    // If the file with the hooks' environment is removed, the changes of hooks no longer count.
    std::fs::remove_file(left.files().hooks).unwrap();
    let (read, _) = left.read(&read);
    assert_eq!((read.text("B"), read.before_hooks()), (Some("3"), read.without_edits()));
}

#[test]
fn only_edits_of_the_system_s_file_count() {
    let left = Left::new();
    left.write("system", "A=old\nB='new value'\nC=\"added\"\n");
    left.write("written", b"A=old\0B=before\0D=deleted\0");
    let env = left.environment(&[("A", "now"), ("B", "now"), ("D", "now")], &[]);
    let (read, told) = left.read(&env);
    assert_eq!(told, [""; 0]);
    let found = ["A", "B", "C", "D"].map(|name| read.text(name));
    assert_eq!(found, [Some("now"), Some("new value"), Some("added"), Some("now")]);
    let own =
        ["A", "B", "C"].map(|name| read.without_edits().get(OsStr::new(name)).and_then(|text| text.to_str()));
    assert_eq!(own, [Some("now"), Some("now"), None], "what is written and remembered");
    // Before the daemon has written the file, its values come from the image.
    std::fs::remove_file(left.files().written).unwrap();
    let found = ["A", "B", "C"].map(|name| left.read(&env).0.text(name).map(str::to_owned));
    assert_eq!(found, [Some("now".into()), Some("now".into()), Some("added".into())]);
}

/// The daemon's step replaces the system's file, and then the copy of what was written.
#[test]
fn a_value_that_a_step_writes_at_the_moment_is_no_edit() {
    let left = Left::new();
    left.write("written", b"A=old\0");
    let env = left.environment(&[("A", "now")], &[]);
    let step = crate::sys::env_file::lock(left.dir.path(), FlockOperation::LockExclusive).unwrap().unwrap();
    left.write("system", "A=new\n");
    let found = std::thread::scope(|scope| {
        let reader = scope.spawn(|| left.read(&env).0.text("A").map(str::to_owned));
        // A waiting lock has an arrow, and the same inode as the lock that is held.
        let inode = format!(":{} ", step.metadata().unwrap().ino());
        let waits = || {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            locks.lines().any(|line| line.contains("->") && line.contains(&inode))
        };
        while !reader.is_finished() && !waits() {
            std::thread::yield_now();
        }
        left.write("written", b"A=new\0");
        drop(step);
        reader.join().unwrap()
    });
    assert_eq!(found.as_deref(), Some("now"));
}

#[test]
fn values_that_are_too_late_or_in_the_wrong_file_are_reported() {
    let left = Left::new();
    let env = left.environment(&[("WEB_PASSWORD", "chosen"), ("WEB_USER", "user")], &[]);
    let env = env.opened(&left.files());
    left.write("system", "WEB_PASSWORD=late\nWEB_USER=user\n");
    left.write(
        ".env",
        "WEB_TOKEN=late\nHOTFIX_SCRIPT=https://evil.example/\nWORKSPACE=/elsewhere\nBOOT_SCRIPT=x\n'open\n",
    );
    let (read, told) = left.read(&env);
    assert_eq!(read.vars.web_password.as_ref().unwrap().0.reveal(), "chosen");
    assert_eq!((&read.vars.hotfix_script, &read.vars.boot_script), (&None, &None));
    assert_eq!(read.vars.workspace, env.vars.workspace);
    assert_eq!(told.len(), 6, "{told:#?}");
    for name in [
        "WEB_PASSWORD: it counts from the next start of the container on",
        "WEB_TOKEN: it comes too late",
        "HOTFIX_SCRIPT: it is not",
        "WORKSPACE: it",
        "BOOT_SCRIPT: it",
        "line 5",
    ] {
        assert!(told.iter().any(|told| told.contains(name)), "{name}: {told:#?}");
    }
    assert!(!told.concat().contains("late\""), "{told:#?}");
}

/// Other containers can write to the same volume, and the desktop's user may not be root.
#[test]
fn workspace_s_file_gives_no_user_root() {
    use std::os::unix::fs::PermissionsExt;

    let left = Left::new();
    left.write(
        ".env",
        "SSH_PUBKEY=a\nPUBLIC_KEY=b\nSSH_PUBLIC_KEY=c\nUSER_NAME=root\nOPT_SYNC=d\nPROVISIONING_SCRIPT=/e\nTZ=CET\n",
    );
    let env = left.environment(&[], &[]);
    let (read, told) = left.read(&env);
    let vars = &read.vars;
    assert_eq!((&vars.ssh_pubkey, &vars.public_key, &vars.ssh_public_key), (&None, &None, &None));
    assert_eq!((vars.user_name.0.as_str(), vars.opt_sync.as_str(), vars.tz.as_str()), ("user", "", "CET"));
    assert_eq!(vars.provisioning_script.as_deref(), Some("/e"), "the user runs it");
    assert_eq!(told.len(), 5, "{told:#?}");
    let (read, told) = left.read(&left.environment(&[("VAST_CONTAINERLABEL", "C.1")], &[]));
    assert_eq!(read.vars.provisioning_script, None, "root runs it there");
    assert_eq!(told.len(), 6, "{told:#?}");
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(left.dir.path().join(".env"), open).unwrap();
    let (read, told) = left.read(&env);
    assert_eq!((read.vars.tz.as_str(), told.len()), ("UTC", 1));
    assert!(told[0].contains("can write it"), "{told:?}");
}

#[test]
fn unreadable_files_change_nothing_and_are_reported() {
    let left = Left::new();
    std::fs::create_dir(left.dir.path().join(".env")).unwrap();
    nix::unistd::mkfifo(&left.files().system, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let env = left.environment(&[("A", "1")], &[]);
    let (read, told) = left.read(&env);
    assert_eq!(read.raw, env.raw);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| told.ends_with(", expected a regular file")), "{told:?}");
}

#[test]
fn made_value_is_used_only_if_the_variable_is_unset() {
    let (mut env, _) = environment(&[], &[]);
    env.make("COTURN_PASSWORD", &Secret::new("made"));
    assert_eq!(env.text("COTURN_PASSWORD"), Some("made"));
    assert_eq!(source(&env, "COTURN_PASSWORD"), ("******".into(), "made by desktopd".into()));
    let (mut env, _) = environment(&[("COTURN_PASSWORD", "chosen")], &[]);
    env.make("COTURN_PASSWORD", &Secret::new("made"));
    assert_eq!(env.text("COTURN_PASSWORD"), Some("chosen"));
    let row = env.rows().into_iter().find(|row| row.name == "COTURN_PASSWORD").unwrap();
    assert_eq!(row.overrode, [], "the made value was never set by a user");
    for (pairs, expected) in [(&[][..], "made"), (&[("OTHER", "")], "made"), (&[("OTHER", "set")], "set")] {
        let mut env = environment(pairs, &[]).0;
        env.make("OTHER", &Secret::new("made"));
        assert_eq!(env.text("OTHER"), Some(expected));
    }
}

#[test]
fn newer_names_and_the_workspace_are_passed_on() {
    let (env, _) = environment(&[("WEB_USERNAME", "\"ada\""), ("WEBRTC_X", "1"), ("WORKSPACE", "data")], &[]);
    assert_eq!((env.text("WEB_USER"), env.text("WEB_USERNAME")), (Some("ada"), Some("ada")));
    assert_eq!((env.text("SELKIES_X"), env.text("WORKSPACE")), (Some("1"), Some("/data/")));
    let (env, problems) = environment(&[("DATA_DIRECTORY", "/data")], &[]);
    assert_eq!((env.text("WORKSPACE"), problems.len()), (Some("/data/"), 0));
    let (env, problems) = environment(&[("WORKSPACE", "..")], &[]);
    assert_eq!((env.text("WORKSPACE"), problems.len()), (Some("/workspace/"), 1));
}

#[test]
fn a_layer_s_alias_wins_over_the_name_below_it() {
    let (env, _) =
        environment(&[("DISPLAY_SIZEW", "800"), ("SELKIES_X", "old")], &["SIZEW=900", "WEBRTC_X=new"]);
    assert_eq!(env.text("DISPLAY_SIZEW"), Some("900"));
    assert_eq!(env.text("SELKIES_X"), Some("new"));
    let row = env.rows().into_iter().find(|row| row.name == "DISPLAY_SIZEW").unwrap();
    assert_eq!(row.source, "arguments of init, as SIZEW");
    assert_eq!(row.overrode, [Overridden { value: "800".into(), source: "environment".into() }]);
}

#[test]
fn configuration_folder_comes_from_option_variable_or_default() {
    let folder =
        |option: Option<&str>, pairs| config_dir(option.map(PathBuf::from), &environment(pairs, &[]).0);
    assert_eq!(folder(None, &[]), PathBuf::from("/etc/desktopd"));
    assert_eq!(folder(None, &[("DESKTOPD_CONFIG", "/c")]), PathBuf::from("/c"));
    assert_eq!(folder(Some("/d"), &[("DESKTOPD_CONFIG", "/c")]), PathBuf::from("/d"));
}

#[test]
fn only_a_clear_yes_accepts_the_license() {
    for (value, accepted, told) in [
        (None, true, 0),
        (Some("true"), true, 0),
        (Some("Yes"), true, 0),
        (Some("false"), false, 0),
        (Some("perhaps"), false, 1),
    ] {
        let pairs: Vec<_> = value.iter().map(|value| ("ACCEPT_NVIDIA_LICENSE", *value)).collect();
        let (env, problems) = environment(&pairs, &[]);
        assert_eq!((env.vars.accept_nvidia_license.0, problems.len()), (accepted, told), "{value:?}");
        if told > 0 {
            let told = problems[0].to_string();
            assert!(told.ends_with("\"perhaps\" is not true or false; false is used"), "{told}");
            let shown = ("false".to_owned(), "ACCEPT_NVIDIA_LICENSE is wrong".to_owned());
            assert_eq!(source(&env, "ACCEPT_NVIDIA_LICENSE"), shown);
        }
    }
}
