//! UDP datagrams over IPv6 with what RFC 3542 tells beside them: which address, which interface, which traffic class.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use super::socket;
use crate::net::IfIndex;

/// One IPV6_PKTINFO and one IPV6_TCLASS with their headers take 64 bytes on 64-bit machines, 48 on others; aligned as cmsghdr.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// How a datagram is sent.
pub(crate) struct Manner {
    /// Its source.
    pub(crate) source: Ipv6Addr,
    /// Out of which interface; any where it is 0.
    pub(crate) interface: IfIndex,
    /// Its traffic class.
    pub(crate) class: u8,
}

/// A datagram that came.
pub(crate) struct Received {
    /// Bytes of it in the buffer.
    pub(crate) length: usize,
    /// Its source, address and port.
    pub(crate) source: (Ipv6Addr, u16),
    /// Its destination and the interface it came in on; `None` where the kernel did not say.
    pub(crate) info: Option<(Ipv6Addr, IfIndex)>,
    /// It was larger than the buffer.
    pub(crate) truncated: bool,
}

/// Binds a socket to a port of all addresses.
pub(crate) fn bind(fd: &OwnedFd, port: u16) -> io::Result<()> {
    socket::bind(fd, &socket::sockaddr_v6(Ipv6Addr::UNSPECIFIED, port, IfIndex(0)))
}

/// Joins or leaves (the option says which) a multicast group on an interface.
pub(crate) fn membership(
    fd: &OwnedFd,
    option: libc::c_int,
    group: Ipv6Addr,
    interface: IfIndex,
) -> io::Result<()> {
    let request = libc::ipv6_mreq {
        ipv6mr_multiaddr: libc::in6_addr { s6_addr: group.octets() },
        ipv6mr_interface: interface.0 as _,
    };
    socket::set_option(fd.as_raw_fd(), libc::IPPROTO_IPV6, option, &request)
}

fn header(vector: &mut libc::iovec, address: &mut libc::sockaddr_in6, control: &mut Control) -> libc::msghdr {
    // SAFETY: msghdr is integers and pointers; all zero is a value of it. musl's has private padding.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = ptr::from_mut(address).cast();
    header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(control).cast();
    header.msg_controllen = mem::size_of::<Control>() as _;
    header
}

/// Receives one datagram.
pub(crate) fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut address = socket::sockaddr_v6(Ipv6Addr::UNSPECIFIED, 0, IfIndex(0));
    let mut control = Control([0; 64]);
    let mut message = header(&mut vector, &mut address, &mut control);
    // SAFETY: `message` points at the buffer, the address and the control bytes above, with their lengths; all outlive the call.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let mut info = None;
    // SAFETY: the kernel has filled the control bytes and set their length; the macros stay inside it. The data of an
    // IPV6_PKTINFO is an in6_pktinfo, which is integers, and is copied without regard to its alignment.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&message);
        while !item.is_null() {
            let whole = (*item).cmsg_len as usize
                >= libc::CMSG_LEN(mem::size_of::<libc::in6_pktinfo>() as libc::c_uint) as usize;
            if whole && (*item).cmsg_level == libc::IPPROTO_IPV6 && (*item).cmsg_type == libc::IPV6_PKTINFO {
                let data: libc::in6_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(item).cast());
                info = Some((Ipv6Addr::from(data.ipi6_addr.s6_addr), IfIndex(data.ipi6_ifindex as u32)));
            }
            item = libc::CMSG_NXTHDR(&message, item);
        }
    }
    let truncated = message.msg_flags & libc::MSG_TRUNC != 0;
    let source = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
    Ok(Received { length, source, info, truncated })
}

/// Sends one datagram.
pub(crate) fn send(
    fd: &OwnedFd,
    bytes: &[u8],
    manner: &Manner,
    destination: (Ipv6Addr, u16),
) -> io::Result<()> {
    // The kernel does not write to what it sends.
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut address = socket::sockaddr_v6(destination.0, destination.1, manner.interface);
    let mut control = Control([0; 64]);
    let mut message = header(&mut vector, &mut address, &mut control);
    let info = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: manner.source.octets() },
        ipi6_ifindex: manner.interface.0 as _,
    };
    let class = libc::c_int::from(manner.class);
    // SAFETY: the control bytes are aligned for a cmsghdr and have room for one with an in6_pktinfo and one with an int (the test
    // below), so that CMSG_FIRSTHDR and CMSG_NXTHDR give places inside of them. `message` points at the bytes, the address and the
    // control bytes, which outlive the call.
    let sent = unsafe {
        message.msg_controllen = (space(&info) + space(&class)) as _;
        let item = libc::CMSG_FIRSTHDR(&message);
        put(item, libc::IPV6_PKTINFO, info);
        put(libc::CMSG_NXTHDR(&message, item), libc::IPV6_TCLASS, class);
        libc::sendmsg(fd.as_raw_fd(), &message, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes that a value takes as control data.
fn space<T>(_: &T) -> usize {
    // SAFETY: computes a number.
    unsafe { libc::CMSG_SPACE(mem::size_of::<T>() as libc::c_uint) as usize }
}

/// Writes one item of control data of IPv6.
///
/// # Safety
/// `item` points at [`space`] bytes that are aligned for a cmsghdr.
unsafe fn put<T>(item: *mut libc::cmsghdr, kind: libc::c_int, data: T) {
    // SAFETY: the caller's promise; the data is written without regard to its alignment.
    unsafe {
        (*item).cmsg_level = libc::IPPROTO_IPV6;
        (*item).cmsg_type = kind;
        (*item).cmsg_len = libc::CMSG_LEN(mem::size_of::<T>() as libc::c_uint) as _;
        ptr::write_unaligned(libc::CMSG_DATA(item).cast(), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_bytes_have_room_for_the_packet_information_and_the_class() {
        assert_eq!(mem::size_of::<libc::in6_pktinfo>(), 20);
        let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: 0 };
        assert!(space(&info) + space::<libc::c_int>(&0) <= mem::size_of::<Control>());
        assert!(mem::align_of::<libc::cmsghdr>() <= mem::align_of::<Control>());
    }
}
