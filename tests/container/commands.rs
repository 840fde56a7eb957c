//! What scripts do in the image (`APPS=standard`), without a desktop: they find their tools, install programs that have a
//! sandbox of their own, and leave jobs to cron.

use std::time::{Duration, Instant};

use desktopd::observe::UnitState;

use crate::docker::Container;
use crate::poll::eventually;
use crate::stack::{LIGHT, Stack};

/// An unusual text, so that a search finds it in every place where it should not be.
const SECRET: &str = "jobs-must-not-see-this";

/// A crontab of the user and one of the system. Jobs of both keep their environment; two of the user's print and stay.
const CRONTABS: &str = r"
    printf '%s\n' 'KIND=own' \
        '* * * * * env -0 >/tmp/of-user.new; mv /tmp/of-user.new /tmp/of-user' \
        '* * * * * echo heard für $LOGNAME' \
        '* * * * * [ -e /tmp/stays ] || { touch /tmp/stays; exec sleep 77777; }' | runuser -u user -- crontab -
    echo '* * * * * root env -0 >/tmp/of-root.new; mv /tmp/of-root.new /tmp/of-root' >/etc/cron.d/probe";

/// Google Chrome's package as far as it matters here: its program, the script before it, its links and its entry.
const CHROME: &str = r#"
    set -e
    p=/tmp/chrome; mkdir -p $p/DEBIAN $p/opt/google/chrome $p/usr/bin $p/usr/share/applications
    printf 'Package: google-chrome-stable\nVersion: 1\nArchitecture: all\nMaintainer: t\nDescription: t\n' >$p/DEBIAN/control
    printf '#!/bin/sh\nupdate-alternatives --install /usr/bin/google-chrome google-chrome /usr/bin/google-chrome-stable 200 >/dev/null\n' >$p/DEBIAN/postinst
    printf '#!/bin/sh\necho "chrome got $*"\n' >$p/opt/google/chrome/chrome
    printf '#!/bin/bash\nHERE="$(dirname "$(readlink -f "$0")")"\nexport CHROME_WRAPPER="$(readlink -f "$0")"\nexec -a "$0" "$HERE/chrome" "$@"\n' >$p/opt/google/chrome/google-chrome
    ln -sf /opt/google/chrome/google-chrome $p/usr/bin/google-chrome-stable
    printf '[Desktop Entry]\nType=Application\nName=Google Chrome\nExec=/usr/bin/google-chrome-stable %%U\n' >$p/usr/share/applications/google-chrome.desktop
    chmod 755 $p/DEBIAN/postinst $p/opt/google/chrome/*
    dpkg-deb -b $p /tmp/chrome.deb >/dev/null && dpkg -i /tmp/chrome.deb >/dev/null"#;

/// All ways to start it; the last one is that of the menu.
const STARTS: [&str; 4] = [
    "google-chrome",
    "google-chrome-stable",
    "/opt/google/chrome/chrome",
    r"$(sed -n 's/^Exec=\([^ ]*\).*/\1/p' /usr/share/applications/google-chrome.desktop)",
];

const SOON: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);

/// Cron's granularity, and what a busy machine needs.
const MINUTE: Duration = Duration::from_secs(100);

/// Ten things that scripts for the older images do first.
#[tokio::test]
async fn commands_of_provisioning_scripts_work_and_crontabs_run() {
    let spec = Container::of_image().env("SUPERVISOR_NO_AUTOSTART", LIGHT).env("MODELS", "/data/my models");
    let stack = Stack::new(spec.env("WEB_PASSWORD", SECRET).start(&["init"]));
    stack.wait_until_up().await;
    // Cron looks once a minute, so the rest of the test runs meanwhile.
    stack.exec_ok(&["sh", "-c", CRONTABS]);
    commands_of_provisioning_scripts(&stack);
    chrome_runs_without_its_sandbox_where_there_can_be_none(&stack);
    crontabs_have_run(&stack).await;
}

fn commands_of_provisioning_scripts(stack: &Stack) {
    // A package that needs no network.
    let wheel = "import zipfile\n\
        with zipfile.ZipFile('/tmp/found-1-py3-none-any.whl', 'w') as wheel:\n    \
            wheel.writestr('found.py', 'print(\"found it\")')\n    \
            wheel.writestr('found-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: found\\nVersion: 1\\n')\n    \
            wheel.writestr('found-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
            wheel.writestr('found-1.dist-info/RECORD', '')\n";
    stack.exec_ok(&["python3", "-c", wheel]);
    let deb = "mkdir -p /tmp/deb/DEBIAN && printf 'Package: found\\nVersion: 1\\nArchitecture: all\\n\
        Maintainer: t\\nDescription: t\\n' >/tmp/deb/DEBIAN/control && dpkg-deb -b /tmp/deb /tmp/found.deb";
    stack.exec_ok(&["sh", "-c", deb]);
    let lfs = "rm -rf ~/r ~/c && git init -q ~/r && cd ~/r && git config user.email a@b && git config user.name a && \
        git lfs track '*.bin' && echo big >a.bin && git add . && git commit -qm one && \
        git show HEAD:a.bin | grep git-lfs && git clone -q ~/r ~/c && cat ~/c/a.bin";
    let commands = [
        ("python -c 'import sys; print(sys.prefix)'", "/venv/main"),
        (". /venv/main/bin/activate && python -c 'import yaml, sys; print(sys.prefix)'", "/venv/main"),
        (
            "pip uninstall -qy found; pip install -q --no-index /tmp/found-1-py3-none-any.whl && python -c 'import found'",
            "found it",
        ),
        (
            "uv pip uninstall -q found; uv pip install -q --no-index /tmp/found-1-py3-none-any.whl && python -c 'import found'",
            "found it",
        ),
        ("rm -rf /tmp/e; python3 -m venv /tmp/e && /tmp/e/bin/pip --version; rm -rf /tmp/e", "/tmp/e"),
        ("/usr/bin/python3 -c 'import yaml; print(yaml.safe_load(\"a: 3\"))'", "{'a': 3}"),
        ("sudo apt-get install -y /tmp/found.deb 2>&1; dpkg -s found", "Status: install ok installed"),
        (lfs, "big"),
        (
            "ffmpeg -v error -y -f lavfi -i sine -t 1 /tmp/a.mp3 && ffprobe -v error -show_format /tmp/a.mp3; rm /tmp/a.mp3",
            "format_name=mp3",
        ),
        ("cd /tmp && rm -f a.7z && 7z a a.7z found.deb >/dev/null && 7z l a.7z; rm -f a.7z", "found.deb"),
        (
            "for p in htop tmux vim file 7z lsof ping dig strace wmctrl crontab git-lfs unzip wget curl jq rsync; do command -v $p >/dev/null || echo lacks $p; done; echo all",
            "all",
        ),
        ("pkexec id -u", "0"),
    ];
    // The user first: the environment is the user's, and what root has written there only root can replace.
    for user in ["user", "root"] {
        for (command, expected) in commands {
            let home = if user == "root" { "HOME=/root" } else { "HOME=/home/user" };
            let shell = ["runuser", "-u", user, "--", "env", "-i", home, "bash", "-ic", command];
            let done = stack.exec(&shell);
            let good = done.stdout.contains(expected) && !done.stdout.contains("lacks");
            assert!(good, "{user}: {command}: {done:?}");
        }
    }
}

