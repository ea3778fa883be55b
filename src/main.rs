//! Options to a configuration, the configuration to a running server, its end to an exit code.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use ringcached::auth::UserSource;
use ringcached::config::{self, Config, Machine, Request, TlsOptions};
use ringcached::control::signals::{Signals, Stop, request_read_again, request_stop};
use ringcached::control::users::UserFile;
use ringcached::control::{certificates, log};
use ringcached::protocol::ShutdownMode;
use ringcached::server::startup::{self, StartError, Started};
use ringcached::server::tls::TlsContexts;
use ringcached::server::{self, Hooks, Server};

/// The command line or the machine forbids to start.
const EXIT_START: u8 = 2;

/// What clients may ask of the process.
const HOOKS: Hooks = Hooks {
    stop: |mode| {
        request_stop(match mode {
            ShutdownMode::Normal => Stop::Interrupt,
            ShutdownMode::Graceful => Stop::Graceful,
        });
    },
    set_verbosity: log::set_verbosity,
    refresh: request_read_again,
};

fn main() -> ExitCode {
    match config::parse(std::env::args_os(), &Machine::here()) {
        Ok(Request::Run(config)) => run(*config).map_or_else(|error| refuse(&*error), |()| ExitCode::SUCCESS),
        Ok(Request::Print(page)) => {
            // Whoever closed the pipe has seen enough.
            let _ = std::io::stdout().write_all(page.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

/// `SIGHUP`: reads again what may have changed.
fn reload(users: Option<&UserFile>) {
    match users.map(UserFile::reload) {
        None => tracing::info!("SIGHUP: nothing to read again"),
        Some(Ok(())) => tracing::info!("SIGHUP: the password file is read again"),
        Some(Err(error)) => tracing::error!("SIGHUP: the users stay as they were: {error}"),
    }
}

fn refuse(error: &dyn Error) -> ExitCode {
    // Not eprintln, which panics where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::from(EXIT_START)
}

fn run(mut config: Config) -> Result<(), Box<dyn Error>> {
    let signals = Signals::block()?;
    let tls = config.tls.as_ref().map(certificates::load).transpose().map_err(StartError::new)?;
    let users = config.password_file.clone().map(UserFile::open).transpose()?.map(Arc::new);
    let mut started = startup::start(&mut config)?;
    log::start(config.verbosity.into());
    for notice in &config.notices {
        tracing::info!("{notice}");
    }
    let source = users.clone().map(|users| users as Arc<dyn UserSource>);
    let mut server = Server::start(&config, std::mem::take(&mut started.doors), source, tls, HOOKS)?;
    announce(&config, &started);
    let stop = signals.wait(|| {
        if let Some(options) = &config.tls {
            server.refreshed(read_certificates(options));
        }
        if users.is_some() || config.tls.is_none() {
            reload(users.as_deref());
        }
    })?;
    tracing::info!("stopping: {stop:?}");
    signals.end_at_once()?;
    server.stop()?;
    drop(started);
    Ok(())
}

/// Reads the files of TLS again. If one is not good, the former ones stay.
fn read_certificates(options: &TlsOptions) -> Result<TlsContexts, String> {
    let contexts = certificates::load(options);
    match &contexts {
        Ok(_) => tracing::info!("the certificate has been read again"),
        Err(why) => tracing::error!("the former certificate stays: {why}"),
    }
    contexts
}

/// Says on standard output where the server listens, on which cores and with how much memory.
fn announce(config: &Config, started: &Started) {
    let cores = config.cores.len();
    let plural = if cores == 1 { "core" } else { "cores" };
    let cpus: Vec<String> = config.cores.iter().filter_map(|core| core.cpu).map(|cpu| cpu.to_string()).collect();
    let placement = if cpus.is_empty() { "unpinned".to_owned() } else { format!("CPU {}", cpus.join(",")) };
    let memory = config.memory_limit >> 20;
    let mut out = std::io::stdout().lock();
    for address in &started.bound {
        // Whoever closed the pipe does not want to know.
        let _ = writeln!(
            out,
            "ringcached {} listens on {address}: {cores} {plural} ({placement}), {memory} MiB",
            server::VERSION
        );
    }
}
