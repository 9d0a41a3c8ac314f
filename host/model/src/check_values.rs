//! The check of every weight's values: each is read once, as stored, before anything is computed.

use super::error::{ModelError, Result};
use super::leftovers::is_buffer;
use super::names::Names;
use super::weights::Weights;
use scaleot_store::FiniteScan;

/// Refuses the first tensor with a value that is not finite, or with nothing but zeros where that
/// cannot be: an embedding, a head or the scale of a norm.
pub(super) fn check_values(weights: &Weights, names: &Names) -> Result<()> {
    let tables = [names.embedding(), names.head()];
    // A mask may well hold an infinity.
    for (name, entry, bytes) in weights.all().filter(|(name, ..)| !is_buffer(name)) {
        let (path, tensor) = (weights.file_of(name), name.to_owned());
        let mut scan = FiniteScan::new(entry.dtype);
        scan.take(bytes);
        if let Some((index, found)) = scan.fault() {
            return Err(ModelError::NotFinite { path: path.to_owned(), tensor, index, found });
        }
        let is_scale = entry.shape.len() == 1 && name.ends_with(".weight");
        let must_differ = is_scale || tables.iter().any(|table| table == name);
        if must_differ && !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0) {
            let last = entry.shape.iter().product::<u64>().saturating_sub(1);
            return Err(ModelError::AllZero { path: path.to_owned(), tensor, last });
        }
    }
    Ok(())
}
