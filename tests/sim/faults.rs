//! Bad networks: loss, duplication, reordering, partition; and a clock that goes back.

use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::stats::Counter;
use l3roamd::time::Timestamp;

use crate::clients::Notices;
use crate::random::seeds;
use crate::world::{World, millis};

/// After this an address that nobody confirms has been probed in vain.
const LIVENESS: Duration = Duration::from_secs(45);

#[test]
fn clients_are_handed_over_though_a_third_of_all_packets_is_lost() {
    let (mut late, mut moved) = (0, 0);
    for seed in seeds(30, 1000) {
        let mut world = World::chain(seed, 4);
        let clients: Vec<_> = (0..10).map(|_| world.add_client(3)).collect();
        for client in &clients {
            world.attach(*client, 0);
        }
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
        world.conditions.loss = 30;
        for client in &clients {
            world.roam(*client, Some(1 + client % 3), Notices::Frame);
        }
        world.run_for(Duration::from_secs(6));
        let still =
            clients.iter().filter(|client| world.nodes[0].serves(world.clients[**client].mac)).count();
        (late, moved) = (late + still, moved + clients.len());
        // Where no claim came through in three seconds, the client's own words and the old node's probes do the rest.
        for client in &clients {
            world.show_all(*client);
        }
        world.run_for(LIVENESS);
        world.check_quiet();
    }
    assert!(late * 50 <= moved, "{late} of {moved} claims did not come through");
}

#[test]
fn duplicated_and_reordered_packets_are_harmless() {
    for seed in seeds(30, 1000) {
        let mut world = World::ring(seed, 5);
        world.conditions.duplication = 40;
        world.conditions.latency = millis(0, 40);
        let client = world.add_client(3);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
        for turn in 0..20 {
            world.roam(client, Some((turn * 2 + 1) % 5), Notices::Frame);
            world.run_for(Duration::from_secs(1));
        }
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
    }
}

#[test]
fn after_a_partition_a_client_is_served_where_it_is() {
    for seed in seeds(20, 500) {
        let mut world = World::chain(seed, 4);
        let clients: Vec<_> = (0..6).map(|_| world.add_client(2)).collect();
        for client in &clients {
            world.attach(*client, client % 2);
        }
        world.run_for(Duration::from_secs(8));
        world.partition(&[0, 1]);
        for client in &clients[..4] {
            world.roam(*client, Some(2 + client % 2), Notices::Frame);
        }
        world.run_for(Duration::from_secs(5));
        world.merge();
        for client in &clients {
            world.show_all(*client);
        }
        world.run_for(LIVENESS);
        world.check_quiet();
        for client in &clients {
            world.roam(*client, Some(0), Notices::Frame);
        }
        world.run_for(Duration::from_secs(2));
        world.check_quiet();
    }
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    for seed in seeds(5, 100) {
        let mut world = World::chain(seed, 3);
        let client = world.add_client(3);
        world.attach(client, 0);
        for turn in 0..20 {
            world.run_for(Duration::from_millis(97));
            for node in 0..3 {
                let back =
                    if turn % 2 == 0 { Timestamp::ZERO } else { world.now.before(Duration::from_secs(3)) };
                world.tell_at(back, node, Input::Timeout);
                world.dump(node);
            }
            world.roam(client, Some(turn % 3), Notices::Frame);
        }
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
    }
}

/// From a roam until the old node has the ACK and relays, for many clients whose roams and whose packets' losses are independent.
fn completed_after(percent: u32) -> Vec<Duration> {
    let mut times = Vec::new();
    // With half as many a percentile lies before or behind a retransmission as the draws fall.
    for seed in seeds(200, 400) {
        let mut world = World::chain(seed, 3);
        world.conditions.latency = millis(0, 1);
        let client = world.add_client(2);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
        world.conditions.loss = percent;
        for turn in 0..20 {
            let (old, new) = if turn % 2 == 0 { (0, 2) } else { (2, 0) };
            let handed = |world: &World| {
                world.nodes[old].engine().map_or(0, |e| e.counters().get(Counter::HandoverOutgoing))
            };
            let before = handed(&world);
            let start = world.now;
            world.roam(client, Some(new), Notices::Frame);
            while handed(&world) == before && world.now.since(start) < Duration::from_secs(4) {
                world.run_for(Duration::from_millis(1));
            }
            times.push(world.now.since(start));
            world.run_for(Duration::from_millis(700));
        }
    }
    times.sort_unstable();
    times
}

#[test]
fn handovers_are_complete_in_time_though_links_lose_control_messages() {
    // In milliseconds; some five of them pass until the roam is noticed.
    for (percent, of_hundred, of_thousand) in [(5, 60, 250), (20, 1000, 3000)] {
        let times = completed_after(percent);
        let at = |rank: usize| times[(times.len() * rank / 1000).min(times.len() - 1)];
        let (late, latest) = (at(990), at(999));
        println!("{percent} % lost: median {:?}, 99th {late:?}, 99.9th {latest:?}", at(500));
        assert!(late <= Duration::from_millis(of_hundred), "{percent} % lost: 99th percentile {late:?}");
        assert!(latest <= Duration::from_millis(of_thousand), "{percent} % lost: 99.9th {latest:?}");
    }
}
