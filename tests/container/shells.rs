//! The environment of shells and restarted services: the variables that the container was started with, and those that
//! people have stored in files since.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use desktopd::observe::UnitState;

use crate::cleanup::Cleanup;
use crate::docker::{Container, Done, Spec, docker, run};
use crate::poll::eventually;
use crate::stack::Stack;

const SOON: Duration = Duration::from_secs(30);

/// The desktop's services: these tests need none of them.
const DESKTOP: &str = "kde,x-server,selkies,vnc,fcitx5,pipewire,wireplumber,pipewire-pulse,dbus-session,x-access,x-keys,x-cookie";

/// A service that records the environment that it was started with.
const PROBE: &str = "command = [\"sh\", \"-c\", \"env -0 > /tmp/probe.new; mv /tmp/probe.new /tmp/probe; exec sleep infinity\"]\n";

/// Values that a shell could misinterpret.
const VALUES: [(&str, &str); 6] = [
    ("QUOTES", "it's \"so\" $(touch /tmp/x) `touch /tmp/x` $HOME \\ ! \\"),
    ("LINES", "one\ntwo=2\n"),
    ("PERCENT", "100% %s a=b=c; touch /tmp/x # no comment"),
    ("BLANKS", "  two  "),
    ("UMLAUT", "über"),
    ("HF_TOKEN", "hf_123"),
];

type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

fn spec() -> Spec {
    Container::of_image().env("SUPERVISOR_NO_AUTOSTART", DESKTOP)
}

/// Waits until the environment has been written.
async fn written(container: Container) -> Stack {
    let stack = Stack::new(container);
    wait_written(&stack).await;
    stack
}

async fn wait_written(stack: &Stack) {
    eventually("the environment of shells", SOON, async || {
        let status = stack.status()?;
        let unit = status.unit("environment").ok_or("no such unit")?;
        if unit.state == UnitState::Done { Ok(()) } else { Err(format!("{:?}: {}", unit.state, unit.reason)) }
    })
    .await;
}

fn of_entries(bytes: &[u8]) -> Variables {
    let entry = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        Some((entry[..at].to_vec(), entry[at + 1..].to_vec()))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// The environment of a shell that was started without variables.
fn seen(stack: &Stack, user: &str, shell: &[&str]) -> Variables {
    let home = if user == "root" { "/root".to_owned() } else { format!("/home/{user}") };
    let mut command = docker();
    command.args(["exec", "--user", user, &stack.name, "env", "-i", "-C", &home, &format!("HOME={home}")]);
    let given = shell.last().is_some_and(|word| word.contains("env -0"));
    let output = run(command.args(shell).args((!given).then_some("env -0")));
    assert!(output.status.success(), "{user} {shell:?}: {output:?}");
    of_entries(&output.stdout)
}

fn get<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name.as_bytes()).map(|value| std::str::from_utf8(value).unwrap_or("not in UTF-8"))
}

