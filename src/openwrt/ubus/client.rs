//! What a client of ubus must be able to do. The life of a connection is written once above it ([`super::life`], [`super::session`]).

use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::{ObjectSpec, Status};

/// One connection to ubusd, owned by one thread. Calls that ask ubusd something wait for its answer; [`Status::ConnectionFailed`] says that
/// the connection is lost, and then every later call says so too.
pub(super) trait Client: Sized {
    /// A call from outside that is not answered yet.
    type Request;

    /// Connects to this socket, or where ubusd usually listens.
    fn connect(socket: Option<&Path>) -> io::Result<Self>;

    /// Puts our object on the bus. Once for each connection.
    fn offer(&mut self, spec: &ObjectSpec) -> Result<(), Status>;

    /// Asks for these events of ubusd. Once for each connection.
    fn listen(&mut self, events: &[&str]) -> Result<(), Status>;

    /// The objects with this path, or this beginning of a path followed by `*`.
    fn lookup(&mut self, pattern: &str) -> Result<Vec<Found>, Status>;

    /// Subscribes to an object. Gives the name of the subscription.
    fn subscribe(&mut self, object: u32) -> Result<u32, Status>;

    /// Ends a subscription.
    fn unsubscribe(&mut self, subscription: u32);

    /// Sends a call; its answer is [`Heard::Reply`] with this key.
    fn call(&mut self, key: u32, object: u32, method: &str, arguments: &[u8]) -> Result<(), Status>;

    /// Forgets a call; its answer is not wanted any more.
    fn abandon(&mut self, key: u32);

    /// Answers a call from outside.
    fn answer(&mut self, request: Self::Request, outcome: Result<&[u8], Status>);

    /// Tells the subscribers of our object.
    fn notify(&mut self, name: &str, data: &[u8]);

    /// Reads what has come and writes what could not be written before, without waiting for more.
    fn work(&mut self);

    /// The next thing that was heard.
    fn heard(&mut self) -> Option<Heard<Self::Request>>;

    /// Whether the connection is lost.
    fn is_lost(&self) -> bool;

    /// What to poll before [`Client::work`].
    fn interest(&self) -> Interest;

    /// Writes what is left, as far as that goes without waiting long, and disconnects.
    fn finish(self);
}

/// What to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    /// The socket to ubusd, always readable.
    pub fd: RawFd,
    /// Whether there is something to write, too.
    pub write: bool,
}

/// An object of another client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub id: u32,
    pub path: String,
}

/// What came in. Data are attributes of a table, unchecked.
#[derive(Debug)]
pub(super) enum Heard<R> {
    /// A method of our object is called.
    Call { request: R, method: usize, arguments: Vec<u8> },
    /// Our object has subscribers, or none any more.
    Subscribed(bool),
    /// The object of a subscription notifies. It is answered already.
    Notification { subscription: u32, name: String, data: Vec<u8> },
    /// The object of a subscription has gone.
    Unsubscribed { subscription: u32 },
    /// An event of ubusd.
    Event { name: String, data: Vec<u8> },
    /// A call of ours is answered.
    Reply { key: u32, outcome: Result<Vec<u8>, Status> },
}
