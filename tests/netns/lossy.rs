//! Handover where the mesh loses what the daemons say to one another: wires of our own between the nodes drop it by chance.
//!
//! Frames go from TAP to TAP through a thread of this process, so both ends are real kernels and no kernel module is needed. Of the
//! intercom's datagrams each is dropped with the same probability on every wire; RELAY, which carries clients' packets, is spared, and
//! so is all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::journey::{intercom_type, travel};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, bound, measure, must, percentile};
use crate::random::{Random, seed};
use crate::relay::way;
use crate::routing::Routing;
use crate::sys::{self, Tap};
use crate::{Needs, Test, long};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("no_packet_is_lost_where_links_lose_5_percent_of_control", Needs::Long, || lossy(5, Routing::Ideal)),
    ("no_packet_is_lost_where_links_lose_5_percent_of_control_and_bird_routes", Needs::Bird, || {
        lossy(5, Routing::Bird)
    }),
    ("a_client_is_handed_over_where_links_lose_20_percent_of_control", Needs::Nothing, || {
        lossy(20, Routing::Ideal)
    }),
    (
        "a_client_is_handed_over_where_links_lose_20_percent_of_control_and_bird_routes",
        Needs::LongBird,
        || lossy(20, Routing::Bird),
    ),
];

/// The type byte of what is spared.
const RELAY: u8 = 4;

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
    pub fn replace_all(lab: &Lab, percent: u64, seed: u64) -> Vec<Self> {
        let replace = |link| Self::replace(lab, link, percent, Random::new(seed.wrapping_add(link as u64)));
        let wires = (0..lab.topology.count()).map(replace).collect();
        lab.await_routing();
        wires
    }

    fn replace(lab: &Lab, link: usize, percent: u64, mut random: Random) -> Self {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::new(AtomicBool::new(false)));
        let mut taps = Vec::new();
        lab.replace_mesh_link(link, |node, name| taps.push(Tap::open(node, name)));
        let thread = std::thread::spawn({
            let (counts, stop) = (Arc::clone(&counts), Arc::clone(&stop));
            move || carry(&taps, || random.chance(percent), &counts, &stop)
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

/// Carries frames between two ends until told to stop.
fn carry(taps: &[Tap], mut lost: impl FnMut() -> bool, counts: &Counts, stop: &AtomicBool) {
    let descriptors: Vec<i32> = taps.iter().map(Tap::descriptor).collect();
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        sys::readable(&descriptors, Duration::from_millis(50));
        for (from, to) in [(&taps[0], &taps[1]), (&taps[1], &taps[0])] {
            while let Some(frame) = from.receive(&mut buffer) {
                let control = intercom_type(frame).is_some_and(|kind| kind != RELAY);
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

fn lossy(percent: u64, routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let seed = seed();
    let wires = Wire::replace_all(&lab, percent, seed);
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let count = if long() { 100 } else { 12 };
    let journey = travel(&lab, &client, &way(count), Duration::from_millis(500))?;
    let (seen, dropped) = Wire::counts(&wires);
    let what = format!("links lose {percent} % of control, {routing:?}");
    journey.tell(&what);
    let gaps = &journey.loss.gaps;
    measure(
        &format!("{what}: messages"),
        format!(
            "{dropped} of {seen} dropped (seed {seed}), {:.1} for each roam; gap 99th {:.1} ms",
            seen as f64 / count as f64,
            percentile(gaps, 99).as_secs_f64() * 1e3,
        ),
    );
    must(dropped > 0, "the wires lost nothing")?;
    for daemon in &mut daemons {
        must(daemon.running(), format!("a daemon ended:\n{}", daemon.log_end()))?;
    }
    if percent <= 5 {
        let often = percentile(gaps, if long() { 99 } else { 90 });
        bound(often <= Duration::from_millis(50), "two gaps in twelve, or in a hundred, are beyond 50 ms")?;
        // Of so many messages in a row that are needed for it hardly ever all are lost.
        return journey.judge(Duration::from_millis(300));
    }
    bound(percentile(gaps, 100) <= Duration::from_secs(3), "a gap beyond 3 s")?;
    bound(percentile(gaps, 99) <= Duration::from_secs(1), "more than one of a hundred gaps beyond 1 s")?;
    journey.judge(Duration::from_secs(1))
}