#[tokio::test]
async fn every_shell_has_the_environment_and_only_root_our_secrets() {
    let mut spec = spec().option("--volume=/workspace").env("WEB_TOKEN", "own-secret").env("UID", "77");
    for (name, value) in VALUES {
        spec = spec.env(name, value);
    }
    let stack = written(spec.start(&["init"])).await;
    for user in ["root", "user"] {
        for shell in [
            &["bash", "-ic"][..],
            &["bash", "-lc"],
            &["sh", "-lc"],
            // As sshd runs a command.
            &["SSH_CLIENT=::1 2 3", "bash", "-c"],
        ] {
            let found = seen(&stack, user, shell);
            for (name, value) in VALUES.into_iter().chain([("DISPLAY", ":0"), ("WORKSPACE", "/workspace/")]) {
                assert_eq!(get(&found, name), Some(value), "{name} of {user} in {shell:?}");
            }
            let secret = (user == "root").then_some("own-secret");
            assert_eq!(get(&found, "WEB_TOKEN"), secret, "{user} in {shell:?}");
            let session = (user == "user").then_some("/run/user/1000");
            assert_eq!(get(&found, "XDG_RUNTIME_DIR"), session, "{user} in {shell:?}");
            assert_eq!(get(&found, "UID"), None, "{user} in {shell:?}");
        }
    }
    // Variables that a person set for one shell stay.
    let mine = ["DISPLAY=:7", "VIRTUAL_ENV=/venv", "PATH=/venv/bin:/usr/bin:/bin", "bash", "-uec"];
    let script = ". /opt/ai-dock/etc/environment.sh; env -0 # ";
    let mine: Vec<&str> = mine.into_iter().chain([script]).collect();
    let found = seen(&stack, "user", &mine);
    for (name, value) in [("DISPLAY", ":7"), ("PATH", "/venv/bin:/usr/bin:/bin"), ("HF_TOKEN", "hf_123")] {
        assert_eq!(get(&found, name), Some(value), "{name}");
    }
    // The file that PAM reads, which has one variable per line.
    let su = stack.exec_ok(&["env", "-i", "/bin/su", "-s", "/bin/sh", "user", "-c", "env"]);
    for line in ["BLANKS=  two  ", "UMLAUT=über", "HF_TOKEN=hf_123", "DISPLAY=:0"] {
        assert!(su.lines().any(|found| found == line), "{line}: {su}");
    }
    assert_eq!(stack.exec_ok(&["stat", "-c", "%a %U:%G", "/etc/environment"]), "640 root:user");
    let text = stack.exec_ok(&["cat", "/etc/environment"]);
    assert!(text.contains("HF_TOKEN=hf_123") && !text.contains("own-secret"), "{text}");
    assert_ne!(stack.exec(&["test", "-e", "/tmp/x"]).code, Some(0), "a value was executed");

    // Without a chosen folder, shells start in the workspace, and files that they make there are writable for the
    // group.
    let script = "cd; bash -ic 'pwd; umask'; true";
    let done = stack.exec(&["env", "-i", "HOME=/root", "bash", "-c", script]);
    assert_eq!(done.stdout, "/root\n0002", "a shell within a shell stays: {done:?}");
    let done = stack.exec(&["env", "-i", "-C", "/root", "HOME=/root", "bash", "-ic", "pwd"]);
    assert_eq!(done.stdout, "/workspace", "{done:?}");
    let done = stack.exec(&["env", "-i", "-C", "/usr", "HOME=/root", "bash", "-ic", "pwd"]);
    assert_eq!(done.stdout, "/usr", "{done:?}");
}

async fn restarted(stack: &Stack) -> Variables {
    stack.exec_ok(&["rm", "-f", "/tmp/probe"]);
    stack.exec_ok(&["desktopd", "restart", "--wait", "probe"]);
    probe(stack).await
}

async fn probe(stack: &Stack) -> Variables {
    eventually("the service's environment", SOON, async || {
        let output = run(docker().args(["exec", &stack.name, "cat", "/tmp/probe"]));
        output.status.success().then(|| of_entries(&output.stdout))
    })
    .await
}

fn shell(stack: &Stack, script: &str) -> Done {
    stack.exec(&["bash", "-c", script])
}

