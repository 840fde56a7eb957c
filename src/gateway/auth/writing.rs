//! The order of changes: the lock that makes them one after the other.

use tokio::sync::Mutex;

/// The lock for writing changes, and the random id of the current session generation.
pub(super) struct Writing {
    pub(super) generation_id: Mutex<[u8; 16]>,
}

impl Writing {
    pub(super) fn new(generation_id: [u8; 16]) -> Self {
        Self { generation_id: Mutex::new(generation_id) }
    }
}
