//! The TUN's device file, and interface numbers by name.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::socket::check;
use crate::net::{IfIndex, InterfaceName};

/// Creates or attaches to the TUN of this name: no packet information before the packets, not blocking.
pub(crate) fn open_tun(name: &InterfaceName) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    // SAFETY: ifreq is integers and a union of such; all zero is a value of it.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // At most 15 bytes, so a zero byte remains at the end.
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })?;
    Ok(file.into())
}

/// The number of the interface of this name.
pub(crate) fn interface_index(name: &InterfaceName) -> io::Result<IfIndex> {
    let name = CString::new(name.as_str())?;
    // SAFETY: `name` is a string that ends with a zero byte and lives until the call is over.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(IfIndex(index)),
    }
}
