//! The memory of this machine, as the container that we may be in allows.

use std::fs;

/// Bytes that can still be allocated: what the system calls available, or less where a control group has a limit.
pub fn available_memory() -> Option<u64> {
    let system = meminfo("MemAvailable:");
    let group = limit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
    let old_group = limit("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes");
    [system, group, old_group].into_iter().flatten().min()
}

fn meminfo(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The bytes that a control group leaves; `max` is no limit.
fn limit(limit: &str, used: &str) -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    Some(number(limit)?.saturating_sub(number(used).unwrap_or(0)))
}
