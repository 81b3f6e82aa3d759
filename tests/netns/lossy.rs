//! Handover where the mesh loses what the daemons say to one another: wires of our own between the nodes drop it by chance.
//!
//! Frames go from TAP to TAP through a thread of this process, so both ends are real kernels and no kernel module is needed. Of the
//! intercom's datagrams each is dropped with the same probability on every wire; RELAY, which carries clients' packets, is spared, and
//! so is all else.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{
    Outcome, SchedulingDelay, Trouble, bound, eventually, measure, must, percentile, say, spread,
};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss, way};
use crate::roam::{attach, served_by};
use crate::routing::Routing;
use crate::sys::{self, Tap};
use crate::trail::Trail;
use crate::{Needs, Test, long};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("no_packet_is_lost_where_links_lose_5_percent_of_control", Needs::Nothing, || lossy(5, Routing::Ideal)),
    ("no_packet_is_lost_where_links_lose_5_percent_of_control_and_bird_routes", Needs::Bird, || {
        lossy(5, Routing::Bird)
    }),
    ("a_client_is_handed_over_where_links_lose_20_percent_of_control", Needs::Nothing, || {
        lossy(20, Routing::Ideal)
    }),
    ("a_client_is_handed_over_where_links_lose_20_percent_of_control_and_bird_routes", Needs::Bird, || {
        lossy(20, Routing::Bird)
    }),
];

/// The intercom's port, and what is spared of it.
const INTERCOM: [u8; 2] = 5523_u16.to_be_bytes();
const RELAY: u8 = 4;

/// What chance begins with. `L3ROAMD_SEED` repeats a run, as far as the machine's own timing lets it.
static SEED: LazyLock<u64> = LazyLock::new(|| {
    let wish = std::env::var("L3ROAMD_SEED").ok().and_then(|text| text.parse().ok());
    wish.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos())
    })
});

/// A mesh link that loses some of the control messages.
pub struct Wire {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Control messages of a wire.
#[derive(Default)]
struct Counts {
    seen: AtomicUsize,
    dropped: AtomicUsize,
}

impl Wire {
    /// Puts wires in the place of all mesh links.
    pub fn replace_all(lab: &Lab, percent: u64) -> Vec<Self> {
        let wires = (0..lab.nodes.len() - 1).map(|link| Self::replace(lab, link, percent)).collect();
        lab.await_routing();
        wires
    }

    fn replace(lab: &Lab, link: usize, percent: u64) -> Self {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::new(AtomicBool::new(false)));
        let mut taps = Vec::new();
        lab.replace_mesh_link(link, |node, name| taps.push(Tap::open(node, name)));
        let thread = std::thread::spawn({
            let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
            let mut random = SEED.wrapping_add(link as u64);
            move || carry(&taps, || chance(&mut random, percent), &counts, &stop)
        });
        Self { counts, stop, thread: Some(thread) }
    }

