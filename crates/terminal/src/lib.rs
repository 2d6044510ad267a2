//! The programs' interface to people: errors, colours, progress, completions and manual pages.
//!
//! A program is [`main`] with what it does. What it prints goes through [`stdout()`], which leaves
//! out the colours where they cannot be seen: in files, in pipes, and where `NO_COLOR` says so. So
//! code may use a [`style`](mod@style) everywhere.
//!
//! It decides nothing, and reads no configuration but that of the terminal.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use anyhow::Context as _;
use clap::{Command, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use indicatif::{ProgressBar, ProgressStyle};

/// The style of words that people should not overlook.
pub mod style {
    use anstyle::{AnsiColor, Style};

    /// Something has failed.
    pub const ERROR: Style = AnsiColor::Red.on_default().bold();
    /// Somebody should know.
    pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    /// An event is an anomaly.
    pub const ANOMALY: Style = AnsiColor::Red.on_default().bold();
    /// A title.
    pub const TITLE: Style = Style::new().bold();
    /// The style of words that need not be read.
    pub const QUIET: Style = Style::new().dimmed();
}

// What every program does for shells and manuals, beside its work. A doc comment would become the
// purpose of the program.
#[derive(Debug, Clone, Subcommand)]
enum ShellCommand {
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page, such as for `man -l -`
    Man,
}

/// The format of a program's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line, for programs
    Json,
}

/// Returns a program: reads its arguments, does its work, and ends with 0 when it is done, with 1 when it
/// failed, and with 2 when it was asked wrongly.
pub fn main<Args: Parser>(run: impl FnOnce(Args) -> anyhow::Result<()>) -> ExitCode {
    main_with_log(|_| LogFormat::Text, run)
}

/// Returns the same for a program whose arguments say how it tells what happens.
pub fn main_with_log<Args: Parser>(
    log_format: impl FnOnce(&Args) -> LogFormat,
    run: impl FnOnce(Args) -> anyhow::Result<()>,
) -> ExitCode {
    let command = with_shell_commands(Args::command());
    let matches = command.clone().get_matches();
    if let Ok(shell) = ShellCommand::from_arg_matches(&matches) {
        return exit_code(shell.write(command, &mut io::stdout()), LogFormat::Text);
    }
    match Args::from_arg_matches(&matches) {
        Ok(args) => {
            let log_format = log_format(&args);
            exit_code(run(args), log_format)
        }
        Err(error) => exit_code(Err(error.into()), LogFormat::Text),
    }
}

fn with_shell_commands(command: Command) -> Command {
    ShellCommand::augment_subcommands(command)
        .subcommand_required(false)
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
}

impl ShellCommand {
    fn write(&self, mut command: Command, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = String::from(command.get_name());
        let mut text = Vec::new();
        match self {
            Self::Completions { shell } => {
                clap_complete::generate(*shell, &mut command, name, &mut text);
            }
            Self::Man => clap_mangen::Man::new(command).render(&mut text)?,
        }
        out.write_all(&text).context("cannot write to standard output")
    }
}

/// Returns standard output, which leaves out colours where they cannot be seen.
pub fn stdout() -> AutoStream<io::Stdout> {
    AutoStream::auto(io::stdout())
}

/// Returns `true` if colours can be seen there.
pub fn is_colourful(stream: &impl anstream::stream::RawStream) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Returns `true` if standard output and standard error are a terminal where lines can be redrawn.
pub fn has_screen() -> bool {
    io::stdout().is_terminal()
        && io::stderr().is_terminal()
        && (cfg!(windows) || anstyle_query::term_supports_color())
}

/// Tells what failed, if anything did.
fn exit_code(result: anyhow::Result<()>, log_format: LogFormat) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads no more has what they wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this cannot be written, the code says enough.
            let _ = write_error(&error, log_format, &mut AutoStream::auto(io::stderr()));
            ExitCode::FAILURE
        }
    }
}

fn write_error(
    error: &anyhow::Error,
    log_format: LogFormat,
    out: &mut dyn Write,
) -> io::Result<()> {
    let red = style::ERROR;
    match log_format {
        LogFormat::Text => writeln!(out, "{red}error:{red:#} {error:#}"),
        LogFormat::Json => {
            let line = serde_json::json!({"level": "ERROR", "message": format!("{error:#}")});
            writeln!(out, "{line}")
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.root_cause().downcast_ref().is_some_and(is_pipe)
}

/// Returns a spinner on standard error for work whose end is not known: what is done, how many of what, how
/// fast.
pub fn spinner(things: &'static str) -> ProgressBar {
    let template = format!("{{spinner}} {{msg}} {{human_pos}} {things}, {{per_sec}}, {{elapsed}}");
    let style = ProgressStyle::with_template(&template).expect("the template names known fields");
    let progress = ProgressBar::no_length().with_style(style);
    progress.enable_steady_tick(std::time::Duration::from_millis(100));
    progress
}

/// Returns the same without a count, for the next part of the work.
pub fn spinner_without_count() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the fields are known")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    /// Tries things out.
    #[derive(Debug, Parser)]
    #[command(name = "tryout", version)]
    struct Args {
        /// The level of the message
        #[arg(long)]
        loudness: u32,
    }

    fn printed(shell: &ShellCommand) -> String {
        let mut out = Vec::new();
        shell.write(with_shell_commands(Args::command()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn completions_and_manual_know_the_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = printed(&ShellCommand::Completions { shell });
            assert!(text.contains("tryout") && text.contains("loudness"), "{shell}: {text}");
        }
        let manual = printed(&ShellCommand::Man);
        assert!(manual.contains("tryout \\- Tries things out"), "{manual}");
        let help = with_shell_commands(Args::command()).render_long_help().to_string();
        assert!(help.starts_with("Tries things out"), "{help}");
        assert!(
            manual.contains(".TH tryout") && manual.contains("The level of the message"),
            "{manual}"
        );
    }

    #[test]
    fn shells_are_served_without_what_the_work_needs() {
        let command = with_shell_commands(Args::command());
        assert!(command.clone().try_get_matches_from(["tryout", "completions", "fish"]).is_ok());
        assert!(command.clone().try_get_matches_from(["tryout"]).is_err());
        let matches = command.try_get_matches_from(["tryout", "--loudness", "3"]).unwrap();
        assert!(ShellCommand::from_arg_matches(&matches).is_err());
        assert_eq!(Args::from_arg_matches(&matches).unwrap().loudness, 3);
    }

    #[test]
    fn an_error_is_printed_with_all_its_causes() {
        let error = anyhow::anyhow!("no such file").context("cannot read `x`");
        let mut out = anstream::StripStream::new(Vec::new());
        write_error(&error, LogFormat::Text, &mut out).unwrap();
        write_error(&error, LogFormat::Json, &mut out).unwrap();
        let written = String::from_utf8(out.into_inner()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        let message = "cannot read `x`: no such file";
        assert_eq!(lines[0], format!("error: {message}"));
        let json: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((&json["level"], &json["message"]), (&"ERROR".into(), &message.into()));
    }
}
