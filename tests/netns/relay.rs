//! Handover without loss: what was not on the air when the old node read the news arrives, whatever the routing does.
//!
//! A probe is lost that was sent and did not arrive though no node had put it on its client port. What had been put there and did not
//! arrive was on the air: it is counted apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip};
use crate::measure::{
    LIMIT, Outcome, SchedulingDelay, bound, eventually, measure, must, percentile, say, spread,
};
use crate::probe::{Flow, INTERVAL, PORT};
use crate::roam::{PROMPT, attach, served_by};
use crate::routing::Routing;
use crate::sys::{self, PacketSocket};
use crate::trail::Trail;
use crate::{Needs, Test, long};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("no_packet_is_lost_in_a_roam_with_ideal_routing", Needs::Nothing, || ideal(true)),
    ("no_packet_of_an_ipv4_client_is_lost_in_a_roam", Needs::Nothing, || ideal(false)),
    ("no_packet_is_lost_in_a_roam_where_bird_routes", Needs::Bird, bird),
    ("no_packet_is_lost_while_the_routing_daemons_stand_still", Needs::Bird, frozen),
    ("a_thief_of_a_present_clients_mac_gets_little_and_keeps_nothing", Needs::Nothing, thief),
    ("packets_larger_than_a_mesh_link_carries_are_relayed", Needs::Nothing, narrow),
];

/// The numbers of probes that nodes put on their client ports, and of echoes that came in there.
#[derive(Clone, Default)]
pub struct Seen {
    /// Put on client ports.
    pub to_clients: BTreeSet<u32>,
    from_clients: BTreeSet<u32>,
    /// Of fragments by their identification: the number, which the first one has, and the offsets.
    parts: BTreeMap<u32, (Option<u32>, BTreeSet<u16>)>,
}

impl Seen {
    /// Takes in a frame that may be a probe to a client or an echo.
    fn take(&mut self, frame: &[u8], to_client: bool) -> Option<()> {
        let (mut protocol, mut payload) = match frame.get(12..14)? {
            [0x86, 0xdd] => (*frame.get(20)?, frame.get(54..)?),
            [8, 0] => (*frame.get(23)?, frame.get(34..)?),
            _ => return None,
        };
        let mut part = None;
        if protocol == 44 {
            let offset = u16::from_be_bytes(payload.get(2..4)?.try_into().ok()?) >> 3;
            part = Some((u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?), offset));
            protocol = *payload.first()?;
            payload = payload.get(8..)?;
        }
        if let Some((identification, offset)) = part.filter(|_| protocol == 17 && to_client) {
            let known = self.parts.entry(identification).or_default();
            known.1.insert(offset);
            if offset == 0 {
                known.0 = Some(u32::from_be_bytes(payload.get(8..12)?.try_into().ok()?));
            }
        }
        let port = if to_client { payload.get(2..4)? } else { payload.get(..2)? };
        if protocol == 17
            && port == PORT.to_be_bytes()
            && part.is_none_or(|(_, offset)| offset == 0 && !to_client)
        {
            let number = u32::from_be_bytes(payload.get(8..12)?.try_into().ok()?);
            if to_client {
                self.to_clients.insert(number)
            } else {
                self.from_clients.insert(number)
            };
        }
        Some(())
    }

    /// Whether all of a probe was put on client ports.
    fn all_of(&self, number: u32) -> bool {
        let whole =
            |(found, offsets): &(Option<u32>, BTreeSet<u16>)| *found == Some(number) && offsets.len() > 1;
        self.to_clients.contains(&number) || self.parts.values().any(whole)
    }
}

/// Listens at the client ports of all nodes.
pub struct Air {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Air {
    /// Begins.
    pub fn watch(lab: &Lab) -> Self {
        let (seen, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let watch = |node: &String| {
            let socket = PacketSocket::open(node, "ap0");
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || listen(&socket, &seen, &stop))
        };
        Self { threads: lab.nodes.iter().map(watch).collect(), seen, stop }
    }

