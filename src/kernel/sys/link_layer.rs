//! Addresses of AF_PACKET.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use super::socket;
use crate::net::{IfIndex, Mac};

fn address(interface: IfIndex, protocol: u16, mac: Mac) -> libc::sockaddr_ll {
    // SAFETY: sockaddr_ll is integers; all zero is a value of it.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = protocol.to_be();
    // The kernel's numbers are positive ints.
    address.sll_ifindex = interface.0 as libc::c_int;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&mac.0);
    address
}

/// Binds a packet socket to an interface and begins to hear frames of the protocol (an Ethernet type or ETH_P_ALL).
pub(crate) fn bind(fd: &OwnedFd, interface: IfIndex, protocol: u16) -> io::Result<()> {
    socket::bind(fd, &address(interface, protocol, Mac::default()))
}

/// Sends a frame out of an interface.
pub(crate) fn send(fd: &OwnedFd, interface: IfIndex, frame: &[u8]) -> io::Result<()> {
    let (Some(to), Some(kind)) = (frame.first_chunk::<6>(), frame.get(12..14)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let protocol = u16::from_be_bytes([kind[0], kind[1]]);
    socket::send_to(fd, frame, &address(interface, protocol, Mac(*to)))
}
