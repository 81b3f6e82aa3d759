//! The unix socket of the C daemon: one request on one line for each connection, one answer, closed.
//!
//! Whoever connects cannot hold up the daemon: connections, line length and time are bounded ([`server`]), and the daemon
//! sees complete commands only ([`Request`]). Names and answers of the C daemon are kept to the byte, so that respondd modules
//! and scripts written for it go on working; where it answered nothing or crashed, there is a line `error: <what is wrong>`.

mod json;
pub mod reply;
mod request;
pub mod server;
pub mod status;

pub use reply::Reply;
pub use server::{Server, SocketError};

use crate::engine::Command;

/// A command that came over the socket, to be carried out by the daemon.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// Where the answer goes. Dropping it tells the client that the daemon ends.
    pub reply: tokio::sync::oneshot::Sender<Reply>,
}

/// The command that a request line asks for, if it is one.
pub fn request_command(line: &[u8]) -> Option<Command> {
    request::parse(line).ok().map(|line| line.command)
}