    /// Ends: what was seen.
    pub fn stop(mut self) -> Seen {
        std::thread::sleep(Duration::from_millis(100));
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn listen(socket: &PacketSocket, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut buffer = vec![0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Some((frame, outgoing)) = socket.receive(&mut buffer, Duration::from_millis(50)) else {
            continue;
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).take(frame, outgoing);
    }
}

/// What some roams under traffic came to.
#[derive(Default, Debug)]
pub struct Loss {
    /// Probes in all.
    pub sent: usize,
    /// Probes that no node put on a client port.
    pub lost_down: usize,
    /// Echoes that a node took in and that did not come back.
    pub lost_up: usize,
    /// Probes that were on the air.
    pub on_air: usize,
    /// Probes that came again.
    pub duplicated: usize,
    /// Probes that came after a later one.
    pub reordered: usize,
    /// The longest gap of each roam.
    pub gaps: Vec<Duration>,
    /// ICMP errors.
    pub refused: u32,
    /// How long after the client moved the lost ones were sent, in ms.
    pub when: Vec<u128>,
    /// Their numbers.
    pub missing: Vec<u32>,
}

impl Loss {
    /// Of the probes sent between two times.
    pub fn count(flow: &Flow, from: Duration, until: Duration, moves: &[Duration], air: &Seen) -> Self {
        let (sent, arrived, returned) = flow.numbers(from, until);
        let set = |list: &[u32]| list.iter().copied().collect::<BTreeSet<u32>>();
        let (down, up) = (set(&arrived), set(&returned));
        let missing: Vec<u32> = sent.iter().copied().filter(|number| !down.contains(number)).collect();
        let on_air = missing.iter().filter(|number| air.all_of(**number)).count();
        let lost_up =
            down.iter().filter(|number| !up.contains(number) && air.from_clients.contains(number)).count();
        let mut last = 0;
        let late = |number: &&u32| {
            let late = **number < last;
            last = last.max(**number);
            late
        };
        Self {
            sent: sent.len(),
            lost_down: missing.len() - on_air,
            lost_up,
            on_air,
            duplicated: arrived.len() - down.len(),
            reordered: arrived.iter().filter(late).count(),
            gaps: Vec::new(),
            refused: flow.report(from, until).refused,
            when: missing
                .iter()
                .filter(|number| !air.all_of(**number))
                .filter_map(|number| {
                    let sent = flow.sent_at(*number)?;
                    let moved = moves.iter().rev().find(|moved| **moved <= sent).copied().unwrap_or(from);
                    Some((sent - moved).as_millis())
                })
                .collect(),
            missing: missing.iter().copied().filter(|number| !air.all_of(*number)).collect(),
        }
    }

    /// The numbers of the lost probes on the way to the client.
    pub fn missing(&self) -> &[u32] {
        &self.missing
    }

    /// Says it.
    pub fn tell(&self, what: &str) {
        measure(
            what,
            format!(
                "{} sent, lost down {} up {}, on the air {}, twice {}, out of order {}, ICMP errors {}; gap {}{}",
                self.sent,
                self.lost_down,
                self.lost_up,
                self.on_air,
                self.duplicated,
                self.reordered,
                self.refused,
                spread(&self.gaps),
                if self.when.is_empty() {
                    String::new()
                } else {
                    format!("; lost {:?} ms after the move", self.when)
                }
            ),
        );
    }

    /// Demands that nothing was lost, and the bound for the gaps.
    pub fn judge(&self, p99: Duration) -> Outcome {
        must(self.lost_down + self.lost_up == 0, format!("{} packets lost", self.lost_down + self.lost_up))?;
        must(self.duplicated == 0, format!("{} packets twice", self.duplicated))?;
        must(self.refused == 0, "the sender was told that the client is unreachable")?;
        bound(percentile(&self.gaps, 99) <= p99, "99th percentile of the gaps beyond its bound")
    }
}

/// Moves the client along `way` under probes of so many bytes. A gap is less the longest time for which the machine let a sleeper wait
/// meanwhile: who sends the probes and echoes them waits likewise.
pub fn roams(
    lab: &Lab,
    client: &Client,
    v6: bool,
    way: &[usize],
    bytes: usize,
) -> Result<Loss, crate::measure::Trouble> {
    roams_under(lab, client, v6, way, (INTERVAL, bytes))
}

/// The same with the interval of the probes, too.
pub fn roams_under(
    lab: &Lab,
    client: &Client,
    v6: bool,
    way: &[usize],
    (interval, bytes): (Duration, usize),
) -> Result<Loss, crate::measure::Trouble> {
    attach(lab, client, v6, 0)?;
    // The routing has settled, and knows the client.
    std::thread::sleep(Duration::from_secs(if lab.plan.routing == Routing::Ideal { 1 } else { 5 }));
    let flow = Flow::of_size(client.address(v6), Some(&client.namespace), interval, bytes);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_millis(500));
    let air = Air::watch(lab);
    let mut trail = Trail::watch(lab);
    std::thread::sleep(Duration::from_millis(200));
    let start = sys::now();
    let (mut gaps, mut moves) = (Vec::new(), Vec::new());
    for node in way {
        let delay = SchedulingDelay::start();
        let moved = sys::now();
        moves.push(moved);
        client.roam(Some(*node));
        client.ask_gateway(v6);
        let here = eventually(LIMIT, || served_by(lab, client, v6, *node));
        must(here, format!("never served at {}", lab.nodes[*node]))?;
        bound(sys::now() - moved <= PROMPT, format!("served at {} after more than 3 s", lab.nodes[*node]))?;
        std::thread::sleep(Duration::from_millis(700));
        let until = sys::now().saturating_sub(Duration::from_millis(100));
        let gap = flow.report(moved.saturating_sub(Duration::from_millis(50)), until).gap;
        gaps.push(gap.saturating_sub(delay.stop()));
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    let air = air.stop();
    trail.stop();
    let loss = Loss::count(&flow, start, end, &moves, &air);
    for number in loss.missing.iter().take(20) {
        say(&format!("lost: {}", trail.of(*number)));
    }
    // A socket is not told of most of them.
    Ok(Loss { gaps, refused: loss.refused.max(trail.errors() as u32), ..loss })
}

/// From end to end.
pub fn way(count: usize) -> Vec<usize> {
    (0..count).map(|turn| if turn % 2 == 0 { 2 } else { 0 }).collect()
}

fn ideal(v6: bool) -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let loss = roams(&lab, &client, v6, &way(if long() { 100 } else { 10 }), 64)?;
    loss.tell(if v6 { "loss in roams, ideal routing" } else { "loss in roams, ideal routing, IPv4" });
    loss.judge(Duration::from_millis(20))?;
    bound(percentile(&loss.gaps, 50) <= Duration::from_millis(5), "median gap beyond 5 ms")
}

fn bird() -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let loss = roams(&lab, &client, true, &way(if long() { 100 } else { 10 }), 64)?;
    loss.tell("loss in roams, bird");
    if loss.lost_down > 0 {
        for daemon in &mut daemons {
            daemon.signal(libc::SIGTERM);
            daemon.wait(LIMIT);
            say(&daemon.log_end());
        }
    }
    loss.judge(Duration::from_millis(25))
}

fn frozen() -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 2)?;
    std::thread::sleep(Duration::from_secs(3));
    attach(&lab, &client, true, 0)?;
    std::thread::sleep(Duration::from_secs(3));
    lab.signal_routing(libc::SIGSTOP);
    // Each stay is shorter than the overlap; the last one lasts until nothing but the relay is left.
    let loss = roams(&lab, &client, true, &[2, 0, 1, 2, 0], 64);
    lab.signal_routing(libc::SIGCONT);
    let loss = loss?;
    loss.tell("loss in roams while the routing daemons stand still");
    loss.judge(Duration::from_millis(25))
}