    /// How many control messages came to the wires, and how many of them were dropped.
    pub fn counts(wires: &[Self]) -> (usize, usize) {
        let sum = |of: fn(&Counts) -> &AtomicUsize| {
            wires.iter().map(|wire| of(&wire.counts).load(Ordering::Relaxed)).sum()
        };
        (sum(|counts| &counts.seen), sum(|counts| &counts.dropped))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// SplitMix64: `true` in so many of a hundred cases.
fn chance(state: &mut u64, percent: u64) -> bool {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 100 < percent
}

/// Carries frames between two ends until told to stop.
fn carry(taps: &[Tap], mut lost: impl FnMut() -> bool, counts: &Counts, stop: &AtomicBool) {
    let descriptors: Vec<i32> = taps.iter().map(Tap::descriptor).collect();
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        sys::readable(&descriptors, Duration::from_millis(50));
        for (from, to) in [(&taps[0], &taps[1]), (&taps[1], &taps[0])] {
            while let Some(frame) = from.receive(&mut buffer) {
                let control = is_control(frame) == Some(true);
                counts.seen.fetch_add(usize::from(control), Ordering::Relaxed);
                if control && lost() {
                    counts.dropped.fetch_add(1, Ordering::Relaxed);
                } else {
                    to.send(frame);
                }
            }
        }
    }
}

/// Whether a frame is a datagram of the intercom that is no RELAY.
fn is_control(frame: &[u8]) -> Option<bool> {
    let is_udp = frame.get(12..14)? == [0x86, 0xdd] && *frame.get(20)? == 17;
    // Behind Ethernet, IPv6 and UDP: version, ttl, type.
    Some(is_udp && frame.get(56..58)? == INTERCOM && *frame.get(64)? != RELAY)
}

/// What some roams over such wires came to.
struct Roams {
    loss: Loss,
    /// From the client's question until the new node alone served it.
    handovers: Vec<Duration>,
}

/// Moves the client from end to end. Each gap is looked for until traffic flows again, and less the delay of the machine.
fn roams(lab: &Lab, client: &Client, count: usize) -> Result<Roams, Trouble> {
    attach(lab, client, true, 0)?;
    std::thread::sleep(Duration::from_secs(if lab.plan.routing == Routing::Ideal { 1 } else { 5 }));
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let air = Air::watch(lab);
    let mut trail = Trail::watch(lab);
    std::thread::sleep(Duration::from_millis(500));
    let start = sys::now();
    let (mut gaps, mut moves, mut handovers) = (Vec::new(), Vec::new(), Vec::new());
    for node in way(count) {
        let delay = SchedulingDelay::start();
        let moved = sys::now();
        moves.push(moved);
        client.roam(Some(node));
        let asked = sys::now();
        client.ask_gateway(true);
        let here = eventually(Duration::from_secs(3), || served_by(lab, client, true, node));
        must(here, format!("not served by {} alone after 3 s", lab.nodes[node]))?;
        handovers.push(sys::now() - asked);
        let flows = || flow.first_return(asked + Duration::from_millis(200)).is_some();
        must(eventually(Duration::from_secs(5), flows), "no traffic after 5 s")?;
        std::thread::sleep(Duration::from_millis(500));
        let until = sys::now().saturating_sub(Duration::from_millis(100));
        let gap = flow.report(moved.saturating_sub(Duration::from_millis(50)), until).gap;
        gaps.push(gap.saturating_sub(delay.stop()));
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    trail.stop();
    let mut loss = Loss::count(&flow, start, end, &moves, &air.stop());
    for number in loss.missing().iter().take(20) {
        say(&format!("lost: {}", trail.of(*number)));
    }
    loss.gaps = gaps;
    loss.refused = loss.refused.max(u32::try_from(trail.errors()).unwrap_or(u32::MAX));
    Ok(Roams { loss, handovers })
}

fn lossy(percent: u64, routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let wires = Wire::replace_all(&lab, percent);
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let count = if long() { 100 } else { 12 };
    let roams = roams(&lab, &client, count)?;
    let (seen, dropped) = Wire::counts(&wires);
    let what = format!("links lose {percent} % of control, {routing:?}");
    roams.loss.tell(&what);
    let gaps = &roams.loss.gaps;
    measure(
        &format!("{what}: messages"),
        format!(
            "{dropped} of {seen} dropped (seed {}), {:.1} for each roam; served alone {}; gap 99th {:.1} ms",
            *SEED,
            seen as f64 / count as f64,
            spread(&roams.handovers),
            percentile(gaps, 99).as_secs_f64() * 1e3,
        ),
    );
    must(dropped > 0, "the wires lost nothing")?;
    for daemon in &mut daemons {
        must(daemon.running(), format!("a daemon ended:\n{}", daemon.log_end()))?;
    }
    if percent <= 5 {
        return roams.loss.judge(Duration::from_millis(50));
    }
    bound(percentile(gaps, 100) <= Duration::from_secs(3), "a gap beyond 3 s")?;
    bound(percentile(gaps, 99) <= Duration::from_secs(1), "more than one of a hundred gaps beyond 1 s")?;
    roams.loss.judge(Duration::from_secs(1))
}
