//! The session: one environment in Plasma, in shells, in logins and in services, and the behaviour of KDE's programs
//! that are started from any of these.

use std::collections::BTreeMap;
use std::time::Duration;

use desktopd::observe::UnitState;

use crate::docker::{Done, docker, run};
use crate::poll::eventually;
use crate::stack::{self, Stack};

const SOON: Duration = Duration::from_secs(40);
const GRACE: Duration = Duration::from_secs(20);

/// Variables that differ for each process or for each kind of login: no program's behaviour in the session depends on
/// them.
const OF_EACH: [&str; 15] = [
    "HOSTNAME",
    "ICEAUTHORITY",
    "LS_COLORS",
    "MAIL",
    "MOTD_SHOWN",
    "OLDPWD",
    "PWD",
    "SESSION_MANAGER",
    "SHLVL",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "TERM",
    "WINDOWID",
    "_",
];

type Variables = BTreeMap<String, String>;

/// The variables of `env -0`. Plasma sets some to an empty value, which is treated as unset.
fn variables(text: &str) -> Variables {
    let each = text.split('\0').filter_map(|entry| entry.split_once('='));
    let each = each.filter(|(name, value)| !OF_EACH.contains(name) && !value.is_empty());
    each.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs a command as the desktop's user, as `docker exec --user user` does.
fn as_user(stack: &Stack, options: &[&str], command: &[&str]) -> Done {
    let mut docker = docker();
    docker.args(["exec", "--user", "user"]).args(options).arg(&stack.name).args(command);
    let output = run(&mut docker);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Done { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn login(stack: &Stack, script: &str) -> Done {
    as_user(stack, &[], &["bash", "-lc", script])
}

/// The programs in KDE's menu, as KDE itself lists them.
fn menu(stack: &Stack) -> String {
    login(stack, "kioclient ls applications:/ 2>&1; kioclient ls applications:/System 2>&1").stdout
}

fn titles(stack: &Stack) -> String {
    login(stack, "xdotool search --onlyvisible --name . getwindowname %@").stdout
}

#[tokio::test]
async fn the_environment_is_the_same_in_every_kind_of_login() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("probe.toml");
    let probe = "command = [\"sh\", \"-c\", \"env -0 >/tmp/probe.new; mv /tmp/probe.new /tmp/probe; exec sleep infinity\"]\n\
        desktop = true\n";
    std::fs::write(&file, probe).expect("write a service file");
    let spec = stack::spec().mount(&file.to_string_lossy(), "/etc/desktopd/services/probe.toml");
    let before = "test -e /tmp/key || ssh-keygen -q -t ed25519 -N '' -f /tmp/key; chown user /tmp/key; \
        export SSH_PUBKEY=\"$(cat /tmp/key.pub)\"; exec init";
    let stack = Stack::new(spec.start(&["sh", "-c", before]));
    stack.wait_until_up().await;
    let plasma = as_user(&stack, &[], &["sh", "-c", "cat /proc/$(pgrep -x plasmashell)/environ"]);
    let plasma = variables(&plasma.stdout);
    assert_eq!(plasma.get("XDG_MENU_PREFIX").map(String::as_str), Some("plasma-"), "{plasma:?}");

    let ssh = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i /tmp/key \
        user@127.0.0.1 env -0";
    for (way, options, command) in [
        ("a login shell", &[][..], &["bash", "-lc", "env -0"][..]),
        ("a login shell that is no bash", &[], &["sh", "-lc", "env -0"]),
        ("a terminal", &["--tty"], &["bash", "-ic", "env -0 >/tmp/seen; cat /tmp/seen >/dev/null"]),
        ("ssh", &[], &["sh", "-c", ssh]),
        ("a service", &[], &["cat", "/tmp/probe"]),
        ("desktopd run", &[], &["desktopd", "run", "--", "env", "-0"]),
        ("desktopd run, of root", &["--user", "root"], &["desktopd", "run", "--", "env", "-0"]),
        // Cron uses PAM in the same way; `commands.rs` has its jobs.
        ("a job", &[], &["sudo", "env", "-i", "/bin/su", "--login", "user", "--command=env -0"]),
    ] {
        let done = as_user(&stack, options, command);
        assert_eq!(done.code, Some(0), "{way}: {done:?}");
        let seen = if way == "a terminal" { stack.exec_ok(&["cat", "/tmp/seen"]) } else { done.stdout };
        let mut seen = variables(&seen);
        // Shells have the image's Python environment besides.
        let python = deactivate(&mut seen);
        if way.contains("shell") || way == "a terminal" {
            assert_eq!(python.as_deref(), Some("/venv/main"), "{way}");
        }
        assert_eq!(seen, plasma, "{way}");
    }
    let root = variables(&stack.exec_ok(&["bash", "-lc", "env -0"]));
    let of_user: Vec<_> = root.iter().filter(|(_, value)| value.contains("/home/user")).collect();
    assert_eq!(of_user, [], "root's programs take no settings from the user's home");
}

/// Takes out what an active Python environment has set. Returns its folder.
fn deactivate(variables: &mut BTreeMap<String, String>) -> Option<String> {
    let folder = variables.remove("VIRTUAL_ENV")?;
    variables.remove("VIRTUAL_ENV_PROMPT");
    let path = variables.get_mut("PATH")?;
    *path = path.replacen(&format!("{folder}/bin:"), "", 1);
    Some(folder)
}

#[tokio::test]
async fn programs_of_kde_work_from_any_shell_and_leave_the_menu_alone() {
    let stack = Stack::new(stack::spec().start(&["init"]));
    stack.wait_until_up().await;
    let whole = menu(&stack);
    assert!(whole.contains("Konsole"), "{whole}");
    for command in [&["bash", "-lc", "kbuildsycoca6"][..], &["env", "-u", "LANG", "kbuildsycoca6"]] {
        let done = as_user(&stack, &["--env=LANG=en_US.UTF-8"], command);
        assert_eq!(done.code, Some(0), "{command:?}: {done:?}");
        assert_eq!(menu(&stack), whole, "{command:?}");
    }

    assert_eq!(login(&stack, "xdg-open file:///etc/hostname >/dev/null 2>&1").code, Some(0));
    eventually("a window with the file", SOON, async || {
        let titles = titles(&stack);
        if titles.contains("hostname") { Ok(()) } else { Err(titles) }
    })
    .await;

    // Otherwise the terminal would show a red warning first.
    assert_eq!(login(&stack, "(konsole >/dev/null 2>&1 &)").code, Some(0));
    let shown = "for bus in $(qdbus6 | grep -o 'org.kde.konsole-[0-9]*'); do \
        qdbus6 $bus /Sessions/1 org.kde.konsole.Session.getAllDisplayedText; done";
    let text = eventually("a prompt in konsole", SOON, async || {
        let text = login(&stack, shown).stdout;
        if text.contains('$') { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(!text.contains("Warning"), "{text}");

    // A cache that an older image left in the home. A running desktop would notice the menu's folder change, and repair
    // the cache.
    stack.exec_ok(&["desktopd", "stop", "--wait", "kde"]);
    stack.exec_ok(&["rm", "/etc/xdg/menus/applications.menu"]);
    let broken = login(&stack, "env -u XDG_MENU_PREFIX kbuildsycoca6");
    assert_eq!(broken.code, Some(0), "{broken:?}");
    assert!(!menu(&stack).contains("Konsole"), "the cache is not broken");
    stack.exec_ok(&["desktopd", "restart", "--wait", "desktop-settings"]);
    assert_eq!(menu(&stack), whole, "after the step that every start runs");
}

/// The sensors of the pages that System Monitor opens by itself.
const PAGES: &str = "cd /usr/local/share/plasma-systemmonitor 2>/dev/null; \
    hidden=$(kreadconfig6 --file systemmonitorrc --group General --key hiddenPages); \
    for page in *.page /usr/share/plasma-systemmonitor/*.page; do \
        case \",$hidden,\" in *,${page##*/},*) ;; *) cat \"$page\" 2>/dev/null; echo ;; esac; done";

#[tokio::test]
async fn the_desktop_offers_nothing_that_a_container_lacks() {
    let stack = Stack::new(stack::spec().start(&["init"]));
    stack.wait_until_up().await;
    let known = login(&stack, "kstatsviewer --list 2>/dev/null").stdout;
    let known: Vec<&str> = known.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(known.contains(&"cpu/all/usage"), "{known:?}");
    let pages = login(&stack, PAGES).stdout;
    let lists = pages.lines().filter_map(|line| {
        let (key, list) = line.split_once('=')?;
        ["highPrioritySensorIds", "lowPrioritySensorIds", "totalSensors"].contains(&key).then_some(list)
    });
    let wanted: Vec<String> = lists
        .flat_map(|list| serde_json::from_str::<Vec<String>>(list).expect("a list of sensors"))
        .collect();
    assert!(wanted.len() > 3, "{pages}");
    for sensor in wanted {
        // Names of sensors may be patterns, and only this kind of pattern is used.
        let found = match sensor.split_once(".*") {
            Some((first, last)) => known.iter().any(|name| name.starts_with(first) && name.ends_with(last)),
            None => known.contains(&sensor.as_str()),
        };
        assert!(found && !sensor.contains("disk/") && !sensor.contains("network/"), "{sensor}: {known:?}");
    }
    assert!(!pages.contains("applicationstable"), "systemd groups processes to applications");

    let logout =
        stack.exec_ok(&["sh", "-c", "cat /usr/share/plasma/look-and-feel/*/contents/logout/Logout.qml"]);
    assert!(logout.contains("boot loader menu"), "another screen: look at it again");
    assert!(!logout.contains("visible: rebootToBootLoaderMenu"), "it is shown where there is no logind");
}

#[tokio::test]
async fn the_language_is_the_variables_until_the_user_chooses_another() {
    let start = async |home: &str, lang: &str| {
        let spec = stack::spec().option(home).env("LANG", lang);
        let stack = Stack::new(spec.start(&["init"]));
        stack.wait_until_up().await;
        let settings = stack.status().expect("a status");
        let unit = settings.unit("desktop-settings").expect("the step");
        assert_eq!(unit.state, UnitState::Done, "{}", unit.reason);
        stack
    };
    let language = |stack: &Stack| {
        let script = "tr '\\0' '\\n' </proc/$(pgrep -x plasmashell)/environ | grep ^LANG=";
        as_user(stack, &[], &["sh", "-c", script]).stdout
    };
    let first = start("--mount=type=volume,target=/home/user", "ja_JP.UTF-8").await;
    assert_eq!(language(&first), "LANG=ja_JP.UTF-8");
    first.stop(GRACE);
    let second = start(&format!("--volumes-from={}", first.name), "fr_FR.UTF-8").await;
    assert_eq!(language(&second), "LANG=fr_FR.UTF-8");
    // As System Settings writes it.
    let choice = "kwriteconfig6 --file plasma-localerc --group Formats --key LANG de_DE.UTF-8; \
        kwriteconfig6 --file plasma-localerc --group Translations --key LANGUAGE de";
    assert_eq!(login(&second, choice).code, Some(0));
    second.restart(GRACE);
    second.wait_until_up().await;
    assert_eq!(language(&second), "LANG=de_DE.UTF-8");
}

#[tokio::test]
async fn the_desktops_page_survives_a_cleaned_tmp_and_a_lost_page_is_restored() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("selkies.toml");
    let text = include_str!("../../config/services/selkies.toml")
        .replace("period = \"60s\"\ntimeout = \"10s\"", "period = \"1s\"\ntimeout = \"1s\"");
    assert!(text.contains("period = \"1s\""), "the check is another one now");
    std::fs::write(&file, text).expect("write a service file");
    let spec = stack::spec()
        .env("WEB_USER", stack::USER)
        .env("WEB_PASSWORD", stack::PASSWORD)
        .mount(&file.to_string_lossy(), "/etc/desktopd/services/selkies.toml");
    let stack = Stack::new(spec.start(&["init"]));
    let before = stack.wait_until_up().await;
    let page = async || {
        let basic = stack::basic(stack::USER, stack::PASSWORD);
        let answer = crate::net::http_get(&stack.desktop(), &[("Authorization", &basic)]).await;
        answer.map(|answer| answer.status)
    };
    eventually("a page", SOON, async || match page().await {
        Ok(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let pid = |status: &desktopd::observe::Snapshot| status.unit("selkies").and_then(|unit| unit.pid);
    let cleaning = "rm -rf /tmp/*; find /tmp /var/tmp -mindepth 1 -delete";
    as_user(&stack, &[], &["sh", "-c", cleaning]);
    // Files of root are removed, too, when root cleans.
    stack.exec_ok(&["sh", "-c", cleaning]);
    assert_eq!(page().await.ok(), Some(200), "after a cleaning");
    assert_eq!(pid(&stack.status().expect("a status")), pid(&before), "the same Selkies");
    assert_eq!(login(&stack, "xdotool getdisplaygeometry").stdout, "1920 1080", "programs find the display");
    assert_eq!(stack.exec_ok(&["wc", "-c", "/etc/machine-id"]), "33 /etc/machine-id");

    as_user(&stack, &[], &["sh", "-c", "rm -rf /run/user/1000/tmp/selkies/*"]);
    eventually("another Selkies with a page", SOON, async || {
        let now = stack.status()?;
        match (pid(&now) == pid(&before), page().await) {
            (false, Ok(200)) => Ok(()),
            other => Err(format!("{other:?}: {}", stack::units(&now))),
        }
    })
    .await;
}