/// Somebody uses the MAC and the address of a client at another node, again and again.
fn thief() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let thief = Client::with_mac(&mut lab, 2, client.mac);
    attach(&lab, &client, true, 0)?;
    std::thread::sleep(Duration::from_secs(1));
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let air = Air::watch(&lab);
    std::thread::sleep(Duration::from_millis(300));
    let start = sys::now();
    thief.roam(Some(2));
    for _ in 0..10 {
        thief.send(&crate::frames::solicitation(client.mac, client.v6, crate::lab::GATEWAY));
        std::thread::sleep(Duration::from_millis(500));
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    let air = air.stop();
    let loss = Loss::count(&flow, start, end, &[start], &air);
    let gap = flow.report(start, end).gap;
    Loss { gaps: vec![gap], ..loss }.tell("a thief claims a present client every 500 ms");
    must(served_by(&lab, &client, true, 0), "the thief has the client")?;
    let (sent, arrived, _) = flow.numbers(start, end);
    must(arrived.len() * 100 >= sent.len() * 95, "the thief got more than a twentieth of the packets")?;
    drop(daemons);
    bound(gap <= Duration::from_millis(60), "the client waits for longer than 60 ms")
}

fn narrow() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    for (link, node) in [(0, 0), (0, 1), (1, 1), (1, 2)] {
        ip(&lab.nodes[node], &format!("link set mesh{link} mtu 1280"));
    }
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let loss = roams(&lab, &client, true, &way(4), 1352)?;
    loss.tell("loss in roams, 1400-byte packets, links of 1280 bytes");
    loss.judge(Duration::from_millis(50))
}
