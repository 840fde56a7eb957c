//! The clipboard: text copied on one side can be pasted on the other, in any script and of any length.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::docker::Done;
use crate::poll::eventually;
use crate::stack::Stack;
use crate::wire::{self, Wire};

const SOON: Duration = Duration::from_secs(15);

/// The largest size of one message of Selkies' page and server.
const CHUNK: usize = 16 * 1024 / 3 * 3;

const COPY: &str = "xclip -selection clipboard -i >/dev/null 2>&1";
const PASTE: &str = "xclip -selection clipboard -o";

#[tokio::test]
async fn text_is_copied_both_ways_in_any_length() {
    let stack = wire::start().await;
    let cookie = wire::cookie(&stack).await;
    let mut wire = Wire::of_a_page(stack.desktop_port(), &cookie).await;
    let short = "Grüße aus Zürich, 日本語, عربى, 🙂: 'a, b' \"c\"\tend";
    let long = (0..5000).map(|n| format!("{n}: {short}\n")).collect::<Vec<_>>().concat();
    assert!(long.len() > 200_000 && long.len() > 10 * CHUNK);

    for text in [short, long.trim_end()] {
        copy_in_the_page(&mut wire, text).await;
        eventually("the page's text inside", SOON, async || {
            let pasted = inside(&stack, PASTE, "");
            if pasted.stdout == text { Ok(()) } else { Err(shortened(&pasted)) }
        })
        .await;
    }
    // Texts that the clipboard does not have already; each is announced once.
    for text in [format!("inside: {short}"), format!("inside: {long}")] {
        let copied = inside(&stack, COPY, &text);
        assert_eq!(copied.code, Some(0), "{}", shortened(&copied));
        assert!(copied_inside(&mut wire).await == text, "a text of {} bytes came as another", text.len());
    }
}

/// Sends a text as the page does: in one message, or in a series.
async fn copy_in_the_page(wire: &mut Wire, text: &str) {
    if text.len() < CHUNK {
        return wire.send(format!("cw,{}", STANDARD.encode(text))).await;
    }
    wire.send(format!("cws,test,{}", text.len())).await;
    for chunk in text.as_bytes().chunks(CHUNK) {
        wire.send(format!("cwd,test,{}", STANDARD.encode(chunk))).await;
    }
    wire.send("cwe,test".to_owned()).await;
}

/// The next clipboard text that the page receives.
async fn copied_inside(wire: &mut Wire) -> String {
    let mut long = None::<(usize, Vec<u8>)>;
    let bytes =
        wire.find("a text that was copied inside", |message| part(wire::text(message)?, &mut long)).await;
    String::from_utf8(bytes).expect("text is UTF-8")
}

/// Reads one clipboard message; the last message of a series gives the text.
fn part(message: &str, long: &mut Option<(usize, Vec<u8>)>) -> Option<Vec<u8>> {
    let (verb, rest) = message.split_once(',').unwrap_or((message, ""));
    let decoded = || STANDARD.decode(rest).expect("base64");
    match verb {
        "clipboard" => return Some(decoded()),
        "clipboard_start" => {
            let size = rest.strip_prefix("text/plain,").and_then(|size| size.parse().ok());
            *long = Some((size.unwrap_or_else(|| panic!("{message}")), Vec::new()));
        }
        "clipboard_data" => long.as_mut().expect("a beginning").1.extend(decoded()),
        "clipboard_finish" => {
            let (size, bytes) = long.take().expect("a beginning");
            assert_eq!(bytes.len(), size, "the announced size");
            return Some(bytes);
        }
        _ => {}
    }
    None
}

/// Runs a command of the desktop's user, at its display.
fn inside(stack: &Stack, command: &str, input: &str) -> Done {
    let command = format!("DISPLAY=:0 {command}");
    stack.exec_with_input(&["runuser", "-u", "user", "--", "sh", "-c", &command], input.as_bytes())
}

/// The beginning of a text, enough to see an error.
fn shortened(done: &Done) -> String {
    let start: String = done.stdout.chars().take(80).collect();
    format!("{:?}, {} bytes: {start:?} {}", done.code, done.stdout.len(), done.stderr)
}
