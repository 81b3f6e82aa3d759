//! The only unsafe code of the kernel side: system calls that neither std nor tokio offers.
#![allow(unsafe_code)]

pub(super) mod datagram;
pub(super) mod device;
pub(super) mod link_layer;
pub(super) mod socket;

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use neli::socket::synchronous::NlSocketHandle;
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

/// Watches a generic netlink socket with tokio.
pub(super) fn watch_generic(
    socket: NlSocketHandle,
    interest: Interest,
) -> io::Result<AsyncFd<NlSocketHandle>> {
    // SAFETY: an NlSocketHandle owns its descriptor, which stays open and keeps its number until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

/// Receives one netlink datagram. Gives its length, which may exceed the buffer's, and the port of its sender: 0 is the kernel.
/// (neli's own receiving drops the sender.)
pub(super) fn receive_netlink(
    socket: &NlSocketHandle,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, u32)> {
    // SAFETY: sockaddr_nl is integers; all zero is a value of it.
    let mut sender: libc::sockaddr_nl = unsafe { mem::zeroed() };
    let mut size = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `buffer` and `sender` have as many writable bytes as are named, and outlive the call.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags | libc::MSG_TRUNC,
            (&raw mut sender).cast(),
            &mut size,
        )
    };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok((length, sender.nl_pid))
}
