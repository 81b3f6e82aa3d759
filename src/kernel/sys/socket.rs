//! What all sockets have in common: to open, to set options, to bind, to send.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::net::IfIndex;

/// Gives a system call's result its error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets a socket option. `T` is the C type that the option takes.
pub(crate) fn set_option<T: Copy>(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: `value` points at as many readable bytes as are named; the kernel only reads them, and of padding nothing.
    check(unsafe {
        libc::setsockopt(fd, level, name, (value as *const T).cast(), mem::size_of::<T>() as libc::socklen_t)
    })
    .map(|_| ())
}

/// Makes a socket's receive buffer this large, beyond the administrator's limit where we may.
pub(crate) fn set_receive_buffer(fd: RawFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
        .or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}

/// A socket, not blocking and closed on exec.
pub(crate) fn open(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd =
        check(unsafe { libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a socket to an address. `T` is a sockaddr type of C.
pub(super) fn bind<T>(fd: &OwnedFd, address: &T) -> io::Result<()> {
    // SAFETY: `address` points at as many readable bytes as are named; the kernel only reads them.
    check(unsafe {
        libc::bind(fd.as_raw_fd(), (address as *const T).cast(), mem::size_of::<T>() as libc::socklen_t)
    })
    .map(|_| ())
}

/// Sends one datagram to an address. `T` is a sockaddr type of C.
pub(super) fn send_to<T>(fd: &OwnedFd, bytes: &[u8], address: &T) -> io::Result<()> {
    // SAFETY: both pointers point at as many readable bytes as are named; the kernel only reads them.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            0,
            (address as *const T).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a socket hear only what the program (classic BPF) accepts.
pub(crate) fn attach_filter(fd: &OwnedFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).unwrap_or(0),
        // The kernel copies the program and does not write to it.
        filter: program.as_ptr().cast_mut(),
    };
    set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// An IPv6 socket address.
pub(super) fn sockaddr_v6(address: Ipv6Addr, port: u16, scope: IfIndex) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.octets() },
        sin6_scope_id: scope.0,
    }
}

/// Sends one datagram through a raw socket, whose sockets have no ports.
pub(crate) fn send_raw(fd: &OwnedFd, bytes: &[u8], to: IpAddr) -> io::Result<()> {
    match to {
        IpAddr::V6(to) => send_to(fd, bytes, &sockaddr_v6(to, 0, IfIndex(0))),
        IpAddr::V4(to) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
                sin_zero: [0; 8],
            };
            send_to(fd, bytes, &address)
        }
    }
}
