//! No packet is lost: relay, buffers, drained routes.

use std::time::Duration;

use crate::clients::{ClientId, Notices};
use crate::node::NodeId;
use crate::random::seeds;
use crate::world::{World, millis};

const SETTLE: Duration = Duration::from_secs(8);
/// No drained route of a client that stays stands for longer.
const OVERLAP: Duration = Duration::from_millis(10_100);
/// Nor one of a client that walked on and on.
const LONGEST_OVERLAP: Duration = Duration::from_millis(50_100);

fn settled(seed: u64, nodes: usize) -> (World, ClientId) {
    let mut world = World::chain(seed, nodes);
    let client = world.add_client(2);
    world.attach(client, 0);
    world.run_for(SETTLE);
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

/// Every packet was delivered once or went into the air after the client had gone, and nothing is left.
fn check_nothing_lost(world: &mut World, most_on_air: u64) {
    world.run_for(LONGEST_OVERLAP);
    let traffic = &world.traffic;
    assert_eq!(traffic.delivered + traffic.lost_on_air, traffic.sent, "{traffic:?}");
    assert!(traffic.lost_on_air <= most_on_air, "{traffic:?}");
    assert_eq!((traffic.unreachable, traffic.looped), (0, 0));
    for id in 0..world.nodes.len() {
        let Some(engine) = world.nodes[id].engine() else { continue };
        assert_eq!(engine.drained().count(), 0, "node {id} drains for ever");
        assert_eq!(engine.waiting(), (0, 0), "packets wait for ever at node {id}");
    }
    world.check_quiet();
}

#[test]
fn nothing_is_lost_in_roams_however_slow_the_routing_is() {
    for seed in seeds(10, 200) {
        for slowest in [0, 500, 8000] {
            let (mut world, client) = settled(seed, 3);
            world.conditions.announce = millis(slowest / 10, slowest);
            world.conditions.withdraw = millis(slowest / 10, slowest);
            for node in [2, 0, 2, 1, 0] {
                traffic(&mut world, client, Duration::from_millis(300));
                world.roam(client, Some(node), Notices::Frame);
            }
            traffic(&mut world, client, Duration::from_millis(300));
            world.run_for(Duration::from_secs(9));
            // The frame that shows the client takes up to 4 ms: two rounds of packets go where it was. Where a route to the node-client
            // address is old, the claim is flooded a tenth of a second later.
            let rounds = if slowest == 0 { 2 } else { 22 };
            check_nothing_lost(&mut world, 5 * rounds * 3);
        }
    }
}

#[test]
fn nothing_is_lost_while_routing_stands_still() {
    for seed in seeds(10, 200) {
        let (mut world, client) = settled(seed, 3);
        // Longer than the overlap: in the end nothing but the relay knows the way.
        (world.conditions.announce, world.conditions.withdraw) =
            (millis(40_000, 40_000), millis(40_000, 40_000));
        for node in [0, 2, 0, 1, 2] {
            world.roam(client, Some(node), Notices::Frame);
            traffic(&mut world, client, Duration::from_millis(500));
        }
        traffic(&mut world, client, Duration::from_secs(12));
        assert!(world.traffic.relayed > 1000, "{:?}", world.traffic);
        world.run_for(Duration::from_secs(60));
        check_nothing_lost(&mut world, 5 * 2 * 3);
    }
}

#[test]
fn lost_and_late_control_messages_cost_time_but_no_packet() {
    for seed in seeds(10, 200) {
        let (mut world, client) = settled(seed, 3);
        (world.conditions.announce, world.conditions.withdraw) = (millis(500, 3000), millis(500, 3000));
        for node in [2, 0, 2, 0] {
            traffic(&mut world, client, Duration::from_millis(200));
            // Until the claim, the news and its acknowledgement are through.
            world.conditions.loss = 20;
            world.roam(client, Some(node), Notices::Frame);
            for _ in 0..300 {
                world.run_for(Duration::from_millis(10));
                if world.nodes[node].serves(world.clients[client].mac) {
                    break;
                }
            }
            world.conditions.loss = 0;
            world.run_for(Duration::from_secs(4));
        }
        check_nothing_lost(&mut world, 0);
    }
}

#[test]
fn a_radio_gap_loses_nothing_that_was_sent_after_the_station_was_lost() {
    for seed in seeds(20, 200) {
        for back_at in [0, 2] {
            let (mut world, client) = settled(seed, 3);
            world.roam(client, Some(1), Notices::Station);
            world.run_for(SETTLE);
            world.conditions.leave_notice = 100;
            world.roam(client, None, Notices::Nothing);
            // The access point has noticed.
            world.run_for(Duration::from_millis(5));
            traffic(&mut world, client, Duration::from_millis(200));
            world.roam(client, Some(if back_at == 0 { 1 } else { back_at }), Notices::Station);
            traffic(&mut world, client, Duration::from_millis(100));
            world.run_for(Duration::from_secs(3));
            world.show_all(client);
            check_nothing_lost(&mut world, 0);
        }
    }
}

#[test]
fn a_host_at_the_old_node_sends_through_the_kernel_when_the_overlap_is_over() {
    for seed in seeds(5, 100) {
        let (mut world, client) = settled(seed, 3);
        (world.conditions.announce, world.conditions.withdraw) = (millis(50, 2000), millis(50, 2000));
        world.roam(client, Some(2), Notices::Frame);
        world.run_for(Duration::from_millis(50));
        let address = world.clients[client].addresses[0];
        let send = |world: &mut World| {
            for _ in 0..20 {
                world.send_packet(0, address);
                world.run_for(Duration::from_millis(1));
            }
            world.run_for(Duration::from_millis(50));
            world.traffic.relayed
        };
        let relayed = send(&mut world);
        assert_eq!(relayed, 20);
        world.run_for(OVERLAP);
        assert_eq!(send(&mut world), relayed);
        check_nothing_lost(&mut world, 0);
    }
}

/// Restarts and partitions in the middle of handovers may lose packets, but leave nothing behind.
#[test]
fn handovers_that_are_cut_off_leave_no_drained_route_and_no_waiting_packet() {
    for seed in seeds(30, 500) {
        let (mut world, client) = settled(seed, 4);
        (world.conditions.announce, world.conditions.withdraw) = (millis(50, 2000), millis(50, 2000));
        for turn in 0..6 {
            let node: NodeId = world.random.below(4);
            let victim: NodeId = world.random.below(4);
            world.roam(client, Some(node), Notices::Frame);
            let pause = world.random.between(millis(0, 6));
            world.run_for(pause);
            match (seed + turn) % 3 {
                0 => {
                    world.crash(victim);
                    traffic(&mut world, client, Duration::from_millis(50));
                    world.start(victim);
                }
                1 => {
                    world.partition(&[victim]);
                    traffic(&mut world, client, Duration::from_millis(100));
                    world.merge();
                }
                _ => traffic(&mut world, client, Duration::from_millis(100)),
            }
            world.show_all(client);
            world.run_for(Duration::from_millis(500));
        }
        for _ in 0..2 {
            world.show_all(client);
            world.run_for(Duration::from_secs(2));
        }
        world.run_for(Duration::from_secs(45));
        for id in 0..world.nodes.len() {
            let Some(engine) = world.nodes[id].engine() else { continue };
            assert_eq!((engine.drained().count(), engine.waiting()), (0, (0, 0)), "node {id}");
        }
        world.check_quiet();
    }
}
