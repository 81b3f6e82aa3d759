//! Two devices with one MAC address and one IP address at two nodes, both alive: each claim gets
//! its answer, and when one of the two has gone, the other is served at its next frame.
//!
//! A node that has the client asks it twice within 20 ms. On a machine with too much to do that may
//! fail, and the claimer gets the client: an answer, too. So each round begins with the question
//! which of the two is served.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip};
use crate::measure::{Outcome, Trouble, bound, eventually, measure, must, spread};
use crate::roam::{attach, served_by};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("each_claim_for_a_client_that_is_alive_elsewhere_is_answered", Needs::Nothing, answered),
    ("a_refused_client_is_served_at_its_next_frame_when_its_rival_has_gone", Needs::Nothing, || {
        rival_goes(true)
    }),
    ("a_client_whose_rival_has_gone_is_served_where_it_was", Needs::Nothing, || rival_goes(false)),
];

/// How long anything may last.
const LIMIT: Duration = Duration::from_secs(5);
/// A client that was refused so often is asked before it is handed over.
const DAMPED_AFTER: u64 = 5;

/// The devices at the ends of the chain.
struct Twins {
    lab: Lab,
    daemons: Vec<Daemon>,
    devices: [Client; 2],
}

/// How a frame of the device that is not served was answered.
enum Answer {
    Refused {
        /// How long its node had a route to it.
        held: Duration,
    },
    HandedOver,
    Nothing,
}

impl Twins {
    const NODES: [usize; 2] = [0, 2];

    fn new() -> Result<Self, Trouble> {
        let mut lab = Lab::new(Plan::default());
        let daemons = Daemon::start_all(&lab, Kind::Ours);
        let first = Client::new(&mut lab, 1);
        let mut second = Client::with_mac(&mut lab, 2, first.mac);
        ip(&second.namespace, &format!("addr add {}/64 dev eth0 nodad", first.v6));
        ip(&second.namespace, &format!("addr del {}/64 dev eth0", second.v6));
        second.v6 = first.v6;
        attach(&lab, &first, true, 0)?;
        std::thread::sleep(Duration::from_secs(2));
        second.roam(Some(2));
        Ok(Self { lab, daemons, devices: [first, second] })
    }

    fn is_served(&self, device: usize) -> bool {
        served_by(&self.lab, &self.devices[device], true, Self::NODES[device])
    }

    /// The one that is served, as soon as it is only one.
    fn served(&self) -> Result<usize, Trouble> {
        let mut served = None;
        let settled = eventually(LIMIT, || {
            served = (0..2).find(|device| self.is_served(*device));
            served.is_some()
        });
        must(settled, "not one node alone serves the client")?;
        Ok(served.unwrap_or_default())
    }

    /// How often claims of a device's node were refused.
    fn refused(&self, device: usize) -> u64 {
        self.daemons[Self::NODES[device]].counter("info_refused").unwrap_or(0)
    }

    /// A frame of the device that is not served.
    fn dispute(&self) -> Result<Answer, Trouble> {
        let other = 1 - self.served()?;
        let (before, asked) = (self.refused(other), sys::now());
        self.devices[other].ask_gateway(true);
        let mut refused = false;
        let answered = eventually(LIMIT, || {
            std::thread::sleep(Duration::from_millis(5));
            refused = self.refused(other) > before;
            refused || self.is_served(other)
        });
        self.served()?;
        Ok(match (answered, refused) {
            (true, true) => Answer::Refused { held: self.held(other, asked) },
            (true, false) => Answer::HandedOver,
            (false, _) => Answer::Nothing,
        })
    }

    /// How long a device's node had a route to it the last time, since `since`.
    fn held(&self, device: usize, since: Duration) -> Duration {
        let (node, address) = (Self::NODES[device], self.devices[device].address(true));
        let events = self.lab.watch.events(since);
        let last = |came: bool| {
            let is_it = |event: &&crate::watch::Event| {
                event.came == came
                    && event.node == node
                    && event.what == What::Route(SERVED)
                    && event.address == address
            };
            events.iter().rfind(is_it).map(|event| event.at)
        };
        last(true).zip(last(false)).map_or(Duration::ZERO, |(came, gone)| gone.saturating_sub(came))
    }
}

/// More refusals than the number after which a client is asked before it is handed over.
fn answered() -> Outcome {
    let twins = Twins::new()?;
    let wanted = if long() { 40 } else { DAMPED_AFTER + 4 };
    let (mut held, mut handed_over, mut frames) = (Vec::new(), 0, 0);
    while (held.len() as u64) < wanted && frames < 3 * wanted {
        frames += 1;
        match twins.dispute()? {
            Answer::Refused { held: time } => held.push(time),
            Answer::HandedOver => handed_over += 1,
            Answer::Nothing => return must(false, format!("frame {frames} led to no answer")),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let refusals: u64 = twins.daemons.iter().filter_map(|daemon| daemon.counter("claim_refused")).sum();
    measure(
        "claims for a client that is alive elsewhere",
        format!(
            "{frames} frames, {refusals} refusals, {handed_over} times handed over; a claim without right held {}",
            spread(&held)
        ),
    );
    must(refusals >= held.len() as u64, "not every refusal is counted by the node that refuses")?;
    bound(held.len() as u64 >= wanted, format!("only {} of {frames} claims were refused", held.len()))?;
    let worst = held.iter().max().copied().unwrap_or_default();
    bound(worst <= Duration::from_millis(500), format!("a claim without right held for {worst:.1?}"))
}

/// After some disputes one device goes: the one that is served, or the other.
fn rival_goes(served: bool) -> Outcome {
    let twins = Twins::new()?;
    let mut waits = Vec::new();
    for _ in 0..if long() { 10 } else { 3 } {
        let total = || twins.refused(0) + twins.refused(1);
        let before = total();
        let disputed = eventually(Duration::from_secs(40), || {
            let answered = twins.dispute().is_ok();
            !answered || total() >= before + DAMPED_AFTER
        });
        must(disputed, "two devices with one MAC are not disputed")?;
        let right = twins.served()?;
        let (gone, stays) = if served { (right, 1 - right) } else { (1 - right, right) };
        twins.devices[gone].roam(None);
        std::thread::sleep(Duration::from_millis(300));
        let asked = sys::now();
        twins.devices[stays].ask_gateway(true);
        let here = eventually(Duration::from_secs(4), || twins.is_served(stays));
        waits.push(sys::now() - asked);
        must(here, "not served within 4 s of its frame")?;
        twins.devices[gone].roam(Some(Twins::NODES[gone]));
    }
    let who = if served { "served" } else { "refused" };
    measure(&format!("the {who} one of two devices with one MAC goes: the other is served"), spread(&waits));
    let worst = waits.iter().max().copied().unwrap_or_default();
    bound(worst <= Duration::from_secs(1), format!("served only {worst:.1?} after its frame"))
}