#[tokio::test]
async fn stored_variables_are_used_after_a_restart_and_stay() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("probe.toml");
    // Below a guard, as the desktop is.
    std::fs::write(&file, format!("contain = true\n{PROBE}")).expect("write a service file");
    let spec = spec()
        .option("--volume=/workspace")
        .mount(file.to_str().expect("a text"), "/etc/desktopd/services/probe.toml")
        .env("WEB_TOKEN", "own-secret")
        .env("FIRST", "1")
        .env("SECOND", "1");
    let stack = written(spec.start(&["init"])).await;
    let found = probe(&stack).await;
    assert_eq!((get(&found, "FIRST"), get(&found, "EDIT")), (Some("1"), None));
    let home = get(&found, "HOME").map(str::to_owned);

    stack.exec_ok(&["bash", "-c", "echo CALM=1 >> /etc/environment"]);
    assert_eq!(stack.exec_ok(&["desktopd", "reload"]), "nothing changed", "an edit restarts nothing");

    let edit = "sed -i s/^FIRST=1/FIRST=2/ /etc/environment; \
        printf '# mine\\nEDIT=\"$FIRST more\"\\nBYTES=\\377\\nWEB_TOKEN=guess\\nHOME=/nowhere\\n' >> /etc/environment; \
        chown user: /workspace; \
        printf 'export DOT=yes\\nCRLF=1\\r\\nSECOND=3\\nWEB_TOKEN=guess\\nrub bish\\n' > /workspace/.env; chown user: /workspace/.env";
    assert_eq!(shell(&stack, edit).code, Some(0));
    assert_eq!(get(&probe(&stack).await, "EDIT"), None, "it was not restarted");
    let check = |found: &Variables, when: &str| {
        for (name, value) in [
            ("FIRST", Some("2")),
            ("EDIT", Some("2 more")),
            ("BYTES", Some("not in UTF-8")),
            ("DOT", Some("yes")),
            ("CRLF", Some("1")),
            ("SECOND", Some("3")),
            ("WEB_TOKEN", None),
            ("HOME", home.as_deref()),
        ] {
            assert_eq!(get(found, name), value, "{name} {when}");
        }
    };
    check(&restarted(&stack).await, "after a restart");
    let told = stack.exec_ok(&["desktopd", "logs", "probe"]);
    assert!(told.contains("/workspace/.env: line 5: it is not NAME=value"), "{told}");
    // New shells see it without any restart.
    let found = seen(&stack, "user", &["bash", "-ic"]);
    assert_eq!((get(&found, "FIRST"), get(&found, "DOT")), (Some("2"), Some("yes")));
    // A file of the user does not affect root's shells.
    assert_eq!(get(&seen(&stack, "root", &["bash", "-ic"]), "DOT"), None);

    let before = stack.exec_ok(&["cat", "/etc/environment"]);
    stack.exec_ok(&["rm", "-f", "/tmp/probe"]);
    stack.restart(Duration::from_secs(10));
    wait_written(&stack).await;
    check(&probe(&stack).await, "after a restart of the container");
    assert_eq!(stack.exec_ok(&["cat", "/etc/environment"]), before, "nothing changed");

    // Variables that a command stores count as an edit as well.
    let done = stack.exec(&["env", "THIRD=a b", "env-store", "THIRD", "SECOND=it's", "MY_TOKEN=hush"]);
    assert_eq!(
        done.stdout,
        "Stored environment variable 'THIRD': a b\nStored environment variable 'SECOND': it's\n\
         Stored environment variable 'MY_TOKEN': ******",
        "{done:?}"
    );
    stack.exec_ok(&["rm", "/workspace/.env"]);
    let found = restarted(&stack).await;
    assert_eq!((get(&found, "THIRD"), get(&found, "SECOND")), (Some("a b"), Some("it's")));
    assert_eq!(get(&found, "MY_TOKEN"), Some("hush"));
    for (words, code, told) in [
        (&["env-store.sh", "WEB_PASSWORD=x"][..], 1, "WEB_PASSWORD is not stored in /etc/environment"),
        (&["env-store", "NOT_SET"], 1, "NOT_SET is not set here"),
        (&["env-store", "1X=2"], 64, "'1X' is not the name of a variable"),
        (
            &["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env-store", "A=1"],
            1,
            "only root and the desktop's user can store variables here",
        ),
    ] {
        let done = stack.exec(words);
        assert!(done.code == Some(code) && done.stderr.contains(told), "{words:?}: {done:?}");
    }
}

/// Mounts a file system at `/workspace` that never answers anything.
const DEAD: &str = "import ctypes, os, signal\n\
    fd = os.open('/dev/fuse', os.O_RDWR)\n\
    os.makedirs('/workspace', exist_ok=True)\n\
    options = f'fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other'.encode()\n\
    assert ctypes.CDLL(None).mount(b'dead', b'/workspace', b'fuse', 0, options) == 0\n\
    open('/tmp/dead', 'w')\n\
    signal.pause()\n";

