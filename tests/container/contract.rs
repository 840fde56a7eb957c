//! The interface for other images and for programs inside the container.

use crate::stack::{self, PASSWORD, Stack};

const GEOMETRY: &[&str] = &["env", "DISPLAY=:0", "xdotool", "getdisplaygeometry"];

#[tokio::test]
async fn programs_inside_find_their_desktop_but_not_the_password() {
    let stack = stack::start().await;
    the_user_is_there(&stack);
    the_display_is_open_to_two(&stack);
    no_process_inside_knows_the_password(&stack);
}

fn the_user_is_there(stack: &Stack) {
    assert_eq!(stack.exec_ok(&["id", "-u", "user"]), "1000");
    let key = stack.exec_ok(&["stat", "--format=%a %U", "/run/user/1000/Xauthority"]);
    assert_eq!(key, "600 user", "the key to the display");
    assert_eq!(stack.exec_ok(&["stat", "--format=%a %U", "/run/user/1000"]), "700 user");
    let status = stack.as_user(&["desktopd", "status"]);
    assert_eq!(status.code, Some(0), "the user may look: {}", status.stderr);
    let stop = stack.as_user(&["desktopd", "stop", "selkies"]);
    assert_eq!(stop.code, Some(1), "a stop is not refused: {}", stop.stderr);
}

/// Neither program needs the key: the server accepts the two users by their user ids.
fn the_display_is_open_to_two(stack: &Stack) {
    let user = stack.as_user(GEOMETRY);
    assert_eq!((user.code, user.stdout.as_str()), (Some(0), "1920 1080"), "user: {}", user.stderr);
    assert_eq!(stack.exec_ok(GEOMETRY), "1920 1080", "root");
    let root = stack.exec_ok(&["bash", "-c", "xdpyinfo -display :0"]);
    assert!(root.contains("dimensions:    1920x1080 pixels"), "{root}");
    // Without a shell, the image's own variable is enough.
    assert_eq!(stack.exec_ok(&GEOMETRY[2..]), "1920 1080", "root, without a shell");
    let stranger = stack.exec(&[&["runuser", "-u", "nobody", "--"], GEOMETRY].concat());
    assert_ne!(stranger.code, Some(0), "another user is refused: {}", stranger.stdout);
    assert!(stranger.stderr.contains("Authorization required"), "why not: {}", stranger.stderr);
}

fn no_process_inside_knows_the_password(stack: &Stack) {
    // The kernel shows a process's environment to the process's own user only, and to root only with more capabilities.
    let script = "for process in /proc/[0-9]*; do
            tr '\\0' '\\n' <$process/environ 2>/dev/null | sed \"s|^|$(cat $process/comm 2>/dev/null) |\"
            tr '\\0' ' ' <$process/cmdline 2>/dev/null
        done";
    // Docker passes the container's own variables to every command that it runs inside, to this command too.
    let seen = stack.as_user(&["env", "--unset=WEB_PASSWORD", "bash", "-c", script]).stdout;
    for name in ["selkies", "startplasma-x11", "plasmashell"] {
        assert!(
            seen.contains(&format!("{name} DISPLAY=:0\n")),
            "the environment of {name} was read:\n{seen}"
        );
    }
    let told = seen.lines().filter(|line| line.contains("WEB_PASSWORD=") || line.contains(PASSWORD));
    assert_eq!(told.collect::<Vec<_>>(), [""; 0], "processes with the password");
}
