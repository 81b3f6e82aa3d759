//! ICMP errors: raw sockets that only send.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use super::packet;
use super::sys::socket;
use crate::wire::icmp;

/// ICMP6_FILTER of RFC 3542, level IPPROTO_ICMPV6 (not in libc).
const ICMP6_FILTER: libc::c_int = 1;

/// The raw sockets for ICMPv6 and ICMP. The kernel chooses source address and hop limit, and fills in ICMPv6's checksum.
pub(super) struct Icmp {
    v6: OwnedFd,
    v4: OwnedFd,
}

impl Icmp {
    /// Opens both. Neither hears anything.
    pub(super) fn open() -> io::Result<Self> {
        let v6 = socket::open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
        let v4 = socket::open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
        for fd in [&v6, &v4] {
            socket::attach_filter(fd, &packet::accept_nothing())?;
        }
        // Spares the kernel the copy that the filter would drop. A set bit blocks its type.
        socket::set_option(v6.as_raw_fd(), libc::IPPROTO_ICMPV6, ICMP6_FILTER, &[u32::MAX; 8])?;
        Ok(Self { v6, v4 })
    }

    /// Tells the sender of a packet that its destination cannot be reached.
    pub(super) fn send_unreachable(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        match to {
            IpAddr::V6(_) => socket::send_raw(&self.v6, &icmp::address_unreachable(packet), to),
            IpAddr::V4(_) => socket::send_raw(&self.v4, &icmp::host_unreachable(packet), to),
        }
    }
}
