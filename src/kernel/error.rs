//! What may go wrong with the kernel: the operation, its object, and the error number.

use std::fmt::Display;
use std::io;

use thiserror::Error;

use crate::net::InterfaceName;

/// An operation that the kernel refused.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The kernel answered with an error.
    #[error("{operation} {object}: {source}")]
    System {
        /// What was tried, in the infinitive: "install route".
        operation: &'static str,
        /// To what.
        object: String,
        /// The error number.
        source: io::Error,
    },
    /// The intercom's port is taken.
    #[error("UDP port {0} is in use: another l3roamd is running")]
    AnotherInstance(u16),
    /// The capture TUN is held by another process.
    #[error("TUN {0} is held by another program: another l3roamd is running, or choose another name")]
    TunBusy(InterfaceName),
    /// A route of somebody else stands where ours should go.
    #[error("install route {0}: a route of another protocol stands there")]
    Occupied(String),
    /// The kernel has no room for another neighbour entry, of any network namespace.
    #[error(
        "install neighbour entry {0}: the neighbour table is full (net.ipv4/ipv6.neigh.default.gc_thresh3)"
    )]
    NeighbourTableFull(String),
}

impl KernelError {
    /// An error of the system.
    pub(super) fn new(operation: &'static str, object: impl Display, source: io::Error) -> Self {
        Self::System { operation, object: object.to_string(), source }
    }
}

/// Makes an `io::Error` say what was tried.
pub(super) trait Context<T> {
    /// Names the operation and its object.
    fn context(self, operation: &'static str, object: impl Display) -> Result<T, KernelError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, object: impl Display) -> Result<T, KernelError> {
        self.map_err(|source| KernelError::new(operation, object, source))
    }
}

/// Whether the error number is one of these.
pub(super) fn is_errno(error: &io::Error, numbers: &[i32]) -> bool {
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}
