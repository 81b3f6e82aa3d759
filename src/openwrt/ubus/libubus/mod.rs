//! The client on libubus, the C library of OpenWrt, through a shim of our own.
//!
//! libubus waits for ubusd without any limit, in writes and in questions; that is why it has a thread to itself. One connection in a
//! process, for its buffers are static. After a loss everything is made anew: what `ubus_reconnect` brings back is not all.

mod sys;

use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::client::{Client, Found, Heard, Interest};
use super::{ObjectSpec, Status};

/// A connection to ubusd.
pub(super) struct Libubus(sys::Connection);

impl Client for Libubus {
    type Request = sys::Request;

    fn connect(socket: Option<&Path>) -> io::Result<Self> {
        let path = socket.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
        // Why it cannot be had libubus does not tell.
        sys::Connection::open(path.as_deref()).map(Self).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    fn offer(&mut self, spec: &ObjectSpec) -> Result<(), Status> {
        let result = self.0.offer(spec.name, spec.methods);
        self.judge(result)
    }

    fn listen(&mut self, events: &[&str]) -> Result<(), Status> {
        for event in events {
            let result = self.0.listen(&text(event)?);
            self.judge(result)?;
        }
        Ok(())
    }

    fn lookup(&mut self, pattern: &str) -> Result<Vec<Found>, Status> {
        let result = self.0.lookup(&text(pattern)?);
        self.judge(result)
    }

    fn subscribe(&mut self, object: u32) -> Result<u32, Status> {
        let result = self.0.subscribe(object);
        self.judge(result)
    }

    fn unsubscribe(&mut self, subscription: u32) {
        self.0.unsubscribe(subscription);
    }

    fn call(&mut self, key: u32, object: u32, method: &str, arguments: &[u8]) -> Result<(), Status> {
        let result = self.0.call(key, object, &text(method)?, arguments);
        self.judge(result)
    }

    fn abandon(&mut self, key: u32) {
        self.0.abandon(key);
    }

    fn answer(&mut self, request: sys::Request, outcome: Result<&[u8], Status>) {
        self.0.answer(request, outcome);
    }

    fn notify(&mut self, name: &str, data: &[u8]) {
        if let Ok(name) = text(name) {
            self.0.notify(&name, data);
        }
    }

    fn work(&mut self) {
        self.0.work();
    }

    fn heard(&mut self) -> Option<Heard<sys::Request>> {
        let heard = self.0.heard()?;
        // To libubus calls of a lost connection have timed out.
        Some(match heard {
            Heard::Reply { key, outcome: Err(_) } if self.is_lost() => {
                Heard::Reply { key, outcome: Err(Status::ConnectionFailed) }
            }
            other => other,
        })
    }

    fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    fn interest(&self) -> Interest {
        Interest { fd: self.0.fd(), write: false }
    }

    fn finish(mut self) {
        // ubusd forgets what it has not read of somebody who has gone; an answer to anything says that it has.
        let _ = self.lookup("-");
    }
}

impl Libubus {
    /// The reason of a failure that is only a consequence of the loss.
    fn judge<T>(&self, result: Result<T, Status>) -> Result<T, Status> {
        if self.0.is_lost() { Err(Status::ConnectionFailed) } else { result }
    }
}

fn text(text: &str) -> Result<CString, Status> {
    CString::new(text).map_err(|_| Status::InvalidArgument)
}
