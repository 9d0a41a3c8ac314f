//! State that a stopped run continues from: the bytes that a strategy keeps of itself.

use crate::error::PluginError;

/// The state of a strategy across a stop.
///
/// Work that is done in steps calls [`Host::progress`](crate::Host::progress) after each of them and hands itself over; the host
/// takes [`save`](Self::save) from it, and keeps it together with all of its own that has changed (substitutes, optimisers, places
/// in the text). An [`Adapter`](crate::Adapter) is asked after a step. A run that is taken up again makes a fresh strategy, gives
/// it the bytes by [`restore`](Self::restore), and makes the same call again, which does the steps that are left.
///
/// A strategy that does its work in one piece keeps nothing: `impl Checkpoint for Mine {}`.
///
/// ```
/// use scaleot_plugin_api::{Checkpoint, PluginError};
///
/// /// A sum of so many batches.
/// #[derive(Default)]
/// struct Sum { batches: u64, total: f64 }
/// impl Checkpoint for Sum {
///     fn save(&self) -> Result<Vec<u8>, PluginError> {
///         Ok(serde_json::to_vec(&(self.batches, self.total))?)
///     }
///     fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
///         (self.batches, self.total) = serde_json::from_slice(state)?;
///         Ok(())
///     }
/// }
/// let mut fresh = Sum::default();
/// fresh.restore(&Sum { batches: 3, total: 1.5 }.save()?)?;
/// assert_eq!((fresh.batches, fresh.total), (3, 1.5));
/// # Ok::<(), PluginError>(())
/// ```
pub trait Checkpoint {
    /// The bytes that [`restore`](Self::restore) needs to continue as if never stopped. Default: none.
    ///
    /// # Errors
    /// Any [`PluginError`].
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        Ok(Vec::new())
    }

    /// Takes back what [`save`](Self::save) gave. Default: accepts only nothing.
    ///
    /// # Errors
    /// `Failed` when the bytes are not this strategy's.
    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        if state.is_empty() {
            return Ok(());
        }
        let found = state.len();
        Err(PluginError::failed(format!("this strategy keeps no state, but {found} bytes were to be restored")))
    }
}

/// Work that keeps nothing, for a [`Compressor`](crate::Compressor) that reports its progress inside a layer.
impl Checkpoint for () {}
