//! The only unsafe code of the daemon: the clock that goes on while the machine sleeps, signals that wait, and the allocator's limits.
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

/// Makes the allocator give back what is large when it is free. glibc raises its own limits with what is freed: buffers of netlink, which
/// are hardly filled, then lie between the clients for good. musl's allocator has no such limits.
#[cfg(target_env = "gnu")]
pub fn give_memory_back() {
    const LARGE: libc::c_int = 8 * 1024;
    // SAFETY: mallopt takes two integers; it fails by doing nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

/// As above.
#[cfg(not(target_env = "gnu"))]
pub fn give_memory_back() {}