fn chrome_runs_without_its_sandbox_where_there_can_be_none(stack: &Stack) {
    let before =
        stack.exec(&["sh", "-c", "command -v google-chrome google-chrome-stable; /opt/google/chrome/chrome"]);
    assert!(before.code == Some(127) && before.stdout.is_empty(), "before it is installed: {before:?}");
    assert!(before.stderr.contains("Google Chrome is not installed"), "{before:?}");
    // Docker's own profile forbids name spaces.
    let open = Container::of_image()
        .option("--security-opt=seccomp=unconfined")
        .option("--security-opt=apparmor=unconfined")
        .option("--init")
        .start(&["sleep", "600"]);
    for (container, made, expected) in [
        (&**stack, "no", "chrome got --no-sandbox --lang=de https://a.example/?b c"),
        (&open, "yes", "chrome got --lang=de https://a.example/?b c"),
    ] {
        container.exec_ok(&["bash", "-c", CHROME]);
        let can = container.exec_ok(&["sh", "-c", "unshare --user true 2>/dev/null && echo yes || echo no"]);
        assert_eq!(can, made, "name spaces in {}", container.name);
        for start in STARTS {
            let command = format!("{start} --lang=de 'https://a.example/?b c'");
            let said = container.exec_ok(&["runuser", "-u", "user", "--", "bash", "-c", &command]);
            assert_eq!(said, expected, "{start}");
        }
    }
    let files = stack.exec_ok(&["dpkg", "-L", "google-chrome-stable"]);
    assert!(files.contains("locally diverted to: /opt/google/chrome/chrome.real"), "{files}");
}

/// The user's job and that of the system have run, with the container's environment and without its secrets.
async fn crontabs_have_run(stack: &Stack) {
    for (file, home) in [("/tmp/of-user", "HOME=/home/user"), ("/tmp/of-root", "HOME=/root")] {
        let text = eventually(&format!("a job that makes {file}"), MINUTE, async || {
            let done = stack.exec(&["cat", file]);
            if done.code == Some(0) { Ok(done.stdout) } else { Err(done.stderr) }
        })
        .await;
        let lines: Vec<&str> = text.split('\0').collect();
        for expected in
            [home, "WORKSPACE=/workspace/", "MODELS=/data/my models", "DISPLAY=:0", "LANG=en_US.UTF-8"]
        {
            assert!(lines.contains(&expected), "{file} lacks {expected}: {lines:?}");
        }
        assert!(!text.contains(SECRET), "{file}: {lines:?}");
        assert_eq!(lines.contains(&"KIND=own"), file == "/tmp/of-user", "{lines:?}");
    }
    let logs = eventually("what a job printed", MINUTE, async || {
        let logs = stack.exec_ok(&["desktopd", "logs", "cron"]);
        if logs.contains("heard") { Ok(logs) } else { Err(logs) }
    })
    .await;
    assert!(logs.contains("heard für user") && logs.contains("Cron <user@"), "{logs}");
    let mail = stack.exec(&["sh", "-c", "echo text | /usr/sbin/sendmail someone@example.org"]);
    assert!(mail.code == Some(1) && mail.stderr.contains("no mail server"), "{mail:?}");

    let cron = |stack: &Stack| stack.status().ok().and_then(|status| status.unit("cron").cloned());
    let before = cron(stack).expect("a service");
    assert_eq!(before.state, UnitState::Ready);
    // As with Debian's own unit, the end of the service leaves running jobs alone; the end of the container does not.
    stack.exec_ok(&["service", "cron", "restart"]);
    eventually("a new cron", SOON, async || {
        let now = cron(stack).filter(|now| now.state == UnitState::Ready && now.pid != before.pid);
        now.is_some().then_some(())
    })
    .await;
    stack.exec_ok(&["pgrep", "-f", "^sleep 77777"]);
    let start = Instant::now();
    stack.kill("TERM");
    assert_eq!(stack.wait_exit_code(GRACE).await, 0, "{}", stack.logs());
    assert!(start.elapsed() < GRACE, "a job that stays holds up the end");
}
