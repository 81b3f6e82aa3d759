//! The system calls the lab needs beyond the standard library: namespaces, packet sockets, signals.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time since the lab started, by CLOCK_MONOTONIC, which all namespaces share.
pub fn now() -> Duration {
    EPOCH.elapsed()
}

/// Moves the calling thread into the named network namespace, for good.
fn enter(namespace: &str) -> io::Result<()> {
    let file = File::open(format!("/run/netns/{namespace}"))?;
    // SAFETY: the descriptor is open for the length of the call; setns touches no memory of ours.
    check(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Runs `work` in a thread of its own inside the named network namespace and gives its result.
/// Sockets opened there stay in that namespace.
///
/// # Panics
/// Where the namespace does not exist, or `work` panics.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let run = || {
        enter(namespace).unwrap_or_else(|error| panic!("enter namespace {namespace}: {error}"));
        work()
    };
    match std::thread::scope(|scope| scope.spawn(run).join()) {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Writes one sysctl inside a namespace, the name with slashes. A missing one is ignored: old kernels lack some.
pub fn sysctl(namespace: &str, settings: &[(&str, &str)]) {
    inside(namespace, || {
        for (name, value) in settings {
            let path = format!("/proc/sys/{name}");
            if let Err(error) = std::fs::write(&path, value) {
                assert!(error.kind() == io::ErrorKind::NotFound, "write {value} to {path}: {error}");
            }
        }
    });
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sends a signal to a process that the lab started.
pub fn kill(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).expect("a process id fits");
    // SAFETY: kill has no memory arguments.
    unsafe { libc::kill(pid, signal) };
}

/// Whether the process may do everything in its namespaces.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Sets the flags of the loop-back interface to what they are. The kernel takes its lock of all
/// network settings for it.
pub fn touch_loopback() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    // SAFETY: ifreq is integers and a union of such; all zero is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    for order in [libc::SIOCGIFFLAGS, libc::SIOCSIFFLAGS] {
        // SAFETY: both read and write one ifreq, which `request` is; the first one writes the flags
        // that the second one reads.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), order as _, &raw mut request) })?;
    }
    Ok(())
}

/// Waits until one of the descriptors can be read, or for `timeout`. Gives those that can.
pub fn readable(descriptors: &[i32], timeout: Duration) -> Vec<bool> {
    let mut polled: Vec<libc::pollfd> =
        descriptors.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let count = libc::nfds_t::try_from(polled.len()).expect("few descriptors");
    let milliseconds = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `polled` is an array of `count` initialised entries and outlives the call.
    unsafe { libc::poll(polled.as_mut_ptr(), count, milliseconds) };
    polled.iter().map(|entry| entry.revents != 0).collect()
}

/// Makes a socket's receive buffer large, beyond the system's limit where the process may.
pub fn enlarge_receive_buffer(descriptor: i32) {
    let bytes: libc::c_int = 16 << 20;
    for option in [libc::SO_RCVBUF, libc::SO_RCVBUFFORCE] {
        // SAFETY: the value points to a c_int whose size is given; the call only reads it.
        unsafe {
            libc::setsockopt(
                descriptor,
                libc::SOL_SOCKET,
                option,
                (&raw const bytes).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
    }
}

/// Has a TCP connection controlled by this algorithm. Whether the kernel has it.
pub fn control_congestion(connection: &std::net::TcpStream, algorithm: &str) -> bool {
    // SAFETY: the value points to bytes whose length is given; the call only reads it.
    let result = unsafe {
        libc::setsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            algorithm.as_ptr().cast(),
            algorithm.len() as libc::socklen_t,
        )
    };
    result == 0
}

/// One end of a wire that the lab itself carries frames over: a TAP, whole Ethernet frames.
pub struct Tap(File);

impl Tap {
    /// Makes it in the named namespace; it goes when this is dropped.
    ///
    /// # Panics
    /// Where the machine has no /dev/net/tun or the process may not.
    pub fn open(namespace: &str, name: &str) -> Self {
        inside(namespace, || Self::open_here(name))
            .unwrap_or_else(|error| panic!("TAP {name} in {namespace}: {error}"))
    }

    fn open_here(name: &str) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        // SAFETY: ifreq is integers and a union of such; all zero is a value of it.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // At most 15 bytes, so a zero byte remains at the end.
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(15)) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })?;
        Ok(Self(file))
    }

    /// For waiting.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// The next frame that the kernel sends, where there is one.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let length = (&self.0).read(buffer).ok()?;
        buffer.get(..length)
    }

    /// Gives the kernel a frame. One that it does not take (the link is down) is lost, as on a wire.
    pub fn send(&self, frame: &[u8]) {
        let _ = (&self.0).write(frame);
    }
}

/// The index of an interface in the calling thread's namespace.
pub fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// A raw socket on one interface: whole Ethernet frames in both directions.
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it in the named namespace.
    ///
    /// # Panics
    /// Where the interface does not exist or the process may not.
    pub fn open(namespace: &str, interface: &str) -> Self {
        inside(namespace, || Self::open_here(interface))
            .unwrap_or_else(|error| panic!("packet socket on {interface} in {namespace}: {error}"))
    }

    fn open_here(interface: &str) -> io::Result<Self> {
        let index = interface_index(interface).ok_or_else(io::Error::last_os_error)?;
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory arguments. Protocol 0 receives nothing before it is bound.
        let descriptor = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(descriptor) });
        enlarge_receive_buffer(descriptor);
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is a sockaddr_ll of the given length and outlives the call.
        check(unsafe { libc::bind(descriptor, (&raw const address).cast(), length) })?;
        Ok(socket)
    }

    /// Sends one frame; a full queue waits.
    pub fn send(&self, frame: &[u8]) {
        loop {
            // SAFETY: the buffer is valid for its length; the call only reads it.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
            if sent >= 0 {
                return;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                _ => panic!("send a frame: {error}"),
            }
        }
    }

    /// The next frame, and whether it left this machine's stack (as against arrived); `None` after `timeout`.
    pub fn receive<'a>(&self, buffer: &'a mut [u8], timeout: Duration) -> Option<(&'a [u8], bool)> {
        if !readable(&[self.0.as_raw_fd()], timeout)[0] {
            return None;
        }
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: buffer and address are valid for the given lengths and outlive the call.
        let received = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
                (&raw mut from).cast(),
                &raw mut length,
            )
        };
        let received = usize::try_from(received).ok()?;
        Some((&buffer[..received], from.sll_pkttype == libc::PACKET_OUTGOING))
    }
}
