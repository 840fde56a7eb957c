//! The thread that writes log files. If a disk is slow, full or dead, only this thread waits, and a service that prints
//! more than the disk can take; the API never waits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::mpsc;

use super::file::RotatedFile;

/// How many batches may wait for the disk before the printing unit has to wait. A batch is at most a few times as large
/// as a read.
const BACKLOG: usize = 64;

enum Message {
    /// Whole lines of a unit.
    Text(Arc<str>, String),
    /// A request for an answer as soon as all messages before it are written.
    Written(SyncSender<()>),
}

/// A unit's file that cannot be written, and why.
pub(super) type Trouble = (Arc<str>, std::io::Error);

/// A handle to the thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Message>>,
    lost: Arc<Mutex<HashMap<Arc<str>, u64>>>,
}

impl Writer {
    /// Starts the thread; without a folder for the files there is no thread. `report` is called once for each file that
    /// cannot be written, and again only after a successful write.
    pub(super) fn new(
        dir: Option<PathBuf>,
        file_size: u64,
        files: u32,
        report: impl Fn(Trouble) + Send + 'static,
    ) -> Self {
        let lost: Arc<Mutex<HashMap<Arc<str>, u64>>> = Arc::default();
        let Some(dir) = dir else { return Self { queue: None, lost } };
        let (queue, mut messages) = mpsc::channel(BACKLOG);
        let missed = Arc::clone(&lost);
        let started =
            thread::Builder::new().name("log files".into()).stack_size(256 * 1024).spawn(move || {
                let mut open: HashMap<Arc<str>, RotatedFile> = HashMap::new();
                while let Some(message) = messages.blocking_recv() {
                    match message {
                        Message::Text(unit, text) => {
                            let lost = missed.lock().unwrap_or_else(PoisonError::into_inner).remove(&unit);
                            let make = || RotatedFile::new(&dir, &unit, file_size, files);
                            let file = open.entry(Arc::clone(&unit)).or_insert_with(make);
                            let text = match lost {
                                Some(lines) => {
                                    format!("({lines} lines are missing here: the disk was too slow)\n{text}")
                                }
                                None => text,
                            };
                            if let Some(error) = file.write(&text) {
                                report((unit, error));
                            }
                        }
                        Message::Written(heard) => {
                            // The caller may have stopped waiting.
                            let _ = heard.try_send(());
                        }
                    }
                }
            });
        Self { queue: started.is_ok().then_some(queue), lost }
    }

    /// Queues lines for the file, and waits while the queue is full.
    pub(super) async fn write(&self, unit: &Arc<str>, text: String) {
        if let Some(queue) = &self.queue {
            // The thread ends only with the program.
            let _ = queue.send(Message::Text(Arc::clone(unit), text)).await;
        }
    }

    /// Queues a line for the file without waiting. If the queue is full, the line is dropped and counted.
    pub(super) fn write_or_drop(&self, unit: &Arc<str>, text: String) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(Message::Text(Arc::clone(unit), text)).is_err() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            *lost.entry(Arc::clone(unit)).or_default() += 1;
        }
    }

    /// Sends to `heard` as soon as all queued lines are written. Returns whether the request could be queued.
    pub(super) fn flush(&self, heard: SyncSender<()>) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(Message::Written(heard)).is_ok())
    }
}
