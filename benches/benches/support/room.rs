//! Whether there is memory for what is to be measured.

use std::fs;

const MIB: usize = 1 << 20;

/// Refuses what there is no memory for: a machine that swaps, or kills, measures nothing.
pub(crate) fn needs(bytes: usize) -> Result<(), String> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    match available {
        Some(kib) if kib < bytes / 1024 => {
            Err(format!("needs {} MiB of memory, and {} are available", bytes / MIB, kib / 1024))
        }
        _ => Ok(()),
    }
}
