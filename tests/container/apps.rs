//! The programs of the image (`APPS`: `standard`, `studio` or `dev`) as a person uses them: links and files open, and every
//! program of the menu starts. One container, because the start of a desktop takes most of the time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::docker::Done;
use crate::menu::{self, in_desktop};
use crate::picture::Rgb;
use crate::poll::{eventually, within};
use crate::server::Server;
use crate::stack::{self, PASSWORD, START, Stack, USER};

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

/// Double-clicks the only item of a folder.
const DOUBLE_CLICK: &str = include_str!("double_click.py");

/// What the real Firefox says about its settings.
const FIREFOX: &str = include_str!("firefox.py");

/// A window's class and a word of its title, for each file that a person opens. The folder of each has the name
/// `for-CLASS`.
const OPENED: [(&str, &str, &str); 4] = [
    ("things.zip", "ark", "things"),
    ("picture.png", "gwenview", "picture"),
    ("paper.pdf", "okular", "paper"),
    ("film.mp4", "mpv", "film"),
];

/// Makes one file of each kind, each in a folder of its own in the user's home.
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
END
    mkdir ~/for-ark ~/for-gwenview ~/for-okular ~/for-mpv
    mv things.zip ~/for-ark; mv picture.png ~/for-gwenview; mv paper.pdf ~/for-okular; mv film.mp4 ~/for-mpv";

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
    // Several rows of an editor, so that most places of its text are in the link.
    let link = format!("/linked{}", "a".repeat(600));
    let pages = [(link.as_str(), 0, "text/html", LINKED), ("/heavy", 0, "text/html", HEAVY)];
    let server = Server::start(&pages).await;
    let spec = stack::spec().option("--shm-size=64m").env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.start(&["init"]));
    stack.wait_until_up().await;

    let browser = Browser::start().await;
    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    a_link_in_kate_is_clicked(&stack, &server, &link).await;
    let pixels = desktop.wait_for_colour(PAGE, 100_000, START).await;
    if let Err(why) = pixels {
        panic!("{why}: {}; {}", windows(&stack), browser.keep_evidence("link").await);
    }
    browser.keep_screenshot("firefox.png").await;
    drop(browser);
    let class = menu::browser(&stack);
    let debian = class == "firefox";
    eventually("the browser's window, with its first page only", SOON, async || {
        let windows = windows(&stack).to_lowercase();
        let ours: Vec<&str> = windows.lines().filter(|line| line.contains(class)).collect();
        if ours.len() == 1 && ours[0].contains("linked") { Ok(()) } else { Err(windows) }
    })
    .await;
    seen_and_closed(&stack, "kate", "link").await;
    every_shell_opens_a_link(&stack, &server).await;

    open(&stack, &server.url("/heavy"));
    eventually("a page that was drawn", START, async || (server.asked("/drawn") > 0).then_some(())).await;
    let shared = stack.exec_ok(&["df", "--output=size", "/dev/shm"]);
    assert!(shared.contains("65536"), "{shared}");
    seen_and_closed(&stack, class, "heavy").await;
    if debian {
        firefox_has_taken_the_settings_of_the_image(&stack);
    }

    let made = in_desktop(&stack, MAKE);
    assert_eq!(made.code, Some(0), "{made:?}");
    for (file, class, title) in OPENED {
        let folder = format!("for-{class}");
        in_desktop(&stack, &format!("setsid dolphin --new-window ~/{folder} >/dev/null 2>&1 &"));
        let clicked = python(&stack, DOUBLE_CLICK, "dolphin");
        assert_eq!(clicked.code, Some(0), "{file}: {clicked:?}");
        seen_and_closed(&stack, class, title).await;
        seen_and_closed(&stack, "dolphin", &folder).await;
    }
    menu::every_program_of_the_menu_starts(&stack).await;
    if debian {
        the_pages_of_system_monitor_show_what_a_container_has(&stack);
    }
}

/// Runs a program of the tests as a program of the desktop.
fn python(stack: &Stack, program: &str, argument: &str) -> Done {
    stack.exec(&["desktopd", "run", "python3", "-c", program, argument])
}

