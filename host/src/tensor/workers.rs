//! Several pieces of work at once, one per core: for kernels that gain little from more threads, such as factorisations.
//!
//! libtorch is safe to call from any thread; how many threads one operation takes is a number of the whole process, so it
//! is divided among the workers and put back afterwards.

use super::device::{set_threads, threads};
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// Runs `work` on every item, the most expensive first, on as many workers as [`threads`] allows; results in the items' order.
pub fn on_every_core<T: Send, R: Send>(
    items: Vec<T>,
    cost: impl Fn(&T) -> usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = threads().min(items.len());
    if workers < 2 {
        return items.into_iter().map(work).collect();
    }
    let mut queue: Vec<(usize, T)> = items.into_iter().enumerate().collect();
    queue.sort_by_key(|(_, item)| cost(item));
    let queue = Mutex::new(queue);
    let run = || {
        let mut done = Vec::new();
        while let Some((place, item)) = next(&queue) {
            done.push((place, work(item)));
        }
        done
    };
    let _shared = SharedThreads::among(workers);
    let mut done = std::thread::scope(|scope| {
        // The calling thread is a worker too.
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn next<T>(queue: &Mutex<Vec<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// While it lives, an operation takes one worker's share of the threads.
struct SharedThreads {
    before: usize,
}

impl SharedThreads {
    fn among(workers: usize) -> Self {
        let before = threads();
        set_threads(before / workers);
        Self { before }
    }
}

impl Drop for SharedThreads {
    fn drop(&mut self) {
        set_threads(self.before);
    }
}
