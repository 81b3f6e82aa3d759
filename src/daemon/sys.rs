//! The only unsafe code of the daemon: the clock that goes on while the machine sleeps, and signals that wait.
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

/// Lets the signals that the daemon obeys wait, also for the program that this process executes next, or delivers them again.
///
/// # Errors
/// Never for these signals (pthread_sigmask(3)).
pub fn hold_signals(hold: bool) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for writing one sigset_t, which sigemptyset makes an empty set of.
    if unsafe { libc::sigemptyset(set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGHUP] {
        // SAFETY: the set was initialised above, and the signal's number is one.
        if unsafe { libc::sigaddset(set.as_mut_ptr(), signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let how = if hold { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: the set was initialised above and is only read; a null pointer asks for no old mask.
    match unsafe { libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