/// Opens a text in which each place is a link, and clicks with Ctrl on its middle.
async fn a_link_in_kate_is_clicked(stack: &Stack, server: &Server, path: &str) {
    let link = server.url(path);
    let write = format!("for n in $(seq 200); do echo '{link}'; done >~/link.txt");
    let done = in_desktop(stack, &format!("{write}; kioclient exec ~/link.txt >/dev/null 2>&1 &"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let click = "row=$0; w=$(timeout 30 xdotool search --sync --onlyvisible --class kate | tail -n 1) && \
        xdotool windowactivate --sync $w && eval $(xdotool getwindowgeometry --shell $w) && \
        xdotool mousemove $((X + WIDTH / 2)) $((Y + HEIGHT / 2 + row * 16)) keydown ctrl \
            mousemove_relative 3 1 sleep 0.1 mousemove_relative 3 1 sleep 0.1 click 1 keyup ctrl";
    // A window that does not show its text yet takes no click, and the last row of a link may be short.
    let mut row = 0;
    eventually("the page of the link", START, async || {
        let clicked = stack.exec(&["desktopd", "run", "sh", "-c", click, &row.to_string()]);
        row += 1;
        within(Duration::from_secs(15), async || {
            if server.asked(path) > 0 { Ok(()) } else { Err(format!("{clicked:?}: {}", windows(stack))) }
        })
        .await
    })
    .await;
}

/// No question, no page and no message but the page that a person asked for; nothing is sent; apt does the updates.
fn firefox_has_taken_the_settings_of_the_image(stack: &Stack) {
    let said = python(stack, FIREFOX, "");
    assert_eq!(said.code, Some(0), "{said:?}");
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let shipped = include_str!("../../docker/rootfs/etc/firefox/policies/policies.json");
    let shipped: Value = serde_json::from_str(shipped).expect("policies");
    let expected = json!({
        "active": shipped["policies"],
        "windows": ["chrome://browser/content/browser.xhtml"],
        "tabs": ["about:home"],
        "bars": [],
        "panels": [],
        "upload": "false",
        "usage": "false",
        "default_browser": "false",
        "updates": false,
        "sandbox_warning": false,
    });
    assert_eq!(said, expected);
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

/// The pages that System Monitor shows are ours, and the machine has each of their sensors.
fn the_pages_of_system_monitor_show_what_a_container_has(stack: &Stack) {
    // System Monitor adds the hidden pages to the order when it ends.
    let read = "key() { kreadconfig6 --file systemmonitorrc --group General --key $1; }; hidden=$(key hiddenPages); \
        for page in $(key pageOrder | tr , ' '); do \
            case ,$hidden, in *,$page,*) ;; *) shown=\"$shown $page\" ;; esac; \
        done; \
        echo $shown; echo $hidden; \
        cd /usr/local/share/plasma-systemmonitor && grep -h 'SensorIds=\\|[a-z]Sensors=\\|sortedColumns=' $shown";
    let pages = in_desktop(stack, read);
    let lines: Vec<&str> = pages.stdout.lines().collect();
    let ours = "container-overview.page container-history.page container-processes.page";
    let hidden = "applications.page,history.page,overview.page,processes.page";
    assert_eq!(lines.get(..2), Some(&[ours, hidden][..]), "{pages:?}");
    let files = stack.exec_ok(&["ls", "/usr/share/plasma-systemmonitor"]).replace('\n', ",");
    assert_eq!(files, hidden, "a page that is not hidden");
    let all =
        "qdbus6 --literal org.kde.ksystemstats1 /org/kde/ksystemstats1 org.kde.ksystemstats1.allSensors";
    let all = in_desktop(stack, all).stdout;
    let (mut sensors, mut columns) = (0, 0);
    for line in &lines[2..] {
        let (key, value) = line.split_once('=').expect("a setting");
        if key == "sortedColumns" {
            // Nothing counts what a process sends and receives: that needs a capability.
            assert!(!value.contains("net"), "{line}");
            columns += 1;
            continue;
        }
        for sensor in serde_json::from_str::<Vec<String>>(value).expect("a list") {
            let known = all.split('"').any(|known| match sensor.split_once(".*") {
                Some((from, to)) => known.starts_with(from) && known.ends_with(to),
                None => known == sensor,
            });
            assert!(known && !sensor.starts_with("network/"), "{sensor} in {line}: {all}");
            sensors += 1;
        }
    }
    assert!(sensors > 8 && columns == 2, "{lines:?}");
}
