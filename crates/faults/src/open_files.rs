//! Open files, one of which each connection needs.

/// Asks the system for enough open files.
#[cfg(unix)]
pub(crate) fn allow_open_files(n_connections: usize) -> anyhow::Result<()> {
    use anyhow::Context as _;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let wanted = n_connections as u64 + 100;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .context("the system does not allow so many open files")
}

/// Does nothing: there is no such limit.
#[cfg(not(unix))]
pub(crate) fn allow_open_files(_n_connections: usize) -> anyhow::Result<()> {
    Ok(())
}
