//! The programs that read a database, as the system knows them.

use std::path::Path;

#[cfg(target_os = "linux")]
use files::beside;

/// Names the programs that read an old state of a database, as far as the system says.
pub(crate) fn describe(database: &Path) -> String {
    let mut names: Vec<String> = readers(database).iter().map(|pid| name(pid)).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { String::from("unknown") } else { names.join(", ") }
}

/// Returns `true` if another program reads an old state of a database, as far as the system says.
pub(crate) fn has_others(database: &Path) -> bool {
    let own = std::process::id().to_string();
    readers(database).iter().any(|pid| *pid != own)
}

/// Returns the numbers of the processes that read a database.
#[cfg(target_os = "linux")]
fn readers(database: &Path) -> Vec<String> {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    /// The bytes of the index of the WAL that readers lock.
    const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

    let Ok(inode) = fs::metadata(beside(database, "-shm")).map(|metadata| metadata.ino()) else {
        return Vec::new();
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let reader = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(4);
        let (pid, file, first) = (fields.next()?, fields.next()?, fields.next()?);
        let is_read_lock = READ_LOCKS.contains(&first.parse().ok()?);
        let is_of_index = file.rsplit(':').next()?.parse() == Ok(inode);
        (is_read_lock && is_of_index).then(|| String::from(pid))
    };
    locks.lines().filter_map(reader).collect()
}

/// Other systems do not say.
#[cfg(not(target_os = "linux"))]
fn readers(_database: &Path) -> Vec<String> {
    Vec::new()
}

/// Returns the name and the number of a process.
fn name(pid: &str) -> String {
    if pid == std::process::id().to_string() {
        return String::from("this server");
    }
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}
