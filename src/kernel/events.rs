//! The kernel's announcements: links, neighbours and forwarding databases, routes, addresses.
//!
//! The socket is read without netlink-proto, whose channels grow without bound: what is not read yet waits in the
//! kernel's buffer, and when that is full the loss is reported.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::MulticastGroup;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Counters;
use super::sys::{self, socket};

/// A thousand claims at once, each with a route, a neighbour and an address event of about 1 kB as the kernel counts them, fit in.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The groups we follow. RTNLGRP_NEIGH brings the bridges' forwarding databases too.
const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
];

/// The socket for announcements.
pub(super) struct Events {
    socket: AsyncFd<Socket>,
    receive_buffer: usize,
}

impl Events {
    /// Subscribes. From now on nothing is lost without a word.
    pub(super) fn open() -> io::Result<Self> {
        Self::with_buffer(RECEIVE_BUFFER_BYTES)
    }

    /// Subscribes with a receive buffer of this size.
    pub(super) fn with_buffer(receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket::set_receive_buffer(socket.as_raw_fd(), receive_buffer)?;
        let mask = GROUPS.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
        socket.bind(&SocketAddr::new(0, mask))?;
        let socket = sys::watch_netlink(socket, Interest::READABLE)?;
        Ok(Self { socket, receive_buffer })
    }

    /// Forgets what waits and subscribes anew: after an overrun, old announcements would contradict the dump to come.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::with_buffer(self.receive_buffer)?;
        Ok(())
    }

    /// Reads one datagram; its messages are appended to `messages`. An error means that announcements were lost or will be.
    pub(super) fn poll(
        &self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
        counters: &mut Counters,
        messages: &mut VecDeque<RouteNetlinkMessage>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(context))?;
            let mut rest = &mut scratch[..];
            let Ok(result) = guard.try_io(|socket| socket.get_ref().recv_from(&mut rest, libc::MSG_TRUNC))
            else {
                continue;
            };
            let (length, sender) = result?;
            // Processes with CAP_NET_ADMIN may send to these groups: port 0 is the kernel.
            if sender.port_number() != 0 {
                counters.netlink_not_from_kernel += 1;
                continue;
            }
            match scratch.get(..length) {
                Some(datagram) => split(datagram, counters, messages),
                None => counters.netlink_undecodable += 1,
            }
            return Poll::Ready(Ok(()));
        }
    }
}

/// Decodes the messages of a datagram; what cannot be decoded is counted and skipped.
fn split(mut datagram: &[u8], counters: &mut Counters, messages: &mut VecDeque<RouteNetlinkMessage>) {
    while !datagram.is_empty() {
        let Ok(header) = NetlinkBuffer::new_checked(&datagram) else {
            counters.netlink_undecodable += 1;
            return;
        };
        let length = header.length() as usize;
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram) {
            Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => {
                messages.push_back(message);
            }
            Ok(_) => {}
            Err(_) => counters.netlink_undecodable += 1,
        }
        // NLMSG_ALIGN. The checked header is at least 16 bytes long, so this ends.
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
}
