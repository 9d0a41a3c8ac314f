//! A fence around library code that may panic on hostile input.
//!
//! `fenced(work)` is `work()`, or the panic's message as an error.
//! The process-wide panic hook is wrapped once so that a fenced panic prints nothing: the caller reports it in its own words.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic inside comes back as its message.
///
/// # Errors
/// The panic's message, when `work` panicked.
pub(crate) fn fenced<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    silence_fenced_panics();
    let before = FENCED.replace(true);
    // What `work` borrows is dropped or replaced by every caller after a panic, so no broken state is seen.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    FENCED.set(before);
    outcome.map_err(|payload| {
        payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "no message".to_owned())
    })
}

fn silence_fenced_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if !FENCED.get() {
                report(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::fenced;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(fenced(|| 3), Ok(3));
        assert_eq!(fenced(|| panic!("no {}", "luck")), Err::<(), _>("no luck".to_owned()));
    }
}
