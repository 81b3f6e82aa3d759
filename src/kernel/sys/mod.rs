//! The only unsafe code of the kernel side: system calls that neither std nor tokio offers.
#![allow(unsafe_code)]

pub(super) mod datagram;
pub(super) mod device;
pub(super) mod link_layer;
pub(super) mod socket;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_sys::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor with tokio.
pub(super) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open and keeps its number for as long as the AsyncFd owns it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// Watches a netlink socket with tokio.
pub(super) fn watch_netlink(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a Socket owns its descriptor, which stays open and keeps its number until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

/// read(2).
pub(super) fn read(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` has as many writable bytes as are named.
    let length = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// write(2).
pub(super) fn write(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` has as many readable bytes as are named.
    let length = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}
