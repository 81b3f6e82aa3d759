//! The engine decides. It performs no I/O, reads no clock and draws no randomness of its own.

pub mod client;
pub mod command;
pub mod config;
pub mod input;
pub mod output;

use crate::time::Timestamp;
pub use command::Command;
pub use config::Config;
pub use input::Input;
pub use output::{Action, DesiredState, Notice, Output};

/// The decisions of one node. See [`Engine::handle`] and [`Engine::poll`].
#[derive(Debug)]
pub struct Engine {
    config: Config,
}

impl Engine {
    /// An engine that knows nothing yet but its configuration. `seed` feeds its only random generator.
    pub fn new(config: Config, _seed: u64, _now: Timestamp) -> Self {
        Self { config }
    }

    /// Takes in one fact. Does not fail: what is bad is counted and dropped. Time never goes back: an earlier `now` than the last
    /// one counts as the last one.
    pub fn handle(&mut self, _now: Timestamp, _input: Input) {}

    /// Carries out a command that changes something (the four that ask are answered by the read-only accessors).
    ///
    /// # Errors
    /// Where the command makes no sense now (a client that is not known, an interface attached in both roles): nothing is changed.
    pub fn command(&mut self, _now: Timestamp, _command: &Command) -> Result<(), CommandError> {
        Ok(())
    }

    /// The next output, in order; `None` where there is none now.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// When [`Input::Timeout`] is wanted, and why. Changes after every `handle` and `command`.
    pub fn poll_timeout(&self) -> Option<(Timestamp, &'static str)> {
        None
    }

    /// Everything that should stand in the kernel now.
    pub fn desired_state(&self) -> DesiredState {
        DesiredState::default()
    }

    /// What an orderly end has to undo: ask with [`Engine::desired_state`] after it; the queue holds the actions.
    pub fn shut_down(&mut self, _now: Timestamp) {}

    /// The configuration as it stands now, changes at run time included.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Why a command was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The client is not served here.
    #[error("client {0} is not known here")]
    UnknownClient(crate::net::Mac),
    /// The client does not have the address.
    #[error("address {0} is not known here")]
    UnknownAddress(std::net::IpAddr),
    /// The address lies in no client prefix.
    #[error("address {0} is in no client prefix")]
    OutsidePrefixes(std::net::IpAddr),
    /// The prefix is not served.
    #[error("prefix {0} is not among the client prefixes")]
    UnknownPrefix(crate::net::Prefix),
    /// The interface is not attached in that role.
    #[error("interface {0} is not attached")]
    UnknownInterface(crate::net::InterfaceName),
    /// The interface is attached in the other role already.
    #[error("interface {0} is attached as {1} interface already")]
    OtherRole(crate::net::InterfaceName, &'static str),
    /// No client interface exists at the moment.
    #[error("no client interface is usable")]
    NoClientInterface,
    /// A bound was reached.
    #[error("limit {0} is reached")]
    Limit(&'static str),
}
