//! The room that is left on a disk.

use std::path::Path;

/// The bytes that this user may still write to the file system that holds `folder`.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL and outlives the call; `answer` is large enough and only read after success.
    let answer = unsafe {
        if libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) != 0 {
            return None;
        }
        answer.assume_init()
    };
    // The field widths differ by system, so a cast that is the identity here is needed elsewhere.
    #[allow(clippy::unnecessary_cast)]
    Some((answer.f_bavail as u64).saturating_mul(answer.f_frsize as u64))
}
