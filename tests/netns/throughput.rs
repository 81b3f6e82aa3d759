//! How much gets through while a client roams: a stream of large packets, a TCP transfer over links of a given rate; and what a host at
//! the old node sends, when the overlap is over.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{CORRESPONDENT, Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, Trouble, bound, eventually, measure, must, spread};
use crate::relay::{roams_under, way};
use crate::roam::{attach, served_by};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("ten_megabits_of_large_packets_survive_roams", Needs::Nothing, stream),
    ("a_tcp_transfer_hardly_notices_roams", Needs::Shaping, transfers),
    ("a_hundred_megabits_go_by_the_kernel_when_the_overlap_is_over", Needs::Nothing, beyond_the_overlap),
];

/// With the headers 1400 bytes.
const PAYLOAD: usize = 1352;
/// 1400 bytes each time make 10 Mbit/s.
const TURN: Duration = Duration::from_micros(1120);
/// How long a client stays: each roam costs what was on the air, and what TCP makes of that.
const STAY: Duration = Duration::from_millis(1500);
/// How long a connection may take to be made.
const PATIENCE: Duration = LIMIT;
/// Roams in the short form.
pub const SHORT: usize = 6;
const PORT: u16 = 7778;
const RATE: &str = "50mbit";

fn stream() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let loss = roams_under(&lab, &client, true, &way(if long() { 20 } else { 10 }), (TURN, PAYLOAD))?;
    loss.tell("loss in roams, 10 Mbit/s of 1400-byte packets each way");
    // What it costs in time other tests judge: this one keeps a small machine busy.
    loss.judge(Duration::from_secs(1))
}

/// In the long form with either queue, three times.
fn transfers() -> Outcome {
    let (queues, runs, count): (&[Queue], _, _) =
        if long() { (&[Queue::ByClass, Queue::One], 3, 20) } else { (&[Queue::ByClass], 1, SHORT) };
    for queue in queues {
        let mut lab = Lab::new(Plan::default());
        shape(&lab, *queue);
        let _daemons = Daemon::start_all(&lab, Kind::Ours);
        let client = Client::new(&mut lab, 1);
        let mut shares = Vec::new();
        for _ in 0..runs {
            shares.push(share(&lab, &client, *queue, count)?);
        }
        let median = crate::measure::percentile(&shares, 50);
        bound(median >= 950, format!("{}.{} % of the transfer at rest", median / 10, median % 10))?;
    }
    Ok(())
}

/// A run without roams, then one with them, in the same lab: how much of the one the other comes to, in per mille.
fn share(lab: &Lab, client: &Client, queue: Queue, count: usize) -> Result<usize, Trouble> {
    let resting = transfer(lab, client, &vec![0; count])?;
    let roaming = transfer(lab, client, &way(count))?;
    let share = roaming.rate / resting.rate;
    measure(
        &format!("TCP to a client over links of 50 Mbit/s, queue {queue:?}, {count} roams"),
        format!(
            "{:.1} % of that at rest; at rest {}; roaming {}",
            share * 100.0,
            resting.line(),
            roaming.line()
        ),
    );
    // In one queue the CLAIM waits behind a window of data: all of it may be on the air.
    bound(
        queue == Queue::One || roaming.timeouts == 0,
        format!("{} retransmission timeouts", roaming.timeouts),
    )?;
    Ok((share * 1000.0) as usize)
}

/// 100 Mbit/s of 1400-byte packets are so many each millisecond.
const BURST: u32 = 9;
/// What may be on its way, or wait for a processor, when a time is noted.
const MARGIN: u32 = 500 * BURST;

/// A host at the old node sends to a client that has roamed: the correspondent is at the node that the client leaves.
fn beyond_the_overlap() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 1)?;
    let receiver = sys::inside(&client.namespace, || UdpSocket::bind((client.v6, PORT))).expect("bind");
    sys::enlarge_receive_buffer(receiver.as_raw_fd());
    receiver.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let sender = sys::inside(CORRESPONDENT, || UdpSocket::bind("[::]:0")).expect("bind");
    let (stop, sent) = (AtomicBool::new(false), AtomicU32::new(0));
    let relayed = || daemons[1].counter("relay_sent").unwrap_or(0);
    let (arrived, detour, before, after, from) = std::thread::scope(|scope| {
        let taking = scope.spawn(|| take_numbers(&receiver, &stop));
        scope.spawn(|| send_numbers(&sender, (client.v6, PORT), &sent, &stop));
        std::thread::sleep(Duration::from_secs(1));
        client.roam(Some(2));
        client.ask_gateway(true);
        // The overlap, and a while.
        std::thread::sleep(Duration::from_secs(8));
        let detour = relayed();
        std::thread::sleep(Duration::from_secs(3));
        let (before, from) = (relayed(), sent.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_secs(2));
        let after = relayed();
        stop.store(true, Ordering::Relaxed);
        (taking.join().unwrap_or_default(), detour, before, after, from)
    });
    let until = sent.load(Ordering::Relaxed).saturating_sub(MARGIN);
    let lost = (from..until).filter(|number| !arrived.contains(number)).count();
    measure(
        "a host at the old node sends 100 Mbit/s",
        format!(
            "{before} packets relayed in the overlap, {} after it; lost after it {lost} of {}",
            after - before,
            until.saturating_sub(from)
        ),
    );
    must(served_by(&lab, &client, true, 2) && detour > 0, "there was no detour")?;
    must(after == before, format!("{} packets are relayed after the overlap", after - before))?;
    must(until > from + 10_000, "less than 100 Mbit/s were sent")?;
    bound(lost == 0, format!("{lost} packets lost after the overlap"))
}

