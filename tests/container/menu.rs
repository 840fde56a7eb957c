//! The programs of the menu, by what the image says of itself: which programs it was built with (`APPS`), and on which
//! distribution. Each is started as the menu starts it, and has to show a window.

use std::time::Duration;

use crate::docker::{self, Done};
use crate::poll::eventually;
use crate::stack::Stack;

/// The largest programs take this long where the CPU draws and other tests run.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program by its file in `/usr/share/applications`, the class of its window, and a word of the window's title.
type Entry = (&'static str, &'static str, &'static str);

const MINIMAL: [Entry; 6] = [
    ("org.kde.dolphin", "dolphin", ""),
    ("org.kde.kate", "kate", ""),
    ("org.kde.konsole", "konsole", ""),
    ("org.kde.plasma-systemmonitor", "plasma-systemmonitor", ""),
    ("org.kde.plasma.emojier", "emojier", ""),
    ("systemsettings", "systemsettings", ""),
];

const STANDARD: [Entry; 6] = [
    ("mpv", "mpv", ""),
    ("org.kde.ark", "ark", ""),
    ("org.kde.gwenview", "gwenview", ""),
    ("org.kde.kcalc", "kcalc", ""),
    ("org.kde.okular", "okular", ""),
    ("org.kde.spectacle", "spectacle", ""),
];

const STUDIO: [Entry; 12] = [
    ("blender", "blender", "blender"),
    ("com.obsproject.Studio", "obs", "scenes"),
    ("gimp", "gimp", "image manipulation"),
    ("libreoffice-calc", "soffice", "calc"),
    ("libreoffice-draw", "soffice", "draw"),
    ("libreoffice-impress", "soffice", "impress"),
    ("libreoffice-math", "soffice", "math"),
    ("libreoffice-startcenter", "soffice", "libreoffice"),
    ("libreoffice-writer", "soffice", "writer"),
    ("org.inkscape.Inkscape", "inkscape", "inkscape"),
    // Its first window is a picture while it loads.
    ("org.kde.krita", "krita", "krita"),
    ("vlc", "vlc", "media player"),
];

const FIREFOX: Entry = ("firefox-esr", "firefox", "");

/// Ubuntu has Firefox as a snap alone.
const FALKON: Entry = ("org.kde.falkon", "falkon", "");

/// `APPS` of the image under test.
pub fn apps() -> String {
    let label =
        docker::image_config(".Config.Labels")["desktopd.apps"].as_str().unwrap_or_default().to_owned();
    let known = ["minimal", "standard", "studio", "dev"].contains(&label.as_str());
    assert!(known, "the image's label desktopd.apps is {label:?}: build it with this Dockerfile");
    label
}

fn is_ubuntu(stack: &Stack) -> bool {
    stack.exec_ok(&["cat", "/etc/os-release"]).contains("ID=ubuntu")
}

/// The class of the browser's windows.
pub fn browser(stack: &Stack) -> &'static str {
    if is_ubuntu(stack) { FALKON.1 } else { FIREFOX.1 }
}

/// What the menu has to have, in the order of the names.
fn expected(stack: &Stack) -> Vec<Entry> {
    let apps = apps();
    let mut menu = MINIMAL.to_vec();
    if apps != "minimal" {
        menu.extend(STANDARD);
        menu.push(if is_ubuntu(stack) { FALKON } else { FIREFOX });
    }
    if apps == "studio" {
        menu.extend(STUDIO);
    }
    menu.sort_unstable();
    menu
}

/// Runs a script as a program of the desktop. What it starts in the background must not hold its output.
pub fn in_desktop(stack: &Stack, script: &str) -> Done {
    stack.exec(&["desktopd", "run", "sh", "-c", script])
}

/// A window of a program, not of the desktop itself.
#[derive(Clone, Debug)]
pub struct Window {
    id: String,
    /// Both parts of its class, and its title, in small letters.
    pub class: String,
    pub title: String,
}

/// The windows on the screen, the lowest first. By `xprop`, which every image has.
pub fn windows(stack: &Stack) -> Vec<Window> {
    // A window that is closed meanwhile has no properties.
    let script = "for id in $(xprop -root _NET_CLIENT_LIST_STACKING | grep -o '0x[0-9a-f]*'); do \
            echo \"$id $(xprop -id $id -notype WM_CLASS _NET_WM_NAME 2>/dev/null | tr '\\n' ' ')\"; \
        done";
    let done = in_desktop(stack, script);
    assert_eq!(done.code, Some(0), "{done:?}");
    let windows = done.stdout.lines().filter_map(|line| {
        let line = line.to_lowercase();
        let (id, rest) = line.split_once(" wm_class = ")?;
        let (class, title) = rest.split_once("_net_wm_name = ").unwrap_or((rest, ""));
        let [id, class, title] = [id, class, title].map(|part| part.trim().to_owned());
        Some(Window { id, class, title })
    });
    windows.filter(|window| !window.class.contains("plasmashell")).collect()
}

/// Waits for a window of this class with this word in its title. No window of another program may be there: it would be
/// a message that something failed.
pub async fn seen(stack: &Stack, class: &str, title: &str) {
    eventually(&format!("a window of {class} with {title:?}"), PATIENCE, async || {
        let windows = windows(stack);
        let found = windows.iter().any(|window| window.class.contains(class) && window.title.contains(title));
        if found { Ok(()) } else { Err(format!("{windows:?}")) }
    })
    .await;
    let others: Vec<Window> =
        windows(stack).into_iter().filter(|window| !window.class.contains(class)).collect();
    assert!(others.is_empty(), "there is more than {class}: {others:?}");
}

/// Ends the programs of all windows, by SIGTERM: to be closed, some ask what to do with a file that was not saved.
pub async fn end_all(stack: &Stack) {
    eventually("the end of all windows", PATIENCE, async || {
        let windows = windows(stack);
        if windows.is_empty() {
            return Ok(());
        }
        for window in &windows {
            in_desktop(stack, &format!("kill $(xdotool getwindowpid {})", window.id));
        }
        Err(format!("{windows:?}"))
    })
    .await;
}

pub async fn every_program_of_the_menu_starts(stack: &Stack) {
    // What Plasma's menu shows: not hidden, not for other desktops, with its program.
    let list = "cd /usr/share/applications; for file in *.desktop; do \
            own=/usr/local/share/applications/$file; [ -e $own ] || own=$file; \
            grep -Eq '^(NoDisplay|Hidden) *= *true|^OnlyShowIn=(GNOME|LXQt|XFCE)|^NotShowIn=.*KDE' $own || echo ${file%.desktop}; \
        done";
    let listed = stack.exec_ok(&["sh", "-c", list]);
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let menu = expected(stack);
    assert_eq!(listed, menu.iter().map(|entry| entry.0).collect::<Vec<_>>(), "the programs of the menu");
    for (file, class, title) in menu {
        eprintln!("{file}");
        let kioclient = "$(command -v kioclient || command -v kioclient5)";
        let start = format!("{kioclient} exec /usr/share/applications/{file}.desktop >/dev/null 2>&1 &");
        in_desktop(stack, &start);
        seen(stack, class, title).await;
        end_all(stack).await;
    }
}
