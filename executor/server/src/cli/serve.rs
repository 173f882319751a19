//! `lictor serve`.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::{
    app::App,
    config::{Config, Flags},
    error::{Error, ErrorKind},
    http::Listeners,
    telemetry,
};

/// How far threads that compute step back. By the smallest step, one that wakes up to answer a request goes first at
/// once: beside endless loops on every processor it waited 11 ms at p99 without and 0.16 ms with. More would starve what
/// computes.
const NICE: i32 = 1;

/// Serve the API until SIGTERM or Ctrl-C.
///
/// Without tokens (see `lictor token`) it is open, and takes only a loopback address. When it is ready, two lines are on standard output: `listening on http://HOST:PORT` and `admin on
/// http://HOST:PORT`. Logs go to standard error. Every flag is also a key of the configuration file and, in capitals
/// after `LICTOR_`, of the environment; flags win over the environment, and that over the file.
#[derive(Args)]
pub(super) struct Serve {
    /// The folder for everything that is kept: registry, contexts, compiled code.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The API's address; port 0 takes a free one [default: 127.0.0.1:10000].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address of /healthz, /readyz, /metrics and /version [default: 127.0.0.1:10001].
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The id of the embedded executor [default: executor-001].
    #[arg(long, value_name = "ID")]
    executor_id: Option<String>,
    /// The database; by default SQLite in the data directory.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A TOML file with any of these settings and more.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The URL under which others reach this server.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The system whose policies this executor runs; by default its own.
    #[arg(long, value_name = "URL")]
    system: Option<String>,
    /// Admit `file://` code under this folder. May be given more than once.
    #[arg(long, value_name = "DIR")]
    allow_file: Vec<PathBuf>,
    /// Admit this private or loopback address for code and for policies' requests. May be given more than once.
    #[arg(long, value_name = "HOST|CIDR")]
    allow_private: Vec<String>,
    /// Let anybody use an address that is not loopback, as long as there are no tokens.
    #[arg(long)]
    allow_anonymous: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput => Self::Usage(error.message().to_owned()),
            _ => Self::Internal(error.chain()),
        }
    }
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let flags = Flags {
            data_dir: self.data_dir,
            listen: self.listen,
            admin: self.admin,
            executor_id: self.executor_id,
            store: self.store,
            public_url: self.public_url,
            system: self.system,
            allow_file: self.allow_file,
            allow_private: self.allow_private,
            allow_anonymous: self.allow_anonymous,
        };
        let config = Config::read(self.config, &flags).map_err(Failure::Usage)?;
        telemetry::init(&config.log, config.log_format).map_err(Failure::Usage)?;
        prepare_process();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(step_back).build();
        let runtime = runtime.map_err(|error| Failure::Internal(format!("no runtime: {error}")))?;
        runtime.block_on(serve(&config))
    }
}

/// What a server wants of its process. Without either it serves all the same.
fn prepare_process() {
    private_files();
    // A heap in huge pages counts in steps of 2 MiB: an idle server took 70 MB with them, and takes 26 MB without.
    nix::sys::prctl::set_thp_disable(true).ok();
    // Each policy that is loaded, each connection and each file of the store is an open file.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, most, most).ok();
    }
}

/// What is made from now on is for its owner only, wherever it is: databases have settings and contexts in them.
pub(super) fn private_files() {
    rustix::process::umask(rustix::fs::Mode::from(0o077));
}

/// Lets the threads that carry connections go before this one, on which whatever takes long is computed.
fn step_back() {
    rustix::process::setpriority_process(None, NICE).ok();
}

async fn serve(config: &Config) -> Result<(), Failure> {
    // Bound before anything else, so that a port that is taken leaves no trace.
    let listeners = Listeners::bind(config).await?;
    let config = &bound(config, &listeners)
        .map_err(|error| Failure::Internal(format!("it cannot be seen which ports were taken: {error}")))?;
    let app = App::build(config).await?;
    let stop = stop_signal().map_err(|error| Failure::Internal(format!("signals cannot be caught: {error}")))?;
    announce(&listeners, config, app.access.is_closed())
        .and_then(|()| app.decisions.speak())
        .map_err(|error| Failure::Internal(format!("standard output cannot be written: {error}")))?;
    let superseded = app.superseded();
    let mut ended = Ok(());
    let stop = async {
        tokio::select! {
            () = stop => {}
            () = superseded => {
                ended = Err(Failure::internal("another process has taken this one's executor id"));
            }
        }
    };
    let served = listeners.serve(app.clone(), stop).await;
    app.stop().await;
    served?;
    ended
}

/// The configuration with the ports that were taken where it asked for free ones.
fn bound(config: &Config, listeners: &Listeners) -> std::io::Result<Config> {
    let (listen, admin) = listeners.addresses()?;
    Ok(Config { listen, admin, ..config.clone() })
}

/// Says that everything is ready: exactly two lines, which a program may wait for.
fn announce(listeners: &Listeners, config: &Config, closed: bool) -> std::io::Result<()> {
    let (main, admin) = listeners.addresses()?;
    let (loopback, scheme) = (main.ip().is_loopback(), if config.tls.is_some() { "https" } else { "http" });
    match (closed, loopback) {
        (true, true) => tracing::info!("every request needs a token"),
        (true, false) if config.tls.is_none() => {
            tracing::warn!(
                "every request needs a token, and who can listen to the network can read it: there is no TLS"
            );
        }
        (true, false) => tracing::info!("every request needs a token"),
        (false, true) => tracing::info!("open to every program on this machine: there are no tokens"),
        (false, false) => tracing::warn!("anybody who reaches {main} may do everything: there are no tokens"),
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {scheme}://{main}")?;
    writeln!(stdout, "admin on http://{admin}")?;
    stdout.flush()
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
