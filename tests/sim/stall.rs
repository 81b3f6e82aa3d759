//! A daemon that the machine does not run for a while: what it is told waits, source by source, and so does what it was about to do.

use std::collections::VecDeque;
use std::time::Duration;

use l3roamd::engine::Input;

use crate::clients::{ClientId, Notices};
use crate::node::NodeId;
use crate::random::seeds;
use crate::world::{Event, World, millis};

/// The sources of facts that a daemon reads in turn.
const SOURCES: usize = 5;

/// Which source tells a fact.
fn source(input: &Input) -> usize {
    match input {
        Input::IntercomReceived(_) => 1,
        Input::FrameHeard(_) => 2,
        Input::StationAssociated { .. } | Input::StationLeft { .. } | Input::StationReported { .. } => 3,
        Input::PacketForUnknown(_) => 4,
        _ => 0,
    }
}

impl World {
    /// The daemon of a node is not run for so long.
    pub fn stall(&mut self, id: NodeId, duration: Duration) {
        let run = self.nodes[id].run;
        if self.nodes[id].up && self.nodes[id].stalled.is_none() {
            self.nodes[id].stalled = Some(Vec::new());
            self.touch(id);
            self.after(duration, Event::Resume { node: id, run });
        }
    }

    /// Perhaps it is not run from now on.
    pub fn stall_perhaps(&mut self, id: NodeId) {
        let (per_mille, range) = self.conditions.stalls;
        if per_mille > 0 && self.random.below(1000) < per_mille {
            let duration = self.random.between(range);
            self.stall(id, duration);
        }
    }

    /// It is run again: it does what it was about to do, then reads one fact of each source in turn.
    pub fn resume(&mut self, id: NodeId) {
        let waiting = self.nodes[id].stalled.take().unwrap_or_default();
        self.drain(id);
        let mut sources: [VecDeque<Input>; SOURCES] = Default::default();
        for input in waiting {
            sources[source(&input)].push_back(input);
        }
        let mut turn = self.random.below(SOURCES);
        while sources.iter().any(|source| !source.is_empty()) {
            if let Some(input) = sources[turn].pop_front() {
                self.hand(self.now, id, input);
            }
            turn = (turn + 1) % SOURCES;
        }
        self.finish_round(id, false);
    }
}

fn settled(seed: u64) -> (World, ClientId) {
    let mut world = World::chain(seed, 3);
    let client = world.add_client(2);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    world.check_quiet();
    (world, client)
}

/// Sends packets from every node, every 5 ms, for a while.
fn traffic(world: &mut World, client: ClientId, duration: Duration) {
    let end = world.now + duration;
    let addresses = world.clients[client].addresses.clone();
    let mut turn = 0;
    while world.now < end {
        for node in 0..world.nodes.len() {
            world.send_packet(node, addresses[turn % addresses.len()]);
        }
        turn += 1;
        world.run_for(Duration::from_millis(5));
    }
}

/// Claims, news, frames and packets are read late and in any order, and orders are carried out late. What a node sends to a client that it
/// has no way to know to be gone is on the air. (A claim that was read late may pass for a fresh one: then packets wait where the client is not,
/// and a few of a million grow too old.)
#[test]
fn a_daemon_that_is_not_run_for_a_while_loses_no_packet() {
    let (mut sent, mut lost) = (0, 0);
    for seed in seeds(6, 100) {
        for routing in [millis(0, 0), millis(300, 4000), millis(60_000, 60_000)] {
            let (mut world, client) = settled(seed);
            (world.conditions.announce, world.conditions.withdraw) = (routing, routing);
            world.conditions.stalls = (10, millis(1, 400));
            for _ in 0..8 {
                let at = world.clients[client].at.unwrap_or(0);
                let next = (at + 1 + world.random.below(2)) % 3;
                let stay = world.random.between(millis(400, 1500));
                world.roam(client, Some(next), Notices::Frame);
                traffic(&mut world, client, stay);
            }
            world.conditions.stalls = (0, millis(0, 0));
            traffic(&mut world, client, Duration::from_secs(1));
            world.run_for(Duration::from_secs(75));
            let traffic = &world.traffic;
            sent += traffic.sent;
            lost += traffic.sent - traffic.delivered - traffic.lost_on_air;
            assert_eq!((traffic.without_route, traffic.looped), (0, 0));
            world.check_quiet();
        }
    }
    assert!(lost * 1000 <= sent, "{lost} of {sent} packets lost");
}