/// Sends numbered packets, so many each millisecond.
fn send_numbers(socket: &UdpSocket, to: (Ipv6Addr, u16), sent: &AtomicU32, stop: &AtomicBool) {
    let (mut packet, start) = (vec![0; PAYLOAD], sys::now());
    let mut number: u32 = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = u32::try_from((sys::now() - start).as_millis()).unwrap_or(u32::MAX).saturating_mul(BURST);
        while number < due {
            packet[..4].copy_from_slice(&number.to_be_bytes());
            // A sender that is refused knows which packet it was; one that is lost is missed.
            let _ = socket.send_to(&packet, to);
            number += 1;
            sent.store(number, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The numbers that arrive until told to stop.
fn take_numbers(socket: &UdpSocket, stop: &AtomicBool) -> BTreeSet<u32> {
    let (mut arrived, mut buffer) = (BTreeSet::new(), vec![0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        if let (Ok(length), Some(number)) = (socket.recv(&mut buffer), buffer.first_chunk()) {
            if length == PAYLOAD {
                arrived.insert(u32::from_be_bytes(*number));
            }
        }
    }
    arrived
}

/// What a transfer came to.
pub struct Transfer {
    /// Bytes per second that the client read.
    pub rate: f64,
    /// Retransmission timeouts of the sender.
    pub timeouts: u32,
    /// Segments it sent again.
    pub again: u32,
    /// From the event at the new node until it alone served the client.
    pub handovers: Vec<Duration>,
}

impl Transfer {
    /// For people.
    pub fn line(&self) -> String {
        let rate = self.rate * 8.0 / 1e6;
        let mut line =
            format!("{rate:.1} Mbit/s, {} segments sent again, {} timeouts", self.again, self.timeouts);
        if !self.handovers.is_empty() {
            line += &format!(", served alone {}", spread(&self.handovers));
        }
        line
    }
}

/// How packets wait for a link that is full, 20 ms at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// All in one row.
    One,
    /// Network control comes first, as on Wi-Fi. (What OpenWrt has elsewhere, fq_codel, lets through first who says little.)
    ByClass,
}

impl Queue {
    /// What `tc` is told for an interface.
    fn orders(self, device: &str) -> Vec<String> {
        match self {
            Self::One => {
                vec![format!("qdisc replace dev {device} root tbf rate {RATE} burst 32k latency 20ms")]
            }
            Self::ByClass => [
                "qdisc replace DEVICE root handle 1: htb default 2",
                "class add DEVICE parent 1: classid 1:9 htb rate RATE burst 32k",
                "class add DEVICE parent 1:9 classid 1:1 htb rate 1mbit ceil RATE prio 0",
                "class add DEVICE parent 1:9 classid 1:2 htb rate 49mbit ceil RATE burst 32k prio 1",
                "qdisc add DEVICE parent 1:2 bfifo limit 125000",
                "filter add DEVICE parent 1: protocol ipv6 u32 match ip6 priority 0xc0 0xff flowid 1:1",
            ]
            .map(|order| order.replace("DEVICE", &format!("dev {device}")).replace("RATE", RATE))
            .into(),
        }
    }
}

fn tc(namespace: Option<&str>, order: &str) -> bool {
    let namespace = namespace.into_iter().flat_map(|name| ["-n", name]);
    let words = namespace.chain(order.split(' '));
    Command::new("tc").args(words).output().is_ok_and(|out| out.status.success())
}

/// Whether links can be given a rate on this machine.
pub fn can_shape() -> bool {
    let orders = [Queue::One, Queue::ByClass].into_iter().flat_map(|queue| queue.orders("lo"));
    orders.chain(["qdisc del dev lo root".to_owned()]).all(|order| tc(None, &order))
}

/// Gives all mesh links their rate, in both directions. The correspondent's packets come singly, as from a wire: a bundle of 45 would
/// be dropped as one.
pub fn shape(lab: &Lab, queue: Queue) {
    ip(CORRESPONDENT, "link set eth0 gso_max_segs 1");
    for (node, name) in lab.nodes.iter().enumerate() {
        for interface in lab.mesh_interfaces(node) {
            for order in queue.orders(&interface) {
                assert!(tc(Some(name), &order), "{name}: tc {order}");
            }
        }
    }
}

/// Sends to the client, which goes along `way` from the first node; from a node to the same is a stay.
pub fn transfer(lab: &Lab, client: &Client, way: &[usize]) -> Result<Transfer, Trouble> {
    attach(lab, client, true, 0)?;
    std::thread::sleep(Duration::from_secs(1));
    let stream = Stream::start(client)?;
    std::thread::sleep(STAY);
    let (before, start, read) = (counters(), sys::now(), stream.read());
    let (mut at, mut handovers) = (0, Vec::new());
    for node in way {
        let due = sys::now() + STAY;
        if *node != at {
            client.roam(Some(*node));
            let asked = sys::now();
            client.ask_gateway(true);
            let here = eventually(LIMIT, || served_by(lab, client, true, *node));
            must(here, format!("never served at {}", lab.nodes[*node]))?;
            handovers.push(sys::now() - asked);
            at = *node;
        }
        std::thread::sleep(due.saturating_sub(sys::now()));
    }
    let read = stream.read().wrapping_sub(read);
    let lasted = sys::now() - start;
    let after = counters();
    drop(stream);
    let count = |name: &str| {
        let of = |all: &[(String, u32)]| {
            all.iter().find(|(found, _)| found == name).map_or(0, |(_, value)| *value)
        };
        of(&after).wrapping_sub(of(&before))
    };
    Ok(Transfer {
        rate: read as f64 / lasted.as_secs_f64(),
        timeouts: count("TCPTimeouts"),
        again: count("RetransSegs"),
        handovers,
    })
}

/// The correspondent's counters of TCP by their names.
fn counters() -> Vec<(String, u32)> {
    let text = sys::inside(CORRESPONDENT, || {
        ["netstat", "snmp"]
            .map(|name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default())
    });
    let lines: Vec<&str> = text.iter().flat_map(|text| text.lines()).collect();
    let pairs = lines.chunks_exact(2).flat_map(|pair| {
        let values = pair[1].split_whitespace().map(|value| value.parse().unwrap_or(0));
        pair[0].split_whitespace().map(str::to_owned).zip(values).collect::<Vec<_>>()
    });
    pairs.collect()
}

/// A connection from the correspondent to a client, as full as it gets.
pub struct Stream {
    read: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Connects, and waits until it flows.
    pub fn start(client: &Client) -> Result<Self, Trouble> {
        let (read, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let listener =
            sys::inside(&client.namespace, || TcpListener::bind((client.v6, PORT))).expect("listen");
        let to = (client.v6, PORT).into();
        let mut sender = sys::inside(CORRESPONDENT, || TcpStream::connect_timeout(&to, PATIENCE))
            .map_err(|error| Trouble::Broken(format!("no connection to the client: {error}")))?;
        // What most senders have, whatever this machine prefers.
        if !sys::control_congestion(&sender, "cubic") {
            crate::measure::say("this kernel has no cubic: TCP is controlled by what it has");
        }
        let (mut receiver, _) = listener.accept().expect("the connection that was made");
        let patience = Some(Duration::from_millis(100));
        receiver.set_read_timeout(patience).expect("a timeout");
        sender.set_write_timeout(patience).expect("a timeout");
        let taking = std::thread::spawn({
            let (read, stop) = (Arc::clone(&read), Arc::clone(&stop));
            move || {
                let mut buffer = vec![0; 1 << 17];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(count) = receiver.read(&mut buffer) {
                        read.fetch_add(count, Ordering::Relaxed);
                    }
                }
            }
        });
        let giving = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let buffer = vec![0; 1 << 16];
                while !stop.load(Ordering::Relaxed) {
                    // What does not fit yet goes the next time.
                    let _ = sender.write(&buffer);
                }
            }
        });
        let stream = Self { read, stop, threads: vec![taking, giving] };
        must(eventually(LIMIT, || stream.read() > 1 << 20), "the transfer does not begin")?;
        Ok(stream)
    }

    /// Bytes that the client has read.
    pub fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
