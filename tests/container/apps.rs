//! The programs of the image (`APPS`: `standard`, `studio` or `dev`) as a person uses them: links and files open, every program of the menu
//! starts, and scripts find their tools. Few containers, because the start of a desktop takes most of the time.

use std::time::Duration;

use crate::browser::Browser;
use crate::docker::Container;
use crate::menu::{self, in_desktop};
use crate::picture::Rgb;
use crate::poll::{eventually, within};
use crate::server::Server;
use crate::stack::{self, LIGHT, PASSWORD, START, Stack, USER};

const SOON: Duration = Duration::from_secs(60);

/// No program draws with this colour.
const PAGE: Rgb = Rgb(212, 0, 170);

const LINKED: &str = "<!DOCTYPE html><title>linked</title><body style='background:#d400aa'>";

/// Draws pictures of 300 MB, five times the shared memory of the container, and reports that it still lives.
const HEAVY: &str = "<!DOCTYPE html><title>heavy</title><body><script>
    (async () => {
        for (let n = 0; n < 40; n++) {
            const canvas = document.body.appendChild(document.createElement('canvas'));
            [canvas.width, canvas.height] = [1920, 1000];
            const context = canvas.getContext('2d');
            for (let x = 0; x < 1920; x += 8) {
                context.fillStyle = `hsl(${x + n * 9} 80% 50%)`;
                context.fillRect(x, 0, 8, 1000);
            }
            canvas.scrollIntoView();
            await new Promise(requestAnimationFrame);
        }
        await fetch('/drawn');
    })();
</script>";

/// A window's class and a word of its title, for each file that a person opens.
const OPENED: [(&str, &str, &str); 4] = [
    ("things.zip", "ark", "things"),
    ("picture.png", "gwenview", "picture"),
    ("paper.pdf", "okular", "paper"),
    ("film.mp4", "mpv", "film"),
];

/// Makes one file of each kind in the user's home.
const MAKE: &str = r"
    mkdir -p ~/things && cd ~/things && echo text >note.txt
    ffmpeg -v error -f lavfi -i testsrc=size=320x240 -frames:v 1 picture.png
    ffmpeg -v error -f lavfi -i testsrc=size=320x240:rate=10 -t 30 -pix_fmt yuv420p film.mp4
    python3 - <<'END'
import zipfile
zipfile.ZipFile('things.zip', 'w').write('note.txt')
parts = ['<</Type/Catalog/Pages 2 0 R>>', '<</Type/Pages/Kids[3 0 R]/Count 1>>', '<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]>>']
text, places = '%PDF-1.4\n', []
for number, part in enumerate(parts, 1):
    places.append(len(text))
    text += f'{number} 0 obj{part}endobj\n'
table = ''.join(f'{place:010} 00000 n \n' for place in places)
text += f'xref\n0 4\n0000000000 65535 f \n{table}trailer<</Size 4/Root 1 0 R>>\nstartxref\n{len(text)}\n%%EOF\n'
open('paper.pdf', 'w').write(text)
END";

/// Opens something as a program of the desktop does.
fn open(stack: &Stack, what: &str) {
    let done =
        in_desktop(stack, &format!("xdg-open '{what}' >/tmp/opened 2>&1 || {{ cat /tmp/opened; false; }}"));
    assert_eq!(done.code, Some(0), "xdg-open {what}: {done:?}");
}

/// The windows on the screen: class and title of each.
fn windows(stack: &Stack) -> String {
    // wmctrl ends with an error when a window is closed while it reads the list.
    loop {
        let done = stack.exec(&["desktopd", "run", "wmctrl", "-lx"]);
        if done.code == Some(0) || ![&done.stdout, &done.stderr].iter().any(|said| said.contains("BadWindow"))
        {
            assert_eq!(done.code, Some(0), "{done:?}");
            return done.stdout;
        }
    }
}

