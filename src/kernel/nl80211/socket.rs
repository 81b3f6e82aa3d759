//! The two sockets of generic netlink: one that hears announcements, one that asks.

use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use neli::consts::nl::NlmF;
use neli::consts::socket::NlFamily;
use neli::err::SocketError;
use neli::genl::{AttrTypeBuilder, GenlmsghdrBuilder, NlattrBuilder, NoUserHeader};
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::socket::synchronous::NlSocketHandle;
use neli::types::{Buffer, GenlBuffer};
use neli::utils::Groups;
use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::{self, CONTROLLER, Malformed, Message};
use crate::kernel::Counters;
use crate::kernel::sys::{self, socket};
use crate::net::IfIndex;

/// Some thousand stations that come at once fit in.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// The kernel answers while it is asked; this is for what should not happen.
const PATIENCE: libc::timeval = libc::timeval { tv_sec: 1, tv_usec: 0 };
/// A dump that the kernel calls inconsistent is asked for again this often.
const DUMP_ATTEMPTS: u32 = 4;
/// The version of the families' messages; nothing looks at it.
const VERSION: u8 = 1;

fn connect() -> io::Result<NlSocketHandle> {
    NlSocketHandle::connect(NlFamily::Generic, None, Groups::empty()).map_err(error)
}

/// neli's error as the system's. Formatting it would link much code.
fn error(error: SocketError) -> io::Error {
    match error {
        SocketError::Io(error) => {
            error.raw_os_error().map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
        }
        _ => io::ErrorKind::InvalidData.into(),
    }
}

/// The socket for announcements.
pub(super) struct Events(AsyncFd<NlSocketHandle>);

impl Events {
    /// Hears what families come and go.
    pub(super) fn open() -> io::Result<Self> {
        let socket = connect()?;
        socket::set_receive_buffer(socket.as_raw_fd(), RECEIVE_BUFFER_BYTES)?;
        let events = Self(sys::watch_generic(socket, Interest::READABLE)?);
        events.join(&[u32::from(CONTROLLER)])?;
        Ok(events)
    }

    /// Hears these groups too. Joining again does nothing.
    pub(super) fn join(&self, groups: &[u32]) -> io::Result<()> {
        self.0.get_ref().add_mcast_membership(Groups::new_groups(groups)).map_err(error)
    }

    /// Reads one datagram of the kernel's and gives its length. An error means that announcements were lost or will be.
    pub(super) fn poll(
        &self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
        counters: &mut Counters,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let result =
                guard.try_io(|socket| sys::receive_netlink(socket.get_ref(), scratch, libc::MSG_DONTWAIT));
            let Ok(result) = result else { continue };
            let (length, sender) = result?;
            // Processes with CAP_NET_ADMIN may send to these groups: port 0 is the kernel.
            if sender != 0 {
                counters.netlink_not_from_kernel += 1;
            } else if length > scratch.len() {
                counters.netlink_undecodable += 1;
            } else {
                return Poll::Ready(Ok(length));
            }
        }
    }
}

/// The socket for questions. The kernel answers inside the call, so nothing is waited for.
pub(super) struct Requests {
    socket: NlSocketHandle,
    sequence: u32,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Question {
    /// Whom.
    pub(super) family: u16,
    /// What.
    pub(super) command: u8,
    /// About which interface, where only about one.
    pub(super) interface: Option<IfIndex>,
    /// Whether all things of the kind are asked for.
    pub(super) dump: bool,
}

impl Requests {
    /// Connects.
    pub(super) fn open() -> io::Result<Self> {
        let socket = connect()?;
        socket::set_receive_buffer(socket.as_raw_fd(), RECEIVE_BUFFER_BYTES)?;
        socket::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &PATIENCE)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks, and gives what `read` makes of the answers. Where things changed during a dump, asks again; what the last attempt gave counts.
    pub(super) fn ask<T>(
        &mut self,
        question: Question,
        scratch: &mut [u8],
        counters: &mut Counters,
        read: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> io::Result<Vec<T>> {
        let mut all = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            all.clear();
            let consistent =
                self.exchange(question, scratch, counters, &mut |message, counters| match read(message) {
                    Ok(told) => all.extend(told),
                    Err(Malformed) => counters.netlink_undecodable += 1,
                })?;
            if consistent {
                break;
            }
        }
        Ok(all)
    }

    fn exchange(
        &mut self,
        question: Question,
        scratch: &mut [u8],
        counters: &mut Counters,
        take: &mut dyn FnMut(&Message<'_>, &mut Counters),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(question)?;
        let mut consistent = true;
        loop {
            let (length, sender) = sys::receive_netlink(&self.socket, scratch, 0)?;
            if sender != 0 {
                counters.netlink_not_from_kernel += 1;
                continue;
            }
            let datagram = scratch.get(..length).ok_or(io::ErrorKind::InvalidData)?;
            for message in message::messages(datagram) {
                let message = message.map_err(|Malformed| io::ErrorKind::InvalidData)?;
                if message.sequence != self.sequence {
                    continue; // the answer to a question that was given up
                }
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                if message.kind != NLMSG_ERROR && message.kind != NLMSG_DONE {
                    take(&message, counters);
                    continue;
                }
                let code = message.payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return if code == 0 {
                    Ok(consistent)
                } else {
                    Err(io::Error::from_raw_os_error(code.saturating_abs()))
                };
            }
        }
    }

    fn send(&self, question: Question) -> io::Result<()> {
        let Question { family, command, interface, dump } = question;
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let mut attributes = GenlBuffer::<u16, Buffer>::new();
        if let Some(IfIndex(index)) = interface {
            let kind = AttrTypeBuilder::default().nla_type(message::attribute::INTERFACE_INDEX).build();
            let attribute =
                NlattrBuilder::default().nla_type(kind.map_err(|_| invalid())?).nla_payload(index).build();
            attributes.push(attribute.map_err(|_| invalid())?);
        }
        let body = GenlmsghdrBuilder::<u8, u16, NoUserHeader>::default()
            .cmd(command)
            .version(VERSION)
            .attrs(attributes)
            .build()
            .map_err(|_| invalid())?;
        let flags = if dump { NlmF::REQUEST | NlmF::DUMP } else { NlmF::REQUEST | NlmF::ACK };
        let request = NlmsghdrBuilder::default()
            .nl_type(family)
            .nl_flags(flags)
            .nl_seq(self.sequence)
            .nl_payload(NlPayload::Payload(body))
            .build()
            .map_err(|_| invalid())?;
        self.socket.send(&request).map_err(error)
    }
}
