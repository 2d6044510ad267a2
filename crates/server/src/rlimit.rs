//! The limits that the operating system sets the process.

/// Asks the system for enough open files, and tells when it does not grant them.
#[cfg(unix)]
pub(crate) fn allow_open_files(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Files beside connections: the database, models, the system's own.
    const OTHERS: u64 = 128;

    let wanted = connections_max as u64 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let granted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(granted), maximum });
    if raised.is_err() || granted < wanted {
        tracing::warn!(
            wanted,
            granted,
            "the system allows too few open files for --connections-max; raise the limit (ulimit -n) or lower --connections-max"
        );
    }
}

/// Does nothing: there is no such limit.
#[cfg(not(unix))]
pub(crate) fn allow_open_files(_connections_max: usize) {}

/// Makes a write beyond the largest file that is allowed an error, and not the end of the process.
#[cfg(unix)]
pub(crate) fn survive_file_size_limit() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    // The handler stays when its receiver is gone.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Does nothing: there is no such signal.
#[cfg(not(unix))]
pub(crate) fn survive_file_size_limit() -> std::io::Result<()> {
    Ok(())
}
