//! Keeps the process small: what libtorch's kernels and the allocator would hold on to is given back.
//!
//! oneDNN keeps up to 1,024 compiled products with their scratch memory, one per shape, and packed batches have many shapes;
//! glibc keeps freed blocks below its threshold (which grows to 32 MiB) in the heap. Measured on scoring HellaSwag with
//! SmolLM2-135M: anonymous memory at its peak 363 MiB as it comes, 262 with the first limit, 233 with the second.

/// Compiled products that oneDNN may keep.
const PRIMITIVES: &str = "64";
/// Blocks from this size on are mapped, and so returned when freed: logits, activations.
const MAPPED_FROM: libc::c_int = 4 << 20;

/// Sets both limits. Call before other threads exist and before the first tensor; a limit in the environment wins.
pub fn limit_memory() {
    const KEY: &str = "ONEDNN_PRIMITIVE_CACHE_CAPACITY";
    if std::env::var_os(KEY).is_none() {
        // SAFETY: the caller is `main` before any work; no other thread reads the environment yet.
        unsafe { std::env::set_var(KEY, PRIMITIVES) };
    }
    // SAFETY: mallopt only sets a number in the allocator; its result tells nothing that could be acted on.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED_FROM);
    }
}
