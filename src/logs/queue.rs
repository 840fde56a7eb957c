//! A thread that writes lines for others: into the log files, or to the container's output. If a disk or a reader is
//! slow, full or dead, only this thread waits, and a service that prints more than the disk can take; the API never
//! waits.

use std::collections::HashMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::sys::lock;

/// How long the program waits at its end for a slow disk or reader.
const LAST_WORDS: Duration = Duration::from_millis(300);

enum Message {
    /// Whole lines of a log.
    Text(Arc<str>, String),
    /// A request for an answer as soon as all messages before it are written.
    Written(SyncSender<()>),
}

/// A handle to the thread. The default value drops everything.
#[derive(Default)]
pub(super) struct Queue {
    messages: Option<mpsc::Sender<Message>>,
    /// The number of dropped lines of each log.
    lost: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Queue {
    /// Starts the thread, for which up to `backlog` texts may wait. It calls `write` with the name of a log, the text
    /// and the number of lines, if any, that were dropped before the text.
    pub(super) fn new(
        name: &str,
        backlog: usize,
        mut write: impl FnMut(&Arc<str>, String, Option<usize>) + Send + 'static,
    ) -> Self {
        let (sender, mut messages) = mpsc::channel(backlog);
        let lost: Arc<Mutex<HashMap<Arc<str>, usize>>> = Arc::default();
        let missed = Arc::clone(&lost);
        let work = move || {
            while let Some(message) = messages.blocking_recv() {
                match message {
                    Message::Text(log, text) => {
                        let lost = lock(&missed).remove(&log);
                        write(&log, text, lost);
                    }
                    // The caller may have stopped waiting.
                    Message::Written(heard) => drop(heard.try_send(())),
                }
            }
        };
        let started = thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(work);
        Self { messages: started.is_ok().then_some(sender), lost }
    }

    /// Queues lines, and waits while the queue is full.
    pub(super) async fn write(&self, log: &Arc<str>, text: String) {
        if let Some(messages) = &self.messages {
            // The thread ends only with the program.
            let _ = messages.send(Message::Text(Arc::clone(log), text)).await;
        }
    }

    /// Queues lines without waiting. If the queue is full, they are dropped and counted.
    pub(super) fn write_or_drop(&self, log: &Arc<str>, text: String) {
        let Some(messages) = &self.messages else { return };
        let lines = text.lines().count();
        if messages.try_send(Message::Text(Arc::clone(log), text)).is_err() {
            *lock(&self.lost).entry(Arc::clone(log)).or_default() += lines;
        }
    }

    /// Waits a short time until all queued lines are written: the last lines say why the program ended.
    pub(super) fn flush(&self) {
        let (heard, written) = sync_channel(1);
        let asked = self.messages.as_ref().map(|messages| messages.try_send(Message::Written(heard)));
        if let Some(Ok(())) = asked {
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }
}
