//! A question that may hang, asked on a thread of its own: the file system of a dead volume, or a file whose answer the
//! kernel gets from a device. The asker never waits for it, and the last answer stays.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::sys::lock;

/// The stack of the thread. Bytes.
const STACK: usize = 128 << 10;

/// A question and its last answer.
pub(super) struct Aside<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

struct State<T> {
    /// Whether a thread is asking now.
    asking: bool,
    last: Option<(T, Instant)>,
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        let state = Mutex::new(State { asking: false, last: None });
        Self(Arc::new(Shared { state, answered: Condvar::new() }))
    }
}

impl<T: Clone + Send + 'static> Aside<T> {
    /// Asks, unless the last question has no answer yet: a question that hangs has one thread, however often it is asked.
    pub(super) fn ask(&self, question: impl FnOnce() -> T + Send + 'static) {
        let mut state = lock(&self.0.state);
        if std::mem::replace(&mut state.asking, true) {
            return;
        }
        drop(state);
        let shared = Arc::clone(&self.0);
        let asked = std::thread::Builder::new().name("aside".into()).stack_size(STACK).spawn(move || {
            let answer = question();
            let mut state = lock(&shared.state);
            (state.asking, state.last) = (false, Some((answer, Instant::now())));
            shared.answered.notify_all();
        });
        if asked.is_err() {
            // No thread can be started now.
            lock(&self.0.state).asking = false;
        }
    }

    /// The last answer and its age. Without an answer so far, waits a moment for the first one.
    pub(super) fn last(&self, now: Instant, moment: Duration) -> Option<(T, Duration)> {
        let mut state = lock(&self.0.state);
        if state.last.is_none() && state.asking {
            let waited = self.0.answered.wait_timeout_while(state, moment, |state| state.asking);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        state.last.clone().map(|(answer, at)| (answer, now.saturating_duration_since(at)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_question_that_hangs_keeps_the_last_answer_and_one_thread() {
        let aside = Aside::default();
        let moment = Duration::from_secs(10);
        assert_eq!(aside.last(Instant::now(), moment), None::<(u32, Duration)>);
        aside.ask(|| 1);
        assert_eq!(aside.last(Instant::now(), moment).unwrap().0, 1);
        let (go, wait) = mpsc::channel::<()>();
        let (tell, begun) = mpsc::channel();
        let hang = move || {
            tell.send(()).unwrap();
            let _ = wait.recv();
            2
        };
        aside.ask(hang);
        begun.recv().unwrap();
        aside.ask(|| 3);
        let later = Instant::now() + Duration::from_secs(60);
        let (answer, age) = aside.last(later, moment).unwrap();
        assert!(answer == 1 && age >= Duration::from_secs(60));
        drop(go);
        while aside.last(Instant::now(), moment).unwrap().0 != 2 {
            std::thread::yield_now();
        }
        aside.ask(|| 4);
        while aside.last(Instant::now(), moment).unwrap().0 != 4 {
            std::thread::yield_now();
        }
    }
}
