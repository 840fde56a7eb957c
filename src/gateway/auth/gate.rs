//! Lets a few through at once. Of those who wait, the last to come goes first: whoever waits longest has probably sent
//! many, and a person who tries once is not made to wait for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    free: usize,
    /// The last to come stands last. Who has gone meanwhile is found when it is their turn.
    waiting: Vec<oneshot::Sender<Pass>>,
}

/// The right to be inside. Dropping it lets the next one in.
pub(super) struct Pass(Gate);

impl Gate {
    pub(super) fn new(places: usize) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { free: places, waiting: Vec::new() })) }
    }

    pub(super) async fn enter(&self) -> Pass {
        loop {
            let turn = {
                let mut shared = self.lock();
                if shared.free > 0 {
                    shared.free -= 1;
                    return Pass(self.clone());
                }
                let (sender, turn) = oneshot::channel();
                shared.waiting.retain(|waiting| !waiting.is_closed());
                shared.waiting.push(sender);
                turn
            };
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let next = {
            let mut shared = self.0.lock();
            let next = std::iter::from_fn(|| shared.waiting.pop()).find(|waiting| !waiting.is_closed());
            if next.is_none() {
                shared.free += 1;
            }
            next
        };
        // Whoever has gone in this very moment drops what was sent, which lets the next one in.
        if let Some(next) = next {
            drop(next.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_last_to_come_goes_first_and_nobody_is_waited_for_who_has_gone() {
        let gate = Gate::new(2);
        let inside = [gate.enter().await, gate.enter().await];
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(gate.enter())).collect();
        assert!(waiting.iter_mut().all(|enter| enter.now_or_never().is_none()));
        drop(waiting.pop());
        drop(inside);
        let mut passes: Vec<_> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
        assert_eq!(passes.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
        // Given to somebody who never takes it.
        passes.pop();
        drop(waiting.remove(0));
        passes.clear();
        assert_eq!(gate.lock().free, 2);
    }
}
