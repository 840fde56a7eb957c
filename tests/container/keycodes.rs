//! Characters that the keyboard layout lacks, typed by one program after the other: each character needs a spare
//! keycode, and there are few.

use std::time::Duration;

use crate::poll::{eventually, within};
use crate::stack::Stack;
use crate::wire::{self, Wire};

const SOON: Duration = Duration::from_secs(10);

/// The pause between two keys of a fast typist.
const BETWEEN_KEYS: Duration = Duration::from_millis(20);

/// More different characters than there are spare keycodes.
const TEXTS: [&str; 5] =
    ["çà où l'été naît", "съешь ещё фыву цджб", "ξεσκεπάζω τυφλό", "דג סקרן שט בים", "نص حكيم له قاطع"];

/// Writes the character of each key press on the root window, which gets all keys as long as there is no other window.
/// The program asks the server for each key: what libX11 (and so xev) keeps of the keyboard can lack a change that
/// came while it read an earlier one.
const WATCH: &str = r"
from selkies.Xlib import X, display
server = display.Display(':0')
server.screen().root.change_attributes(event_mask=X.KeyPressMask)
server.sync()
open('/tmp/watching', 'w')
while True:
    event = server.next_event()
    if event.type == X.KeyPress:
        symbol = next(iter(server.get_keyboard_mapping(event.detail, 1)[0]), 0)
        character = chr(symbol if symbol < 0x100 else max(symbol - 0x1000000, 0))
        open('/tmp/typed', 'a').write(character)
";

/// A VNC client: it connects, types and disconnects.
const VNC: &str = r"
import socket, struct, sys, time
server = socket.socket(socket.AF_UNIX)
server.connect('/run/user/1000/vnc.sock')
stream = server.makefile('rb')
stream.read(12); server.send(b'RFB 003.008\n')
stream.read(stream.read(1)[0]); server.send(b'\x01')
stream.read(4); server.send(b'\x01')
stream.read(20); stream.read(struct.unpack('>I', stream.read(4))[0])
for keysym in sys.argv[1:]:
    for down in (1, 0):
        server.send(struct.pack('>BBxxI', 4, down, int(keysym)))
        time.sleep(0.02)
# Wait for an answer before disconnecting: the answer comes after everything that was sent before.
server.send(struct.pack('>BBHHHH', 3, 0, 0, 0, 1, 1)); stream.read(1)
";

/// X's name of a character.
fn keysym(character: char) -> u32 {
    let code = u32::from(character);
    if code < 0x100 { code } else { 0x0100_0000 + code }
}

/// The text typed since the last call, once it is as long as `expected`.
async fn typed(stack: &Stack, expected: &str) -> String {
    let mut last = String::new();
    let enough = within(SOON, async || {
        last = stack.exec_ok(&["cat", "/tmp/typed"]);
        if last.chars().count() >= expected.chars().count() { Ok(()) } else { Err("too little was typed") }
    })
    .await;
    if let Err(why) = enough {
        eprintln!("{why}: {last:?} of {expected:?}");
    }
    stack.exec_ok(&["truncate", "--size=0", "/tmp/typed"]);
    last
}

async fn type_by_vnc(stack: &Stack, text: &str) -> String {
    let keysyms: Vec<String> = text.chars().map(|character| keysym(character).to_string()).collect();
    let program = ["/opt/selkies/bin/python", "-c", VNC];
    let done =
        stack.as_user(&[&program[..], &keysyms.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    typed(stack, text).await
}

async fn type_in_the_page(stack: &Stack, wire: &mut Wire, text: &str) -> String {
    for character in text.chars() {
        for verb in ["kd", "ku"] {
            wire.send(format!("{verb},{}", keysym(character))).await;
            tokio::time::sleep(BETWEEN_KEYS).await;
        }
    }
    typed(stack, text).await
}

#[tokio::test]
async fn every_alphabet_can_be_typed_in_the_browser_and_then_by_vnc() {
    let stack = wire::start_with("kde,fcitx5").await;
    let cookie = wire::cookie(&stack).await;
    let mut wire = Wire::of_a_page(stack.desktop_port(), &cookie).await;
    stack.exec_ok(&["touch", "/tmp/typed"]);
    stack.exec_ok(&["chmod", "666", "/tmp/typed"]);
    stack.exec_ok(&["sh", "-c", "runuser -u user -- /opt/selkies/bin/python -c \"$0\" &", WATCH]);
    eventually("a program that watches the keys", SOON, async || {
        (stack.exec(&["test", "-e", "/tmp/watching"]).code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(type_by_vnc(&stack, "plain").await, "plain");

    for text in TEXTS {
        assert_eq!(type_by_vnc(&stack, text).await, text, "by VNC");
    }
    for text in TEXTS {
        assert_eq!(type_in_the_page(&stack, &mut wire, text).await, text, "in the page");
    }
    for text in TEXTS {
        assert_eq!(type_by_vnc(&stack, text).await, text, "by VNC after the page");
    }
    // The service finds the spare keycodes after a restart of its own, too.
    stack.exec_ok(&["desktopd", "restart", "--only", "x-keys"]);
    assert_eq!(type_by_vnc(&stack, TEXTS[2]).await, TEXTS[2], "by VNC, after a restart");
}
