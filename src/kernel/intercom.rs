//! The intercom's socket: one for all interfaces, so that a datagram is heard once and a second daemon is noticed.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{Context, KernelError, is_errno};
use super::sys::datagram::{self, Received};
use super::sys::{self, socket};
use crate::engine::input::IntercomReceived;
use crate::engine::output::IntercomDestination;
use crate::net::IfIndex;
use crate::wire::intercom::{self, GROUP, PORT};

/// A flood of claims of a large mesh fits in while the daemon is busy.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// How long a full send queue is waited for. Everything that matters is repeated.
const SEND_PATIENCE: Duration = Duration::from_millis(5);

/// The intercom's socket.
pub(super) struct Intercom {
    fd: AsyncFd<OwnedFd>,
    node_address: Ipv6Addr,
}

impl Intercom {
    /// Opens it.
    pub(super) fn open(node_address: Ipv6Addr) -> Result<Self, KernelError> {
        let name = "intercom socket";
        let fd = socket::open(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP).context("open", name)?;
        for (option, value) in [
            // IPv4 would come as mapped addresses.
            (libc::IPV6_V6ONLY, 1),
            (libc::IPV6_RECVPKTINFO, 1),
            // What we flood we know already.
            (libc::IPV6_MULTICAST_LOOP, 0),
            // A RELAY may exceed the path's MTU: fragments rather than an error.
            (libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
        ] {
            socket::set_option(fd.as_raw_fd(), libc::IPPROTO_IPV6, option, &value)
                .context("set option of", name)?;
        }
        // Kernels before 4.20 do not know it. Without it groups that others joined reach us too; the engine asks for the
        // interface in any case.
        let none: libc::c_int = 0;
        let _ = socket::set_option(fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, &none);
        socket::set_receive_buffer(fd.as_raw_fd(), RECEIVE_BUFFER_BYTES).context("enlarge", name)?;
        datagram::bind(&fd, PORT).map_err(|error| {
            if is_errno(&error, &[libc::EADDRINUSE]) {
                KernelError::AnotherInstance(PORT)
            } else {
                KernelError::new("bind", name, error)
            }
        })?;
        let fd = sys::watch(fd, Interest::READABLE | Interest::WRITABLE).context("watch", name)?;
        Ok(Self { fd, node_address })
    }

    /// Joins the intercom's group on an interface. Again is success.
    pub(super) fn join(&self, interface: IfIndex) -> Result<(), KernelError> {
        match datagram::membership(self.fd.get_ref(), libc::IPV6_ADD_MEMBERSHIP, GROUP, interface) {
            Err(error) if is_errno(&error, &[libc::EADDRINUSE]) => Ok(()),
            result => result.context("join the intercom's group on interface", interface),
        }
    }

    /// Leaves the group on an interface, which may be gone.
    pub(super) fn leave(&self, interface: IfIndex) -> Result<(), KernelError> {
        match datagram::membership(self.fd.get_ref(), libc::IPV6_DROP_MEMBERSHIP, GROUP, interface) {
            Err(error) if is_errno(&error, &[libc::EADDRNOTAVAIL, libc::ENODEV]) => Ok(()),
            result => result.context("leave the intercom's group on interface", interface),
        }
    }

    /// Reads one datagram. An error is one of this datagram.
    pub(super) fn poll(&self, task: &mut Task<'_>, scratch: &mut [u8]) -> Poll<io::Result<IntercomReceived>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(task))?;
            let Ok(result) = guard.try_io(|fd| datagram::receive(fd.get_ref(), scratch)) else {
                continue;
            };
            let Received { length, source, info, truncated } = result?;
            let (Some((destination, interface)), Some(bytes), false) =
                (info, scratch.get(..length), truncated)
            else {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            };
            return Poll::Ready(Ok(IntercomReceived {
                interface,
                source: source.0,
                port: source.1,
                destination,
                packet: intercom::parse(bytes),
                // Only a flood is passed on as it is.
                datagram: if destination.is_multicast() { bytes.to_vec() } else { Vec::new() },
            }));
        }
    }

    /// Sends one datagram from the node address.
    pub(super) async fn send(
        &self,
        destination: IntercomDestination,
        bytes: &[u8],
    ) -> Result<(), KernelError> {
        let (address, interface) = match destination {
            IntercomDestination::Unicast(address) => (address, IfIndex(0)),
            IntercomDestination::Mesh(interface) => (GROUP, interface),
        };
        let class = intercom::traffic_class(bytes);
        let manner = datagram::Manner { source: self.node_address, interface, class };
        let send = || datagram::send(self.fd.get_ref(), bytes, &manner, (address, PORT));
        let mut result = send();
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            let again = self.fd.async_io(Interest::WRITABLE, |_| send());
            if let Ok(outcome) = tokio::time::timeout(SEND_PATIENCE, again).await {
                result = outcome;
            }
        }
        result.context("send intercom datagram to", address)
    }
}
