//! A file of a gigabyte goes into the container and out of it, through the gateway, which never holds the whole file in
//! memory.
//!
//! No stream is open meanwhile: beside a stream, Selkies gives a file only the bandwidth that the stream leaves over,
//! judged by the time that its own pings take. On a busy machine that can be less than a megabyte a second, with the
//! gateway or without.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::net;
use crate::stack::Stack;
use crate::wire;

/// Selkies' page splits a file into pieces of this size, and sends each piece in a request.
const PIECE: usize = 64 << 20;
const PIECES: usize = 16;

/// How much more memory the gateway may need, in KiB. A request's buffers are far smaller.
const MORE: u64 = 16 * 1024;

const NAME: &str = "a film.bin";

#[tokio::test]
async fn a_gigabyte_is_uploaded_and_downloaded() {
    let stack = wire::start().await;
    let cookie = wire::cookie(&stack).await;
    let (page, client) = (stack.desktop(), net::patient_client());
    let file = format!("{page}api/files/{}", NAME.replace(' ', "%20"));
    let get = async || {
        let answer = client.get(&file).header("cookie", &cookie).send().await;
        answer.expect("an answer").error_for_status().map_err(|error| error.to_string())
    };
    get().await.expect_err("there is no such file yet");

    let content = noise();
    let mut sum = Sha256::new();
    let before = memory(&stack, "VmRSS");
    // Resets the peak of the daemon's memory.
    stack.exec_ok(&["sh", "-c", "echo 5 > /proc/1/clear_refs"]);
    for piece in 0..PIECES {
        let bytes = numbered(&content, piece);
        sum.update(&bytes);
        let mut request = client
            .post(format!("{page}api/upload"))
            .header("cookie", &cookie)
            .header("origin", page.trim_end_matches('/'))
            .header("content-type", "application/octet-stream")
            .header("x-upload-path", NAME.replace(' ', "%20"))
            .header("x-upload-id", "test")
            .header("x-upload-offset", (piece * PIECE).to_string())
            .header("x-upload-total", (PIECES * PIECE).to_string())
            .body(bytes);
        if piece + 1 == PIECES {
            request = request.header("x-upload-final", "1");
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("piece {piece}: {error}"));
        let status = answer.status();
        assert_eq!(status, 200, "piece {piece}: {}", answer.text().await.unwrap_or_default());
    }
    let path = format!("/home/user/Desktop/{NAME}");
    let sum = sum.finalize();
    assert_eq!(stack.exec_ok(&["stat", "--format=%s %U", &path]), format!("{} user", PIECES * PIECE));
    assert_eq!(stack.exec_ok(&["sha256sum", &path]), format!("{:x}  {path}", Bytes::from_owner(sum)));

    let mut answer = get().await.expect("the file");
    assert_eq!(answer.content_length(), Some((PIECES * PIECE) as u64));
    let mut back = Sha256::new();
    while let Some(bytes) = answer.chunk().await.expect("the whole file") {
        back.update(&bytes);
    }
    assert_eq!(back.finalize(), sum);

    let peak = memory(&stack, "VmHWM");
    assert!(peak < before + MORE, "{before} KiB before, {peak} KiB at most meanwhile");
}

/// The bytes of one piece, which cannot be compressed.
fn noise() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(PIECE);
    while bytes.len() < PIECE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// The piece with this number; no two pieces are alike.
fn numbered(content: &[u8], piece: usize) -> Bytes {
    let mut bytes = content.to_vec();
    bytes[..8].copy_from_slice(&piece.to_le_bytes());
    bytes.into()
}

/// A line of the daemon's `/proc/1/status`, in KiB.
fn memory(stack: &Stack, line: &str) -> u64 {
    let status = stack.exec_ok(&["cat", "/proc/1/status"]);
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    number.unwrap_or_else(|| panic!("{line} in {status}"))
}
