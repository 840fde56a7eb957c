//! The last pictures: one is made at a time, and each is kept for a moment, for all clients that ask meanwhile.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::sys::heap;

/// How long a picture is kept.
const KEPT: Duration = Duration::from_secs(2);

/// How long a client waits for the pictures of other clients.
const PATIENCE: Duration = Duration::from_secs(6);

/// How many pictures of different widths are kept.
const MOST: usize = 4;

/// A picture.
struct Taken {
    width: u16,
    at: Instant,
    png: Bytes,
}

impl Taken {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < KEPT
    }
}

/// The pictures that are kept. Locked while one is made.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<Taken>>>);

impl Kept {
    /// The picture of this width: one that is kept, or a new one.
    pub(super) async fn get(
        &self,
        width: u16,
        make: impl Future<Output = Result<Bytes, String>>,
    ) -> Result<Bytes, String> {
        let taken = tokio::time::timeout(PATIENCE, self.0.lock()).await;
        let mut taken =
            taken.map_err(|_| "other pictures are being made; try again in a moment".to_owned())?;
        taken.retain(Taken::is_fresh);
        if let Some(known) = taken.iter().find(|known| known.width == width) {
            return Ok(known.png.clone());
        }
        let png = make.await?;
        let most = taken.len().saturating_sub(MOST - 1);
        taken.drain(..most);
        taken.push(Taken { width, at: Instant::now(), png: png.clone() });
        drop(taken);
        self.forget_later();
        Ok(png)
    }

    /// Frees the memory of pictures that no client asks for any more.
    fn forget_later(&self) {
        let kept = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            let mut taken = kept.lock().await;
            taken.retain(Taken::is_fresh);
            let is_last = taken.is_empty();
            drop(taken);
            if is_last {
                let _ = tokio::task::spawn_blocking(heap::give_back).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Makes pictures, each in 100 ms, and counts them; fails when two are made at the same time.
    #[derive(Default)]
    struct Camera {
        made: AtomicUsize,
        busy: AtomicUsize,
    }

    impl Camera {
        async fn make(&self) -> Result<Bytes, String> {
            assert_eq!(self.busy.fetch_add(1, Ordering::SeqCst), 0, "two at the same time");
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.busy.fetch_sub(1, Ordering::SeqCst);
            let number = self.made.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(number.to_string()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_share_a_picture_until_it_is_old() {
        let (kept, camera) = (Kept::default(), Camera::default());
        let asked = (0..8).map(|_| kept.get(480, camera.make()));
        let all = futures_util::future::join_all(asked).await;
        assert!(all.iter().all(|png| *png == Ok(Bytes::from("0"))), "{all:?}");
        tokio::time::sleep(KEPT.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(kept.get(480, camera.make()).await, Ok(Bytes::from("0")));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(kept.get(480, camera.make()).await, Ok(Bytes::from("1")));
    }

    #[tokio::test(start_paused = true)]
    async fn widths_have_their_own_pictures_made_one_by_one_and_all_are_forgotten() {
        let (kept, camera) = (Kept::default(), Camera::default());
        let asked = (0..6).map(|width| kept.get(width, camera.make()));
        let all = futures_util::future::join_all(asked).await;
        assert_eq!(all.last(), Some(&Ok(Bytes::from("5"))));
        assert_eq!(kept.0.lock().await.len(), MOST);
        tokio::time::sleep(2 * KEPT).await;
        assert_eq!(kept.0.lock().await.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_kept_and_a_client_does_not_wait_for_ever() {
        let (kept, camera) = (Kept::default(), Camera::default());
        let failed = kept.get(1, async { Err("no display".to_owned()) }).await;
        assert_eq!(failed, Err("no display".to_owned()));
        assert!(kept.get(1, camera.make()).await.is_ok());
        let _hanging = kept.0.lock().await;
        let late = kept.get(1, camera.make()).await;
        assert_eq!(late, Err("other pictures are being made; try again in a moment".to_owned()));
    }
}
