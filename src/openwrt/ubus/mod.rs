//! ubus: what the daemon says there and hears from there, whichever client carries it.
//!
//! ```text
//!  daemon (loop) --Order--> bounded channel --> thread of the bus client --> ubusd
//!                <--Event-- bounded channel <--
//! ```
//! The client runs on a thread of its own, for libubus waits without any time limit. The loop never waits for that thread: an order that
//! finds the channel full, by number or by weight, is counted and lost. What the object is called and what it offers is an [`ObjectSpec`]; what a method means is none of the client's business.

mod bus;

#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod blobmsg;
#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod client;
#[cfg(feature = "embedded-ubus")]
mod embedded;
#[cfg(feature = "libubus")]
mod libubus;
#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod life;
#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod outbox;
#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod session;
#[cfg(any(feature = "embedded-ubus", feature = "libubus"))]
mod sys;

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

pub use bus::{Bus, Orders, Wake, Waker};

/// Who carries orders and events between the daemon and ubusd.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// libubus (feature `libubus`). It knows no threads: one at a time in a process.
    #[cfg(feature = "libubus")]
    Libubus,
    /// Our own client on the protocol library ubus-zero (feature `embedded-ubus`), for systems without libubus.
    #[cfg(feature = "embedded-ubus")]
    Embedded,
}

impl Carrier {
    /// All that this build has, the best first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "libubus")]
        Self::Libubus,
        #[cfg(feature = "embedded-ubus")]
        Self::Embedded,
    ];
}

/// Offers an object on the bus of this socket, or where ubusd usually listens, and follows others. Connects and reconnects on a thread of
/// its own as long as the [`Bus`] lives; no ubusd is no error. To be called when the handlers of SIGINT, SIGTERM, SIGCHLD and SIGPIPE
/// stand: libubus replaces default ones for a moment, and one installed in that moment would be lost.
///
/// # Errors
/// Where this build has no client, or the system no thread or descriptor left.
pub fn start(spec: ObjectSpec, socket: Option<PathBuf>) -> io::Result<Bus> {
    match Carrier::ALL {
        [best, ..] => start_with(*best, spec, socket),
        [] => Err(io::Error::new(io::ErrorKind::Unsupported, "built without a ubus client")),
    }
}

/// As [`start`], with a certain client.
///
/// # Errors
/// Where the system has no thread or descriptor left.
#[cfg_attr(
    not(any(feature = "embedded-ubus", feature = "libubus")),
    expect(unused_variables, reason = "no carrier, no call")
)]
pub fn start_with(carrier: Carrier, spec: ObjectSpec, socket: Option<PathBuf>) -> io::Result<Bus> {
    match carrier {
        #[cfg(feature = "libubus")]
        Carrier::Libubus => life::spawn::<libubus::Libubus>(spec, socket),
        #[cfg(feature = "embedded-ubus")]
        Carrier::Embedded => life::spawn::<embedded::Embedded>(spec, socket),
    }
}

/// A table of blobmsg: a JSON object. Integers of every width are numbers, INT8 is a boolean.
pub type Table = Map<String, Value>;

/// Why a call is refused or failed, as ubus numbers it (`enum ubus_msg_status`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// A command that the object does not have (1).
    InvalidCommand,
    /// An argument is missing, of the wrong type or out of range (2).
    InvalidArgument,
    /// The object has no such method (3).
    MethodNotFound,
    /// What was asked for is not known (4).
    NotFound,
    /// There is nothing to tell (5).
    NoData,
    /// The caller may not do this (6).
    PermissionDenied,
    /// No answer came in time (7).
    Timeout,
    /// Not possible here (8).
    NotSupported,
    /// Anything else (9).
    UnknownError,
    /// The connection is lost (10).
    ConnectionFailed,
    /// A number that this version does not know.
    Unknown(u32),
}