/// Waits for a window, and closes it.
async fn seen_and_closed(stack: &Stack, class: &str, title: &str) {
    let id = eventually(&format!("a window of {class} with {title:?}"), SOON, async || {
        let windows = windows(stack);
        let found = windows.lines().find(|line| {
            let line = line.to_lowercase();
            line.split_whitespace().nth(2).is_some_and(|found| found.contains(class)) && line.contains(title)
        });
        found.and_then(|line| line.split(' ').next()).map(str::to_owned).ok_or(windows.clone())
    })
    .await;
    in_desktop(stack, &format!("wmctrl -ic {id}"));
    eventually(&format!("the end of the window of {class}"), SOON, async || {
        let windows = windows(stack);
        if windows.contains(&id) { Err(windows) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn links_and_files_open_and_every_program_of_the_menu_starts() {
    let pages = [("/linked", 0, "text/html", LINKED), ("/heavy", 0, "text/html", HEAVY)];
    let server = Server::start(&pages).await;
    let spec = stack::spec().option("--shm-size=64m").env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.start(&["init"]));
    stack.wait_until_up().await;

    // A link, as a program of the desktop opens it.
    let browser = Browser::start().await;
    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    open(&stack, &server.url("/linked"));
    let pixels = desktop.wait_for_colour(PAGE, 100_000, START).await;
    if let Err(why) = pixels {
        panic!("{why}: {}; {}", windows(&stack), browser.keep_evidence("link").await);
    }
    browser.keep_screenshot("firefox.png").await;
    drop(browser);
    let class = menu::browser(&stack);
    eventually("the browser's window, with its first page only", SOON, async || {
        let windows = windows(&stack).to_lowercase();
        let ours: Vec<&str> = windows.lines().filter(|line| line.contains(class)).collect();
        if ours.len() == 1 && ours[0].contains("linked") { Ok(()) } else { Err(windows) }
    })
    .await;
    every_shell_opens_a_link(&stack, &server).await;

    open(&stack, &server.url("/heavy"));
    eventually("a page that was drawn", START, async || (server.asked("/drawn") > 0).then_some(())).await;
    let shared = stack.exec_ok(&["df", "--output=size", "/dev/shm"]);
    assert!(shared.contains("65536"), "{shared}");
    seen_and_closed(&stack, class, "heavy").await;

    let made = in_desktop(&stack, MAKE);
    assert_eq!(made.code, Some(0), "{made:?}");
    for (file, class, title) in OPENED {
        in_desktop(
            &stack,
            &format!("setsid dolphin --new-window --select ~/things/{file} >/dev/null 2>&1 &"),
        );
        // Enter on the selected file is what a double click is. Dolphin takes it once the folder is read.
        let press = "w=$(timeout 30 xdotool search --sync --onlyvisible --class dolphin | tail -n 1) && \
                     xdotool windowactivate --sync $w key Return";
        eventually(&format!("a window with {file}"), SOON, async || {
            let pressed = in_desktop(&stack, press);
            within(Duration::from_secs(8), async || {
                let windows = windows(&stack).to_lowercase();
                let opened = windows.lines().any(|line| line.contains(class) && line.contains(title));
                if opened { Ok(()) } else { Err(format!("{windows} {pressed:?}")) }
            })
            .await
        })
        .await;
        seen_and_closed(&stack, class, title).await;
        seen_and_closed(&stack, "dolphin", "things").await;
    }
    menu::every_program_of_the_menu_starts(&stack).await;
}

/// Shells of all kinds, also those that are not in the desktop.
async fn every_shell_opens_a_link(stack: &Stack, server: &Server) {
    for (number, (user, shell)) in [
        ("root", &["sh", "-c"][..]),
        ("root", &["bash", "-ic"]),
        ("root", &["env", "-i", "HOME=/root", "bash", "-lc"]),
        ("user", &["bash", "-ic"]),
        ("user", &["sh", "-lc"]),
        ("user", &["env", "-i", "HOME=/home/user", "SSH_CLIENT=::1 2 3", "bash", "-c"]),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/shell-{number}");
        // Its output is a file: the browser that it may start must not hold the shell's.
        let command = format!("xdg-open '{}' >/tmp/opened-{number} 2>&1", server.url(&path));
        let as_user = ["runuser", "-u", user, "--"];
        let as_user = if user == "root" { &[][..] } else { &as_user };
        let done = stack.exec(&[as_user, shell, &[&command]].concat());
        assert_eq!(done.code, Some(0), "{user} in {shell:?}: {done:?}");
        eventually(&format!("the page of {user} in {shell:?}"), SOON, async || {
            if server.asked(&path) > 0 { Ok(()) } else { Err(format!("{done:?}")) }
        })
        .await;
    }
}

/// Ten things that scripts for the older images do first.
#[tokio::test]
async fn commands_of_provisioning_scripts_work() {
    let stack = Stack::new(Container::of_image().env("SUPERVISOR_NO_AUTOSTART", LIGHT).start(&["init"]));
    stack.wait_until_up().await;
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
