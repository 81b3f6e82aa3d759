//! The capture TUN: what the kernel routes into it has an unknown destination; what is written to it is routed anew.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context as Task, Poll, ready};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{Context, KernelError, is_errno};
use super::netlink::Requests;
use super::sys::{self, device};
use super::sysctl;
use crate::net::{IfIndex, InterfaceName};

/// Larger than any client's packet: the capture must never be the reason for a fragment.
const MTU_BYTES: u32 = 9000;

/// The capture TUN; gone when this is dropped, unless an administrator made it persistent.
pub(super) struct Tun {
    fd: AsyncFd<OwnedFd>,
    index: IfIndex,
}

impl Tun {
    /// Creates the TUN, or attaches to a persistent one, and brings it up.
    pub(super) async fn open(name: &InterfaceName, requests: &mut Requests) -> Result<Self, KernelError> {
        let fd = device::open_tun(name).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => KernelError::TunBusy(name.clone()),
            _ => KernelError::new("create TUN", name, error),
        })?;
        let index = device::interface_index(name).context("find TUN", name)?;
        // Nobody speaks on it: no link-local address, no router solicitations. Packets that go back come from anywhere,
        // a client's address among them.
        for (key, value) in [
            (format!("net/ipv6/conf/{name}/addr_gen_mode"), "1"),
            (format!("net/ipv4/conf/{name}/rp_filter"), "0"),
            (format!("net/ipv4/conf/{name}/accept_local"), "1"),
        ] {
            sysctl::ensure(&key, value);
        }
        // The kernel takes the larger of the two. The other one is the administrator's.
        if sysctl::read("net/ipv4/conf/all/rp_filter").as_deref() == Some("1") {
            tracing::warn!(
                "net.ipv4.conf.all.rp_filter is 1: IPv4 packets given back to the kernel are dropped"
            );
        }
        let fd = sys::watch(fd, Interest::READABLE).context("watch TUN", name)?;
        let tun = Self { fd, index };
        tun.bring_up(name, requests).await?;
        Ok(tun)
    }

    /// Brings it up, again where somebody took it down.
    pub(super) async fn bring_up(
        &self,
        name: &InterfaceName,
        requests: &mut Requests,
    ) -> Result<(), KernelError> {
        let mut link = LinkMessage::default();
        link.header.index = self.index.0;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        link.attributes.push(LinkAttribute::Mtu(MTU_BYTES));
        requests.change(RouteNetlinkMessage::SetLink(link), 0).await.context("bring up TUN", name)
    }

    /// The kernel's number of it.
    pub(super) fn index(&self) -> IfIndex {
        self.index
    }

    /// Reads one packet into `scratch`; gives its length.
    pub(super) fn poll_read(&self, task: &mut Task<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(task))?;
            match guard.try_io(|fd| sys::read(fd.get_ref(), scratch)) {
                // The interface is down: an administrator's will, and no reason to try again at once.
                Ok(Err(error)) if is_errno(&error, &[libc::EIO]) => guard.clear_ready(),
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    /// Gives a packet to the kernel, as if it had come in on the TUN.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<()> {
        sys::write(self.fd.get_ref(), packet).map(|_| ())
    }
}