impl Status {
    /// The status with this number; `None` for 0, which is success.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::InvalidCommand,
            2 => Self::InvalidArgument,
            3 => Self::MethodNotFound,
            4 => Self::NotFound,
            5 => Self::NoData,
            6 => Self::PermissionDenied,
            7 => Self::Timeout,
            8 => Self::NotSupported,
            9 => Self::UnknownError,
            10 => Self::ConnectionFailed,
            other => Self::Unknown(other),
        })
    }

    /// The number on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::InvalidCommand => 1,
            Self::InvalidArgument => 2,
            Self::MethodNotFound => 3,
            Self::NotFound => 4,
            Self::NoData => 5,
            Self::PermissionDenied => 6,
            Self::Timeout => 7,
            Self::NotSupported => 8,
            Self::UnknownError => 9,
            Self::ConnectionFailed => 10,
            Self::Unknown(code) => code,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InvalidCommand => "invalid command",
            Self::InvalidArgument => "invalid argument",
            Self::MethodNotFound => "method not found",
            Self::NotFound => "not found",
            Self::NoData => "no data",
            Self::PermissionDenied => "permission denied",
            Self::Timeout => "timeout",
            Self::NotSupported => "not supported",
            Self::UnknownError => "unknown error",
            Self::ConnectionFailed => "connection failed",
            Self::Unknown(code) => return write!(formatter, "status {code}"),
        })
    }
}

/// The type of an argument, as the object advertises it. Nobody but the method itself checks it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentType {
    /// A text.
    String,
    /// An integer of 32 bits. JSON that does not fit arrives with 64.
    Integer,
    /// A truth value.
    Boolean,
    /// A list.
    Array,
    /// A table.
    Table,
}

/// A method as it is advertised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MethodSpec {
    /// Its name.
    pub name: &'static str,
    /// Its arguments by name.
    pub arguments: &'static [(&'static str, ArgumentType)],
}

/// The object that the daemon offers, and the objects of others that it follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectSpec {
    /// Its path.
    pub name: &'static str,
    /// Its methods. [`Event::Call`] names one by its index.
    pub methods: &'static [MethodSpec],
    /// Paths of objects to subscribe to as long as they are there: a name, or a beginning followed by `*`.
    pub watched: &'static [&'static str],
}

/// A call from outside that waits for its reply. Never used twice, not even over a lost connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u32);

/// A call of ours that waits for its reply; the caller chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u32);

/// What the bus tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The object is on the bus.
    Connected,
    /// The connection is lost: every call of either side is void, nobody is subscribed, and no watched object is known. It is tried
    /// again without being asked. [`Event::Reply`] still comes for each of our calls.
    Disconnected,
    /// Somebody calls a method of ours and waits for [`Order::Reply`].
    Call {
        /// To name it in the reply.
        id: CallId,
        /// Index in [`ObjectSpec::methods`].
        method: usize,
        /// What was passed, unchecked.
        arguments: Table,
    },
    /// Somebody is subscribed to our object now, or nobody is any more.
    Subscribed(bool),
    /// A watched object is there and subscribed to, or has gone. One that comes back under its path was told as gone before.
    Object {
        /// Its path.
        path: String,
        /// Whether it is there.
        present: bool,
    },
    /// A watched object notifies. Its notifier has been answered with success already.
    Notification {
        /// The object's path.
        path: String,
        /// The notification's name.
        name: String,
        /// Its data.
        data: Table,
    },
    /// What became of a call of ours. Exactly one comes for each [`Order::Call`] that was taken.
    Reply {
        /// Which.
        ticket: Ticket,
        /// What was answered.
        outcome: Result<Table, Status>,
    },
}

/// What the bus is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Answers a call, at once or later.
    Reply {
        /// The call.
        id: CallId,
        /// What to answer.
        outcome: Result<Table, Status>,
    },
    /// Notifies the subscribers of our object, without waiting for them.
    Notify {
        /// The notification's name.
        name: &'static str,
        /// Its data.
        data: Table,
    },
    /// Calls a method of another object, without waiting.
    Call {
        /// To name it in [`Event::Reply`].
        ticket: Ticket,
        /// The object's path.
        path: String,
        /// The method.
        method: &'static str,
        /// What to pass.
        arguments: Table,
    },
}
