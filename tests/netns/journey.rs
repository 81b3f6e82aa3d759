//! Roams under probes with all that can be said of them: what was lost and what was on the air, the gaps; and without probes, how soon
//! the new node claims and how soon the old one's route changes.

use std::net::IpAddr;
use std::time::Duration;

use crate::claims::Claims;
use crate::client::Client;
use crate::lab::Lab;
use crate::measure::{
    LIMIT, Outcome, SchedulingDelay, Trouble, bound, eventually, measure, must, say, spread,
};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss};
use crate::roam::{PROMPT, attach, served_by};
use crate::routing::Routing;
use crate::sys;
use crate::trail::Trail;
use crate::watch::{DRAINED, SERVED, What};

/// The intercom's port.
const INTERCOM: [u8; 2] = 5523_u16.to_be_bytes();
/// Times are noted by threads that have to be woken: what was put on a client port so soon after the route's change may have been
/// before it.
const NOISE: Duration = Duration::from_millis(2);

/// The type of an intercom datagram in an Ethernet frame.
pub fn intercom_type(frame: &[u8]) -> Option<u8> {
    let is_udp = frame.get(12..14)? == [0x86, 0xdd] && *frame.get(20)? == 17;
    // Behind Ethernet, IPv6 and UDP: version, ttl, type.
    if is_udp && frame.get(56..58)? == INTERCOM { frame.get(64).copied() } else { None }
}

/// One move of the client.
struct Move {
    at: Duration,
    from: usize,
    to: usize,
}

/// What a journey came to.
pub struct Journey {
    /// Lost packets and gaps. A gap is less the longest time for which the machine let a sleeper wait.
    pub loss: Loss,
    /// From the event until the new node alone served the client.
    pub handovers: Vec<Duration>,
    /// Packets that did not arrive and that no old node had put on its client port before its route changed, though somebody did later.
    pub late: Vec<u32>,
}

impl Journey {
    /// Says it.
    pub fn tell(&self, what: &str) {
        self.loss.tell(what);
        measure(
            &format!("{what}: handovers"),
            format!("served alone {}; on the air too late {}", spread(&self.handovers), self.late.len()),
        );
    }

    /// Demands that nothing was lost, and the bound for the gaps.
    pub fn judge(&self, p99: Duration) -> Outcome {
        self.loss.judge(p99)?;
        bound(self.late.is_empty(), format!("the old node sent {:?} to its air too late", self.late))
    }
}

