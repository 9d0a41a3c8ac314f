//! Seeds of their own for every purpose of a run.

use scaleot_store::Digest;

/// The seed of a purpose: the first eight bytes of SHA-256 over seed and purpose.
pub fn seed_for(seed: u64, purpose: &str) -> u64 {
    let digest = Digest::of(format!("{seed}/{purpose}").as_bytes()).to_string();
    u64::from_str_radix(digest.get(..16).unwrap_or("0"), 16).unwrap_or(seed)
}
