//! The programs that read a database, as the system knows them.

use std::path::Path;

#[cfg(target_os = "linux")]
use files::beside;

/// Names the programs that read an old state of a database, as far as the system says.
#[cfg(target_os = "linux")]
pub(crate) fn describe(database: &Path) -> String {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    /// The bytes of the index of the WAL that readers lock.
    const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

    let Ok(inode) = fs::metadata(beside(database, "-shm")).map(|metadata| metadata.ino()) else {
        return String::from("unknown");
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut readers: Vec<String> = locks
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(4);
            let (pid, file, first) = (fields.next()?, fields.next()?, fields.next()?);
            let is_read_lock = READ_LOCKS.contains(&first.parse().ok()?);
            let is_of_index = file.rsplit(':').next()?.parse() == Ok(inode);
            (is_read_lock && is_of_index).then(|| reader(pid))
        })
        .collect();
    readers.sort_unstable();
    readers.dedup();
    if readers.is_empty() { String::from("unknown") } else { readers.join(", ") }
}

/// Returns the name and the number of a process.
#[cfg(target_os = "linux")]
fn reader(pid: &str) -> String {
    if pid == std::process::id().to_string() {
        return String::from("this server");
    }
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}

/// Other systems do not say.
#[cfg(not(target_os = "linux"))]
pub(crate) fn describe(_database: &Path) -> String {
    String::from("unknown")
}
