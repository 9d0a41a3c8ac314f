//! Several pieces of work at once, one per core: for kernels that gain little from more threads, such as factorisations.
//!
//! libtorch is safe to call from any thread. How many threads one operation takes is divided among the workers and put back
//! afterwards. Each worker must be told: OpenMP and MKL keep the number per thread, and a new thread begins with the environment's.

use super::device::{set_threads, threads};
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

/// Runs `work` on every item, the most expensive first, on as many workers as [`threads`] allows; results in the items' order.
pub(crate) fn on_every_core<T: Send, R: Send>(
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
    let shared = SharedThreads::among(workers);
    let helper = || {
        set_threads(shared.each);
        run()
    };
    let mut done = std::thread::scope(|scope| {
        // The calling thread is a worker too.
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(helper)).collect();
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
    each: usize,
}

impl SharedThreads {
    fn among(workers: usize) -> Self {
        let before = threads();
        let each = before / workers;
        set_threads(each);
        Self { before, each }
    }
}

impl Drop for SharedThreads {
    fn drop(&mut self) {
        set_threads(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_every_worker_has_its_share_of_the_threads() {
        let before = threads();
        set_threads(5);
        // Two items for two workers: neither ends before the other has begun.
        let both = std::sync::Barrier::new(2);
        let done = on_every_core(
            vec![1, 2],
            |&item| item,
            |item| {
                both.wait();
                (item, threads(), std::thread::current().id())
            },
        );
        assert_eq!(threads(), 5);
        set_threads(before);
        assert_eq!([(done[0].0, done[0].1), (done[1].0, done[1].1)], [(1, 2), (2, 2)]);
        assert_ne!(done[0].2, done[1].2);
        assert_eq!(on_every_core(Vec::<i32>::new(), |_| 0, |item| item), Vec::<i32>::new());
    }
}
