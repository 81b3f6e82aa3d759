//! Sockets: options.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::RawFd;

/// Gives a system call's result its error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets a socket option. `T` is the C type that the option takes and has no padding.
pub(crate) fn set_option<T: Copy>(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: `value` points at as many readable bytes as are named; the kernel only reads them.
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
