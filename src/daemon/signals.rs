//! The signals that the daemon obeys. SIGPIPE is ignored by Rust's runtime already.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM, SIGINT: end and leave nothing behind.
    Stop,
    /// SIGUSR1: end and leave routes, neighbour entries and node-client addresses for the next instance to adopt.
    Leave,
    /// SIGHUP: read the command file again, compare the kernel's state.
    Reload,
}

/// The signals as they come.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    user1: Stream,
    hangup: Stream,
}

impl Signals {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// Where the kernel refuses a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            // Whoever is to leave everything is told to stop next, for the case that it does not know the first signal.
            biased;
            _ = self.user1.recv() => Signal::Leave,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
