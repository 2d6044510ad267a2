//! A server in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, bail};

use crate::connection::Connection;
use crate::process::Process;

/// The arguments and the environment of a server.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// The folder of its model.
    pub model_dir: PathBuf,
    /// The folder of its database.
    pub data_dir: PathBuf,
    /// Further arguments.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
}

/// A server that listens. It is killed when it is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    process: Process,
    addr: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// Time for a server to begin to listen.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for any answer, which is more than the server's own limits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

impl Launch {
    /// Returns a launch without anything particular.
    pub fn new(program: PathBuf, model_dir: &Path, data_dir: &Path) -> Self {
        Self {
            program,
            model_dir: model_dir.to_owned(),
            data_dir: data_dir.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Returns the same with a variable in the environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Returns the same with further arguments.
    #[must_use]
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| String::from(*arg)));
        self
    }

    /// Starts the server and waits until it listens, on a port that it chooses.
    ///
    /// # Errors
    ///
    /// Fails when it ends before, with what it logged.
    pub fn start(&self) -> anyhow::Result<ServerProcess> {
        let mut child = self.spawn("127.0.0.1:0", Stdio::piped())?;
        let lines = BufReader::new(child.stderr.take().expect("it was asked for"));
        let log = Arc::new(Mutex::new(String::new()));
        let (told, hears) = std::sync::mpsc::channel();
        let kept = Arc::clone(&log);
        // It is read to its end, since a full pipe would stop the server.
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Some((_, addr)) = line.split_once("listening on http://") {
                    let _ = told.send(addr.trim().parse::<SocketAddr>());
                }
                let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        if let Ok(Ok(addr)) = hears.recv_timeout(START_TIMEOUT) {
            return Ok(ServerProcess { process: Process(child), addr, log });
        }
        let _ = child.kill();
        let status = child.wait().context("cannot wait for the server")?;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        bail!("the server ended with {status} before it listened: {}", log.trim_end())
    }
}

impl Launch {
    /// Starts the server with `log` as its standard error, and waits until it accepts a connection.
    ///
    /// # Errors
    ///
    /// Fails when it ends before.
    pub fn start_with_log(&self, log: Stdio) -> anyhow::Result<ServerProcess> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let addr = free.context("cannot find a free port")?;
        let mut process = Process(self.spawn(&addr.to_string(), log)?);
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if TcpStream::connect(addr).is_ok() {
                return Ok(ServerProcess { process, addr, log: Arc::default() });
            }
            if let Some(status) = process.0.try_wait().context("cannot wait for the server")? {
                bail!("the server ended with {status} before it listened");
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        bail!("the server does not listen")
    }

    fn spawn(&self, addr: &str, log: Stdio) -> anyhow::Result<Child> {
        Command::new(&self.program)
            .args(["--addr", addr, "--require-model", "--model-dir"])
            .arg(&self.model_dir)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run `{}`", self.program.display()))
    }
}

impl ServerProcess {
    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Returns `true` while it runs.
    ///
    /// # Errors
    ///
    /// Fails when the system does not tell.
    pub fn is_running(&self) -> anyhow::Result<bool> {
        let path = format!("/proc/{}/stat", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        // The state follows the name, which is in brackets; a process that has ended is a zombie.
        Ok(!text.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
    }

    /// Returns what it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a new connection.
    ///
    /// # Errors
    ///
    /// Fails when the server does not accept.
    pub fn connect(&self) -> std::io::Result<Connection> {
        Connection::open(self.addr, ANSWER_TIMEOUT)
    }

    /// Ends it as a power cut would, as far as a process can tell.
    ///
    /// # Errors
    ///
    /// Fails when the system does not let it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.0.kill().context("cannot kill the server")?;
        self.process.0.wait().context("cannot wait for the server")?;
        Ok(())
    }

    /// Sends it a signal by its name, such as `TERM`.
    ///
    /// # Errors
    ///
    /// Fails when the system does not let it.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        if sent.context("cannot run kill")?.success() {
            Ok(())
        } else {
            bail!("kill -s {name} failed")
        }
    }

    /// Asks it to stop and waits for it.
    ///
    /// # Errors
    ///
    /// Fails when it does not stop within a minute.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if let Some(status) = self.process.0.try_wait().context("cannot wait for the server")? {
                return Ok(status);
            }
            thread::park_timeout(Duration::from_millis(2));
        }
        bail!("the server does not stop")
    }

    /// Returns the memory that it holds, in KiB.
    ///
    /// # Errors
    ///
    /// Fails where the system does not tell.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.memory_kib("VmRSS:")
    }

    /// Returns the most memory that it has held, in KiB.
    ///
    /// # Errors
    ///
    /// Fails where the system does not tell.
    pub fn peak_resident_kib(&self) -> anyhow::Result<u64> {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, key: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        number.with_context(|| format!("`{path}` does not tell the memory"))
    }
}
