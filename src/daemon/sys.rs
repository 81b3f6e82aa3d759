//! The only unsafe code of the daemon: the clock that goes on while the machine sleeps.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Reads CLOCK_BOOTTIME: the time since boot, sleep included.
///
/// # Errors
/// Where the kernel has no such clock (before Linux 2.6.39).
pub fn boot_time() -> io::Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for writing one timespec, which is all that clock_gettime writes.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: clock_gettime returned success and has filled the value.
    let time = unsafe { time.assume_init() };
    // time_t and long are 32 or 64 bits wide; since boot both fields are never negative.
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Ok(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
}
