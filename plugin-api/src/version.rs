//! The versions that a plugin was built with: of this contract, and of libtorch where it shares the host's.

/// The version of this contract, that of the package `scaleot-plugin-api`: the middle one grows with every addition, the first with every break.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");
pub(crate) const API_MAJOR: u32 = 2;
pub(crate) const API_MINOR: u32 = 0;

/// The mark before the libtorch version in the bytes of a plugin of this tier; a zero byte ends the version.
pub const LIBTORCH_MARK: &str = "scaleot-plugin-libtorch=";

/// [`LIBTORCH_MARK`] and the libtorch minor that the workspace's `tch` fits: its build script takes no other.
#[cfg(feature = "tch")]
static MARK: &str = "scaleot-plugin-libtorch=2.11\0";

/// The version in the mark, read so that the mark stays in the library.
#[cfg(feature = "tch")]
pub(crate) fn built_for() -> Option<String> {
    let mark = std::hint::black_box(MARK).strip_prefix(LIBTORCH_MARK)?;
    Some(mark.trim_end_matches('\0').to_owned())
}

/// None, without the feature `tch`.
#[cfg(not(feature = "tch"))]
pub(crate) const fn built_for() -> Option<String> {
    None
}
