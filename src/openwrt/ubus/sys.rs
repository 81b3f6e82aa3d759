//! System calls of the clients' thread that std does not offer.
#![allow(unsafe_code)]

#[cfg(feature = "embedded-ubus")]
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The time, for the limits that the thread sets to itself.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread has no loop that could pass it the time, and nothing of it gets out"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Waits until the first descriptor can be read, the second one read or written, or the time is over; `None` and a missing second
/// descriptor wait for ever. Ends early at will: whoever calls looks for himself what there is to do.
pub(super) fn wait(wake: RawFd, socket: Option<(RawFd, bool)>, timeout: Option<Duration>) {
    let entry = |fd, write| libc::pollfd {
        fd,
        events: if write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN },
        revents: 0,
    };
    // A negative descriptor is one that poll passes over.
    let (fd, write) = socket.unwrap_or((-1, false));
    let mut entries = [entry(wake, false), entry(fd, write)];
    let milliseconds =
        timeout.map_or(-1, |timeout| i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: the pointer is to as many entries as are named, and poll writes only to these.
    unsafe { libc::poll(entries.as_mut_ptr(), 2, milliseconds) };
}

/// Keeps all signals from the calling thread: they are for the loop's.
pub(super) fn block_signals() {
    // SAFETY: a set of signals is plain data that sigfillset initialises before it is read; no old set is asked for.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

/// Connects to a Unix socket without waiting for a listener whose queue is full.
///
/// # Errors
/// Of socket(2) and connect(2); of a path that is too long.
#[cfg(feature = "embedded-ubus")]
pub(super) fn connect(path: &std::path::Path) -> io::Result<std::os::unix::net::UnixStream> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    // SAFETY: sockaddr_un is integers; all zero is a value of it.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: no pointers are passed.
    let fd = unsafe {
        libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let length = std::mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to an address of the named length.
    let result = unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd.into())
}
