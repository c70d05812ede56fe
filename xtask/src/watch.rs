//! Waiting for a program, with an eye on its memory.

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// Time between two looks at a program's memory.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for a program; the most memory that it had, as Linux keeps it.
pub(crate) fn watch(child: &mut Child) -> anyhow::Result<(ExitStatus, Option<u64>)> {
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_bytes = None;
    loop {
        let text = fs::read_to_string(&status_file).unwrap_or_default();
        peak_bytes = peak_bytes.max(parse_peak(&text));
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak_bytes));
        }
        std::thread::sleep(LOOK);
    }
}

/// The high-water mark of `/proc/<pid>/status`, which is in KiB.
fn parse_peak(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t  20 kB\nVmRSS:\t 10 kB\n";
        assert_eq!(parse_peak(status), Some(20_480));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }
}
