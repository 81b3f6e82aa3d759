//! A correspondent that sends a numbered packet every few milliseconds and a client that echoes them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::CORRESPONDENT;
use crate::sys;

/// The port clients echo on.
pub const PORT: u16 = 7777;
/// What is between two probes unless said.
pub const INTERVAL: Duration = Duration::from_millis(5);

/// When which probe was sent, arrived, came back: by its number.
#[derive(Default)]
struct Log {
    sent: Vec<Duration>,
    arrived: Vec<(u32, Duration)>,
    returned: Vec<(u32, Duration)>,
    refused: Vec<Duration>,
}

/// A stream of probes.
pub struct Flow {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    interval: Duration,
}

/// What happened to the probes of a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// How many were sent.
    pub sent: usize,
    /// How many did not come back.
    pub lost: usize,
    /// How many did not reach the client (where the client is a real one).
    pub lost_down: usize,
    /// Longest time between two that came back, less the interval.
    pub gap: Duration,
    /// ICMP errors that the correspondent saw since the first of them was sent.
    pub refused: u32,
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

impl Flow {
    /// Starts probing `client` in namespace `echo`; with `None` somebody else echoes.
    pub fn start(client: IpAddr, echo: Option<&str>, interval: Duration) -> Self {
        Self::of_size(client, echo, interval, 64)
    }

    /// The same with so many bytes in each probe.
    pub fn of_size(client: IpAddr, echo: Option<&str>, interval: Duration, bytes: usize) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let any: IpAddr = if client.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
        let mut threads = Vec::new();
        if let Some(namespace) = echo {
            let socket = sys::inside(namespace, || UdpSocket::bind((client, PORT))).expect("bind the echo");
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            threads.push(std::thread::spawn(move || {
                let take = |probe: &[u8], from| {
                    let at = sys::now();
                    let _ = socket.send_to(probe, from);
                    if let Some(number) = number(probe) {
                        log.lock().unwrap_or_else(PoisonError::into_inner).arrived.push((number, at));
                    }
                };
                receive(&socket, &stop, take, || {});
            }));
        }
        let socket =
            sys::inside(CORRESPONDENT, || UdpSocket::bind((any, 0))).expect("bind the correspondent");
        sys::inside(CORRESPONDENT, || socket.connect((client, PORT))).expect("a route to the clients");
        let back = socket.try_clone().expect("two names");
        threads.push(std::thread::spawn({
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            move || {
                let take = |probe: &[u8], _| {
                    if let Some(number) = number(probe) {
                        let at = sys::now();
                        log.lock().unwrap_or_else(PoisonError::into_inner).returned.push((number, at));
                    }
                };
                let refuse = || log.lock().unwrap_or_else(PoisonError::into_inner).refused.push(sys::now());
                receive(&back, &stop, take, refuse);
            }
        }));
        threads.push(std::thread::spawn({
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            move || send(&socket, interval, bytes, &log, &stop)
        }));
        Self { log, stop, threads, interval }
    }

    /// What happened to the probes sent between two times.
    pub fn report(&self, from: Duration, until: Duration) -> Report {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let within =
            |number: &u32| log.sent.get(*number as usize).is_some_and(|sent| (from..until).contains(sent));
        let sent = log.sent.iter().filter(|sent| (from..until).contains(*sent)).count();
        let distinct = |list: &[(u32, Duration)]| {
            let numbers: std::collections::BTreeSet<u32> =
                list.iter().map(|entry| entry.0).filter(within).collect();
            numbers.len()
        };
        let mut times: Vec<Duration> =
            log.returned.iter().filter(|entry| within(&entry.0)).map(|entry| entry.1).collect();
        times.push(from);
        times.push(until);
        times.sort();
        let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        Report {
            sent,
            lost: sent - distinct(&log.returned),
            lost_down: sent - distinct(&log.arrived),
            gap: longest.saturating_sub(self.interval),
            refused: log.refused.iter().filter(|at| **at >= from).count() as u32,
        }
    }

    /// The numbers of the probes sent between two times, of those that arrived in the order of their arrival (some perhaps twice), and of
    /// those that came back.
    pub fn numbers(&self, from: Duration, until: Duration) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let within =
            |number: &u32| log.sent.get(*number as usize).is_some_and(|sent| (from..until).contains(sent));
        let of = |list: &[(u32, Duration)]| list.iter().map(|entry| entry.0).filter(within).collect();
        let sent = (0..log.sent.len() as u32).filter(within).collect();
        (sent, of(&log.arrived), of(&log.returned))
    }

    /// When a probe was sent.
    pub fn sent_at(&self, number: u32) -> Option<Duration> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).sent.get(number as usize).copied()
    }

    /// The last time before `time` at which a probe reached the client.
    #[allow(dead_code, reason = "tests/wifi asks for it")]
    pub fn last_arrival(&self, time: Duration) -> Option<Duration> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.arrived.iter().map(|entry| entry.1).filter(|at| *at < time).max()
    }

    /// The time of the first probe that came back of those sent since `since`.
    pub fn first_return(&self, since: Duration) -> Option<Duration> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |number: &u32| log.sent.get(*number as usize).is_some_and(|sent| *sent >= since);
        log.returned.iter().filter(|entry| fresh(&entry.0)).map(|entry| entry.1).min()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn send(socket: &UdpSocket, interval: Duration, bytes: usize, log: &Mutex<Log>, stop: &AtomicBool) {
    let mut due = sys::now();
    while !stop.load(Ordering::Relaxed) {
        let number = {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.sent.push(sys::now());
            log.sent.len() as u32 - 1
        };
        let mut probe = vec![0; bytes];
        probe[..4].copy_from_slice(&number.to_be_bytes());
        if socket.send(&probe).is_err() {
            // An ICMP error of an earlier probe was reported instead: this one goes out now.
            log.lock().unwrap_or_else(PoisonError::into_inner).refused.push(sys::now());
            let _ = socket.send(&probe);
        }
        due += interval;
        match due.checked_sub(sys::now()) {
            Some(rest) => std::thread::sleep(rest),
            // Behind by a scheduling delay: no burst to catch up.
            None => due = sys::now(),
        }
    }
}

/// Calls `take` for each packet and `refuse` for each ICMP error until told to stop.
fn receive(
    socket: &UdpSocket,
    stop: &AtomicBool,
    mut take: impl FnMut(&[u8], SocketAddr),
    mut refuse: impl FnMut(),
) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => take(&buffer[..length], from),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            Err(_) => refuse(),
        }
    }
}
