//! The loop that feeds and drains the engine: wait, read the clock, feed what happened, carry out what the engine orders.
//!
//! Nothing in the loop ends the daemon but a signal. What goes wrong is logged, told to the engine, and repaired by the next
//! comparison of the kernel with [`Engine::desired_state`](crate::engine::Engine::desired_state).

mod ask;
mod bus;
mod clock;
mod command_file;
mod dispatch;
mod failures;
pub mod help;
mod log;
mod networks;
mod notices;
pub mod options;
mod reload;
mod resync;
mod run;
mod seeks;
mod signals;
mod sys;
mod wanted;

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::control::{Server, SocketError};
use crate::engine::{Engine, Input};
use crate::kernel::{Event, Kernel, KernelError, Settings};
use crate::openwrt::netifd::Networks;
use crate::openwrt::object;
use crate::openwrt::ubus::{self, Bus};
use crate::openwrt::uci::NoNetworks;
use bus::BusLink;
use clock::Clock;
pub use log::{level as log_level, one_line};
use networks::{TICKET, WATCHED, learn};
use options::Options;
use run::{Daemon, End};
use signals::{Signal, Signals};

/// Commands of the control socket that wait for the loop.
const MAX_REQUESTS: usize = 64;
/// How long an orderly end may take before the process ends anyway.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the daemon does not start, or does not go on. Its text is one line.
#[derive(Debug, Error)]
pub enum RunError {
    /// The kernel side is lost while running; the log has said why. procd starts another instance, which adopts what is left.
    #[error("the kernel cannot be talked to any more")]
    Broken,
    /// The control socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel does not give what is needed.
    #[error("{0}")]
    Kernel(#[from] KernelError),
    /// A part of the process itself is missing.
    #[error("{operation}: {source}")]
    Process {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Marks the facts of a dump as such.
fn dump(facts: Vec<Input>) -> impl Iterator<Item = Input> {
    [Input::DumpStarted].into_iter().chain(facts).chain([Input::DumpCompleted])
}

/// The connection to ubus. Without one the daemon does its work.
fn start_bus(options: &Options) -> Option<Bus> {
    match ubus::start(object::spec(WATCHED), options.ubus_socket.clone()) {
        Ok(bus) => Some(bus),
        Err(problem) => {
            tracing::warn!(error = %problem, "the object is not offered on ubus");
            None
        }
    }
}

/// How an orderly run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The process is to end.
    Done,
    /// The process is to execute itself again, with the same arguments: everything is left for that. Signals wait until then.
    Again,
}

/// Runs the daemon until a signal, or a new setting, ends it.
///
/// # Errors
/// Where it cannot start (nothing is left behind then) or not go on.
pub async fn run(options: Options) -> Result<Ending, RunError> {
    sys::give_memory_back();
    let settings = &options.settings;
    log::start(wanted::wanted(&options, &NoNetworks).log_level(), settings.log_addresses);
    for problem in &options.problems {
        if problem.is_warning() {
            tracing::warn!(problem = %problem, "configuration");
        } else {
            tracing::error!(problem = %problem, "configuration, the default is used");
        }
    }
    let failed = |operation| move |source| RunError::Process { operation, source };
    let mut signals = Signals::new().map_err(failed("take signals"))?;
    // Whoever executed this process may have let them wait.
    sys::hold_signals(false).map_err(failed("take signals"))?;
    let clock = Clock::new().map_err(failed("read the clock"))?;
    let seed = clock::seed().map_err(failed("read /dev/urandom"))?;
    // First of all: where another instance answers on the socket, its routes must not be touched.
    let server = match &settings.control_socket {
        Some(path) => Some(Server::bind(path).await?),
        None => None,
    };
    let mut kernel = Kernel::open(Settings {
        tun: settings.capture_device.clone(),
        node_address: options.config.node_address,
        node_client_prefix: options.config.node_client_prefix,
        metric: settings.metric,
        drain_metric: settings.drain_metric,
        protocols: settings.protocols,
        sources: options.config.sources,
    })
    .await?;
    let mut bus = BusLink::new(if settings.ubus { start_bus(&options) } else { None });
    let mut networks = Networks::new(TICKET);
    if bus.exists() && settings.names_networks() {
        learn(&mut bus, &mut networks, &clock).await;
    }
    let config = wanted::wanted(&options, &networks).applied_to(&options.config);
    let mut engine = Engine::new(config, seed, clock.now());
    let dumped = kernel.dump().await?;
    for input in dump(dumped).chain(kernel.dump_own().await?).chain([Input::AdoptionCompleted]) {
        engine.handle(clock.now(), input);
    }

    let mut daemon = Daemon::new(engine, kernel, clock, options, bus, networks);
    daemon.start().await;
    let (sender, requests) = mpsc::channel(MAX_REQUESTS);
    let server = server.map(|server| tokio::spawn(server.serve(sender)));
    let mut end = daemon.run(requests, &mut signals).await;
    if end == End::Restart {
        sys::hold_signals(true).map_err(failed("let signals wait"))?;
        // What came before that counts, and nobody else would hear of it.
        match timeout(Duration::from_millis(1), signals.next()).await {
            Ok(Signal::Stop) => end = End::Stop,
            Ok(Signal::Leave) => end = End::Leave,
            Ok(Signal::Reload) | Err(_) => {}
        }
    }
    daemon.log_counters();

    match end {
        End::Stop => {
            tracing::info!("ending, nothing is left behind");
            if timeout(END_TIMEOUT, daemon.shut_down()).await.is_err() {
                tracing::error!("the kernel did not take everything back in time");
            }
        }
        // Said already.
        End::Restart => {}
        End::Leave | End::Broken => {
            tracing::info!("ending, clients' routes are left for the next instance");
        }
    }
    if let Some(server) = server {
        server.abort();
        // Cancelled, as just asked; waiting for it removes the socket's file before the process ends.
        let _ = server.await;
    }
    match end {
        End::Stop | End::Leave => Ok(Ending::Done),
        End::Restart => Ok(Ending::Again),
        End::Broken => Err(RunError::Broken),
    }
}
