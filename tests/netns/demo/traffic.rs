//! Numbered packets between the correspondent and a client, in both directions, and what became of each.
//!
//! A packet on its way to a client is *lost* that did not arrive though no node had put it on its client port, and one from a client
//! that did not arrive though a node had taken it in there. The rest of what did not arrive was *on the air*: no node could know.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::lab::{CORRESPONDENT, Lab};
use crate::probe::{INTERVAL, PORT};
use crate::sys::{self, PacketSocket};

/// Where the correspondent is.
const CORRESPONDENT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 2);
/// The correspondent's port for the first client; PORT is that client's.
const CORRESPONDENT_PORT: u16 = 8777;
/// What has not arrived for so long will not.
pub const SETTLED: Duration = Duration::from_millis(300);
/// The bytes of a packet.
const BYTES: usize = 64;

/// One packet.
#[derive(Clone, Copy, Default)]
struct Fate {
    sent: Duration,
    /// Seen on a node's client port.
    ported: bool,
    arrived: Option<Duration>,
    late: bool,
}

#[derive(Default)]
struct Log {
    fates: BTreeMap<u32, Fate>,
    next: u32,
    highest: u32,
    again: usize,
}

/// Packets of one direction.
#[derive(Clone)]
struct Stream {
    log: Arc<Mutex<Log>>,
    interval: Duration,
}

/// What became of the packets of a while.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    /// How many were sent.
    pub sent: usize,
    /// How many were lost.
    pub lost: usize,
    /// How many were on the air.
    pub on_air: usize,
    /// How many came after a later one.
    pub late: usize,
    /// Longest time without one, in one direction, less the interval.
    pub gap: Duration,
}

impl Tally {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            lost: self.lost + other.lost,
            on_air: self.on_air + other.on_air,
            late: self.late + other.late,
            gap: self.gap.max(other.gap),
        }
    }
}

