//! The system calls of the demonstration: signals, the terminal's width, a listening socket for the process inside.
#![allow(unsafe_code)]

use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static STOPPED: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: libc::c_int) {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Has the signals that ask a program to end noted, as against ending it.
pub fn catch_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is safe in a signal handler.
        unsafe { libc::signal(signal, stop as *const () as libc::sighandler_t) };
    }
}

/// Whether one of them came.
pub fn stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// How many columns the terminal has that standard output goes to.
pub fn terminal_width() -> Option<usize> {
    // SAFETY: all-zero is a valid winsize.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes a winsize to the address, which outlives the call.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

fn close_on_exec(descriptor: RawFd, close: bool) {
    let flags = if close { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: no memory arguments.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, flags) };
}

/// Gives a socket away to the program that this process executes next: its descriptor there.
pub fn bequeath(listener: TcpListener) -> RawFd {
    let descriptor = listener.as_raw_fd();
    close_on_exec(descriptor, false);
    std::mem::forget(listener);
    descriptor
}

/// Takes a socket that `bequeath` gave away before this program was executed.
pub fn inherit(descriptor: RawFd) -> TcpListener {
    close_on_exec(descriptor, true);
    // SAFETY: the process before this one gave the descriptor away for this call alone; nobody else here knows it.
    unsafe { TcpListener::from_raw_fd(descriptor) }
}