#[tokio::test]
async fn a_dead_volume_delays_neither_services_nor_shells() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("probe.toml");
    std::fs::write(&file, PROBE).expect("write a service file");
    let options = ["--cap-add=SYS_ADMIN", "--device=/dev/fuse", "--security-opt=apparmor=unconfined"];
    let spec = options.into_iter().fold(spec(), Spec::option);
    let spec = spec.mount(file.to_str().expect("a text"), "/etc/desktopd/services/probe.toml");
    let stack = written(spec.start(&["init"])).await;
    probe(&stack).await;
    let done = run(docker().args(["exec", "--detach", &stack.name, "python3", "-c", DEAD]));
    assert!(done.status.success(), "{done:?}");
    eventually("a dead volume", SOON, async || {
        (stack.exec(&["test", "-e", "/tmp/dead"]).code == Some(0)).then_some(())
    })
    .await;
    let found = restarted(&stack).await;
    assert_eq!(get(&found, "WORKSPACE"), Some("/workspace/"));
    let told = stack.exec_ok(&["desktopd", "logs", "probe"]);
    assert!(told.contains("/workspace/.env: it does not answer"), "{told}");
    let shell = ["timeout", "20", "env", "-i", "-C", "/root", "HOME=/root", "bash", "-ic", "pwd"];
    assert_eq!(stack.exec(&shell).stdout, "/root");
}

#[tokio::test]
async fn the_log_of_all_services_is_sorted_and_can_be_followed() {
    let stack = written(spec().start(&["init.sh", "EXTRA_VAR=other value"])).await;
    assert_eq!(get(&seen(&stack, "user", &["bash", "-lc"]), "EXTRA_VAR"), Some("other value"));
    let text = stack.exec_ok(&["desktopd", "logs", "--all"]);
    assert!(text.lines().any(|line| line.contains(" desktopd ") && line.contains(" | ")), "{text}");
    let times: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(times.is_sorted(), "{text}");

    let out = tempfile::NamedTempFile::new().expect("make a file");
    let mut tail = docker()
        .args(["exec", &stack.name, "timeout", "60", "logtail", "-n", "1"])
        .stdout(out.reopen().expect("open it"))
        .stderr(Stdio::null())
        .spawn()
        .expect("follow the logs");
    let guard = Cleanup::new(r#"kill "$1""#, &[&tail.id().to_string()]);
    let text = || std::fs::read_to_string(out.path()).unwrap_or_default();
    eventually("the last line of all logs", SOON, async || (text().lines().count() > 0).then_some(())).await;
    let times = |text: &str| text.lines().filter(|line| line.contains("environment is done")).count();
    let before = times(&text());
    stack.exec_ok(&["desktopd", "restart", "environment"]);
    eventually("a new line", SOON, async || {
        let text = text();
        if times(&text) > before { Ok(()) } else { Err(text) }
    })
    .await;
    let lines = text();
    let mut sorted: Vec<&str> = lines.lines().collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), lines.lines().count(), "a line came twice: {lines}");
    drop(guard);
    // The result of `tail` does not matter here.
    let _ = tail.wait();
}

#[tokio::test]
async fn time_zone_and_language_are_set_and_a_missing_locale_is_reported() {
    let stack = written(spec().env("TZ", "Asia/Tokyo").env("LANG", "xx_XX.UTF-8").start(&["init"])).await;
    let date = stack.exec_ok(&["env", "-i", "date", "-d", "@0", "+%H %Z"]);
    assert_eq!((&*date, &*stack.exec_ok(&["cat", "/etc/timezone"])), ("09 JST", "Asia/Tokyo"));
    assert_eq!(get(&seen(&stack, "user", &["bash", "-lc"]), "LANG"), Some("en_US.UTF-8"));
    let problems = stack.status().expect("a status").problems.join("\n");
    assert!(
        problems.contains("LANG: \"xx_XX.UTF-8\" is not a locale of this image, which has C.utf8"),
        "{problems}"
    );

    let read_only =
        ["--read-only", "--tmpfs=/run", "--tmpfs=/tmp", "--tmpfs=/var/log", "--tmpfs=/var/lib/desktopd"];
    let spec = read_only.into_iter().fold(spec(), Spec::option).env("TZ", "Mars").env("FIRST", "it's");
    let stack = written(spec.start(&["init"])).await;
    let told = stack.exec_ok(&["desktopd", "logs", "environment"]);
    assert!(told.contains("TZ: \"Mars\" is not a time zone") && told.contains("Europe/Berlin"), "{told}");
    assert!(told.contains("/etc/environment: Read-only file system"), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    assert_eq!(get(&seen(&stack, "user", &["bash", "-ic"]), "FIRST"), Some("it's"));
}
