//! Reads a unit's output line by line, until the last writer has closed the pipe.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::logs::{Logs, Window};

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// Reads `pipe` into `unit`'s log. Ends when no process holds the other end open any more, which may be long after the
/// unit.
pub(super) async fn read(pipe: OwnedFd, unit: &str, logs: &Logs) {
    let pipe = match pipe::Receiver::from_owned_fd(pipe) {
        Ok(pipe) => pipe,
        Err(error) => {
            tracing::warn!("the output of {unit} cannot be read: {error}");
            return;
        }
    };
    let hold = |text: &[u8]| logs.unfinished(text);
    let mut window = Window::default();
    loop {
        let due = window.due();
        let ended = tokio::select! {
            came = pipe.readable() => match came.and_then(|()| read_some(&pipe)) {
                Ok(bytes) if bytes.is_empty() => true,
                Ok(bytes) => {
                    window.feed(&bytes, &hold);
                    false
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => true,
            },
            // A prompt or a progress bar has no newline, but should be seen.
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                for row in window.show(&hold) {
                    let id = logs.show_row(unit, &row.text, row.replaces, row.moves);
                    window.set_id(row.place, id);
                }
                false
            }
        };
        if ended {
            window.finish();
        }
        for rows in window.take() {
            logs.push_all(unit, &rows.text, rows.replaces).await;
        }
        if ended {
            return;
        }
    }
}

/// The bytes that can be read now; empty at the end of the file. The buffer is allocated only for a read: most services
/// print nothing most of the time.
fn read_some(pipe: &pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(READ);
    pipe.try_read_buf(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> Logs {
        use crate::logs::{Console, Limits};
        let limits = Limits { dir: None, file_size: 0, files: 0, ring: 1000 };
        Logs::new(limits, Console::silent())
    }

    #[tokio::test]
    async fn a_changing_row_is_shown_live_and_its_last_state_kept() {
        let logs = logs();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reading = tokio::spawn({
            let logs = logs.clone();
            async move { read(reader.into(), "unit", &logs).await }
        });
        let mut live = logs.follow("unit", 0).1;
        let mut write = |text: &[u8]| std::io::Write::write_all(&mut writer, text).unwrap();
        write(b"done\n10 %\r20 %");
        for (next, expected, open) in [
            (&b""[..], "done", false),
            (b"", "20 %", true),
            (b"\r\xc3", "20 %", true),
            (b"\xa4hm\r", "\u{e4}hm", true),
            (b"30 %\r\n", "30 %", true),
            // No second bar follows: the row has ended.
            (b"last\n", "30 %", false),
            (b"", "last", false),
        ] {
            write(next);
            let shown = live.recv().await.unwrap();
            assert_eq!((&*shown.text, shown.open), (expected, open));
        }
        drop(writer);
        reading.await.unwrap();
        let kept: Vec<_> = logs.tail("unit", 10).iter().map(|line| line.text.to_string()).collect();
        assert_eq!(kept, ["done", "30 %", "last"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_in_two_parts_is_never_shown() {
        let logs = logs();
        logs.hide(["hunter22".to_owned()]);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reading = tokio::spawn({
            let logs = logs.clone();
            async move { read(reader.into(), "unit", &logs).await }
        });
        let mut live = logs.follow("unit", 0).1;
        std::io::Write::write_all(&mut writer, b"password: hunt").unwrap();
        let shown = live.recv().await.unwrap();
        assert_eq!((&*shown.text, shown.open), ("password: ", true));
        std::io::Write::write_all(&mut writer, b"er22!\n").unwrap();
        let shown = live.recv().await.unwrap();
        assert_eq!((&*shown.text, shown.open), ("password: ******!", false));
        drop(writer);
        reading.await.unwrap();
    }
}