/// Moves an IPv6 client from the first node along `way` under probes; it stays for `stay` after it is served and traffic flows again.
pub fn travel(lab: &Lab, client: &Client, way: &[usize], stay: Duration) -> Result<Journey, Trouble> {
    attach(lab, client, true, 0)?;
    std::thread::sleep(Duration::from_secs(if lab.plan.routing == Routing::Ideal { 1 } else { 5 }));
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let air = Air::watch(lab);
    let mut trail = Trail::watch(lab);
    std::thread::sleep(Duration::from_millis(500));
    let start = sys::now();
    let (mut gaps, mut moves, mut handovers) = (Vec::new(), Vec::<Move>::new(), Vec::new());
    for node in way {
        let delay = SchedulingDelay::start();
        let from = moves.last().map_or(0, |last| last.to);
        let at = sys::now();
        client.roam(Some(*node));
        let asked = sys::now();
        client.ask_gateway(true);
        moves.push(Move { at, from, to: *node });
        let here = eventually(LIMIT, || served_by(lab, client, true, *node));
        must(here, format!("not served by {} alone", lab.nodes[*node]))?;
        handovers.push(sys::now() - asked);
        bound(sys::now() - asked <= PROMPT, format!("served by {} after more than 3 s", lab.nodes[*node]))?;
        let flows = || flow.first_return(asked + Duration::from_millis(200)).is_some();
        must(eventually(LIMIT, flows), "no traffic")?;
        std::thread::sleep(stay);
        let until = sys::now().saturating_sub(Duration::from_millis(100));
        let gap = flow.report(at.saturating_sub(Duration::from_millis(50)), until).gap;
        gaps.push(gap.saturating_sub(delay.stop()));
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    trail.stop();
    let times: Vec<Duration> = moves.iter().map(|step| step.at).collect();
    let mut loss = Loss::count(&flow, start, end, &times, &air.stop());
    for number in loss.missing().iter().take(20) {
        say(&format!("lost: {}", trail.of(*number)));
    }
    loss.gaps = gaps;
    loss.refused = loss.refused.max(u32::try_from(trail.errors()).unwrap_or(u32::MAX));
    let late = late(lab, client.v6.into(), &flow, &trail, &moves, start..end);
    for number in late.iter().take(20) {
        say(&format!("too late on the air: {}", trail.of(*number)));
    }
    Ok(Journey { loss, handovers, late })
}

/// How soon things happen in roams without any probes, which nobody but the mesh is listened to for: with two processors and a thread
/// for every interface, the listening itself takes a millisecond for each packet.
pub struct Moments {
    /// From the event at the new node until its first CLAIM goes out.
    pub claims: Vec<Duration>,
    /// From the first CLAIM that comes to the old node until its route changes.
    pub changes: Vec<Duration>,
    /// Whether all CLAIMs were marked as network control.
    pub marked: bool,
}

/// Moves the client from end to end, so many times.
pub fn moments(lab: &Lab, client: &Client, count: usize) -> Result<Moments, Trouble> {
    attach(lab, client, true, 0)?;
    std::thread::sleep(Duration::from_secs(1));
    let claims = Claims::watch(lab);
    let mut moments = Moments { claims: Vec::new(), changes: Vec::new(), marked: false };
    for (from, to) in (0..count).map(|turn| if turn % 2 == 0 { (0, 2) } else { (2, 0) }) {
        let at = sys::now();
        client.roam(Some(to));
        let asked = sys::now();
        client.ask_gateway(true);
        let here = eventually(LIMIT, || served_by(lab, client, true, to));
        must(here, format!("not served by {} alone", lab.nodes[to]))?;
        bound(sys::now() - asked <= PROMPT, format!("served by {} after more than 3 s", lab.nodes[to]))?;
        std::thread::sleep(Duration::from_millis(200));
        moments.claims.extend(claims.first(asked, to, true).map(|claim| claim - asked));
        let changed = changed_at(lab, client.v6.into(), &Move { at, from, to });
        let came = claims.first(asked, from, false);
        moments.changes.extend(came.zip(changed).map(|(came, changed)| changed.saturating_sub(came)));
    }
    moments.marked = claims.are_marked();
    Ok(moments)
}

/// When the old node's host route was replaced, or went.
fn changed_at(lab: &Lab, address: IpAddr, step: &Move) -> Option<Duration> {
    let drained = lab.watch.came(step.at, step.from, What::Route(DRAINED), address);
    let gone = lab.watch.events(step.at).into_iter().find(|event| {
        !event.came
            && event.node == step.from
            && event.what == What::Route(SERVED)
            && event.address == address
    });
    drained.into_iter().chain(gone.map(|event| event.at)).min()
}

/// Of the probes that did not arrive, those that were put on a client port but not on the old node's before its route changed.
fn late(
    lab: &Lab,
    address: IpAddr,
    flow: &Flow,
    trail: &Trail,
    moves: &[Move],
    when: std::ops::Range<Duration>,
) -> Vec<u32> {
    let (sent, arrived, _) = flow.numbers(when.start, when.end);
    let arrived: std::collections::BTreeSet<u32> = arrived.into_iter().collect();
    let excused = |number: u32, at: Duration| {
        // A probe may be on its way when the client moves.
        moves.iter().rfind(|step| step.at <= at + NOISE + INTERVAL).is_some_and(|step| {
            let port = format!("{}:ap0", lab.nodes[step.from]);
            let until = changed_at(lab, address, step).map_or(Duration::MAX, |changed| changed + NOISE);
            trail.put_on(number, &port).is_some_and(|at| at <= until)
        })
    };
    let missing = sent.into_iter().filter(|number| !arrived.contains(number));
    missing
        .filter(|number| trail.is_on_air(*number))
        .filter(|number| flow.sent_at(*number).is_some_and(|at| !excused(*number, at)))
        .collect()
}