impl Stream {
    fn new(interval: Duration) -> Self {
        Self { log: Arc::default(), interval }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a packet is sent now: the next, or the one of that number. Gives its number.
    fn send(&self, number: Option<u32>) -> u32 {
        let mut log = self.log();
        let number = number.unwrap_or(log.next);
        log.next = number.wrapping_add(1);
        let sent = sys::now();
        log.fates.entry(number).or_default().sent = sent;
        number
    }

    fn ported(&self, number: u32) {
        if let Some(fate) = self.log().fates.get_mut(&number) {
            fate.ported = true;
        }
    }

    fn arrive(&self, number: u32) {
        let at = sys::now();
        let mut log = self.log();
        let late = number < log.highest;
        log.highest = log.highest.max(number);
        match log.fates.get_mut(&number) {
            Some(fate) if fate.arrived.is_none() => (fate.arrived, fate.late) = (Some(at), late),
            Some(_) => log.again += 1,
            None => {}
        }
    }

    fn tally(&self, down: bool, from: Duration, until: Duration) -> Tally {
        let log = self.log();
        let mut tally = Tally::default();
        let mut times = Vec::new();
        for fate in log.fates.values().rev().skip_while(|fate| fate.sent >= until) {
            if fate.sent < from {
                break;
            }
            tally.sent += 1;
            tally.late += usize::from(fate.late);
            match fate.arrived {
                Some(at) => times.push(at),
                None if fate.ported == down => tally.on_air += 1,
                None => tally.lost += 1,
            }
        }
        if tally.sent > 0 {
            times.extend([from, until]);
        }
        times.sort_unstable();
        let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        tally.gap = longest.saturating_sub(self.interval);
        tally
    }

    /// Those that did not arrive, of those sent until then: when each was sent, and whether it was on the air.
    fn missing(&self, down: bool, until: Duration) -> Vec<(Duration, bool)> {
        let log = self.log();
        let missing = log.fates.values().filter(|fate| fate.arrived.is_none() && fate.sent < until);
        missing.map(|fate| (fate.sent, fate.ported == down)).collect()
    }

    /// How many in a row did not arrive, at most, of those sent between two times.
    fn longest_run(&self, from: Duration, until: Duration) -> usize {
        let log = self.log();
        let (mut longest, mut run) = (0, 0);
        for fate in log.fates.values().filter(|fate| (from..until).contains(&fate.sent)) {
            run = if fate.arrived.is_none() { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    fn arrivals(&self) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.log().fates.values().filter_map(|fate| fate.arrived).collect();
        times.sort_unstable();
        times
    }

    fn forget(&self, before: Duration) {
        let mut log = self.log();
        while log.fates.first_key_value().is_some_and(|(_, fate)| fate.sent < before) {
            log.fates.pop_first();
        }
    }
}

/// The packets to and from one client.
pub struct Traffic {
    down: Stream,
    up: Stream,
    going: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn packet(number: u32) -> [u8; BYTES] {
    let mut packet = [0; BYTES];
    packet[..4].copy_from_slice(&number.to_be_bytes());
    packet
}

/// The ports of the client of that index and of the correspondent's socket for it.
fn ports(index: u16) -> (u16, u16) {
    (PORT + index, CORRESPONDENT_PORT + index)
}

impl Traffic {
    /// Prepares it for the client of that index: one that talks sends of its own accord, the other answers.
    pub fn new(client: &Client, index: u16, talks: bool) -> Self {
        Self::every(INTERVAL, client, index, talks)
    }

    /// The same with another time between two packets.
    pub fn every(interval: Duration, client: &Client, index: u16, talks: bool) -> Self {
        let (here, there) = ports(index);
        let address: IpAddr = client.v6.into();
        let near =
            sys::inside(&client.namespace, || UdpSocket::bind((address, here))).expect("bind the client");
        let far = sys::inside(CORRESPONDENT, || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, there)));
        let far = Arc::new(far.expect("bind the correspondent"));
        let near = Arc::new(near);
        let (down, up) = (Stream::new(interval), Stream::new(interval));
        let (going, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut threads = Vec::new();
        {
            let (socket, down, up) = (Arc::clone(&near), down.clone(), up.clone());
            threads.push(receiver(&near, &stop, move |number, from| {
                down.arrive(number);
                if !talks {
                    up.send(Some(number));
                    let _ = socket.send_to(&packet(number), from);
                }
            }));
        }
        {
            let up = up.clone();
            threads.push(receiver(&far, &stop, move |number, _| up.arrive(number)));
        }
        threads.push(sender(&far, (address, here).into(), &down, [&going, &stop]));
        if talks {
            threads.push(sender(&near, (CORRESPONDENT_ADDRESS, there).into(), &up, [&going, &stop]));
        }
        Self { down, up, going, stop, threads }
    }

    /// Begins to send.
    pub fn begin(&self) {
        self.going.store(true, Ordering::Relaxed);
    }

    /// What became of the packets sent between two times.
    pub fn tally(&self, from: Duration, until: Duration) -> Tally {
        self.down.tally(true, from, until).and(self.up.tally(false, from, until))
    }

    /// Those that did not arrive, of those sent until then: when each was sent, and whether it was on the air.
    pub fn missing(&self, until: Duration) -> Vec<(Duration, bool)> {
        let mut missing = self.down.missing(true, until);
        missing.extend(self.up.missing(false, until));
        missing.sort_unstable();
        missing
    }

    /// The longest time in which every packet of a direction was missing: by their number, since a
    /// machine that stands still sends none.
    pub fn longest_gap(&self, from: Duration, until: Duration) -> Duration {
        let streams = [&self.down, &self.up];
        let gaps = streams.map(|stream| stream.interval * stream.longest_run(from, until) as u32);
        gaps.into_iter().max().unwrap_or_default()
    }

    /// When packets arrived, by direction.
    pub fn arrivals(&self) -> [Vec<Duration>; 2] {
        [self.down.arrivals(), self.up.arrivals()]
    }

    /// How many arrived more than once.
    pub fn again(&self) -> usize {
        self.down.log().again + self.up.log().again
    }

    /// Whether the correspondent has heard of the client, and the client of it.
    pub fn flows(&self) -> bool {
        [&self.down, &self.up]
            .iter()
            .all(|stream| stream.log().fates.values().any(|fate| fate.arrived.is_some()))
    }

    /// The numbers of the lost on their way to the client.
    pub fn lost_numbers(&self) -> Vec<u32> {
        let log = self.down.log();
        let lost = log.fates.iter().filter(|(_, fate)| fate.arrived.is_none() && !fate.ported);
        lost.map(|(number, _)| *number).collect()
    }

    /// Forgets what was sent before.
    pub fn forget(&self, before: Duration) {
        self.down.forget(before);
        self.up.forget(before);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn sender(
    socket: &Arc<UdpSocket>,
    to: SocketAddr,
    stream: &Stream,
    [going, stop]: [&Arc<AtomicBool>; 2],
) -> JoinHandle<()> {
    let (socket, stream) = (Arc::clone(socket), stream.clone());
    let (going, stop) = (Arc::clone(going), Arc::clone(stop));
    std::thread::spawn(move || {
        while !going.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut due = sys::now();
        while !stop.load(Ordering::Relaxed) {
            let packet = packet(stream.send(None));
            if socket.send_to(&packet, to).is_err() {
                // An ICMP error of an earlier one was reported instead: this one goes out now.
                let _ = socket.send_to(&packet, to);
            }
            due += stream.interval;
            match due.checked_sub(sys::now()) {
                Some(rest) => std::thread::sleep(rest),
                // Behind by a scheduling delay: no burst to catch up.
                None => due = sys::now(),
            }
        }
    })
}

fn receiver(
    socket: &Arc<UdpSocket>,
    stop: &Arc<AtomicBool>,
    take: impl Fn(u32, SocketAddr) + Send + 'static,
) -> JoinHandle<()> {
    let (socket, stop) = (Arc::clone(socket), Arc::clone(stop));
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                number(&buffer[..length]).into_iter().for_each(|number| take(number, from));
            }
        }
    })
}

/// Listens at the client ports of all nodes.
pub struct Ports {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ports {
    /// Begins, for the clients of this traffic, in the order of their indices.
    pub fn watch<'a>(lab: &Lab, traffic: impl Iterator<Item = &'a Traffic>) -> Self {
        let streams: Vec<(Stream, Stream)> = traffic.map(|one| (one.down.clone(), one.up.clone())).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |node: &String| {
            let socket = PacketSocket::open(node, "ap0");
            let (streams, stop) = (streams.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut buffer = vec![0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Some((frame, out)) = socket.receive(&mut buffer, Duration::from_millis(50)) else {
                        continue;
                    };
                    if let Some((index, number)) = seen(frame, out) {
                        let Some((down, up)) = streams.get(index) else { continue };
                        if out { down.ported(number) } else { up.ported(number) }
                    }
                }
            })
        };
        Self { threads: lab.nodes.iter().map(watch).collect(), stop }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The index of the client and the number of a packet to (`out`) or from a client, in a frame of IPv6 and UDP.
fn seen(frame: &[u8], out: bool) -> Option<(usize, u32)> {
    if frame.get(12..14)? != [0x86, 0xdd] || *frame.get(20)? != 17 {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let (source, destination) = (port(54)?, port(56)?);
    let (client, correspondent) = if out { (destination, source) } else { (source, destination) };
    let index = client.checked_sub(PORT)?;
    (ports(index.min(100)) == (client, correspondent)).then_some(())?;
    Some((usize::from(index), number(frame.get(62..)?)?))
}
