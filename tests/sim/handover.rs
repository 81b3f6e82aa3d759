//! A client goes from node to node.

use std::time::Duration;

use crate::clients::Notices;
use crate::random::seeds;
use crate::world::{World, millis};

const SETTLE: Duration = Duration::from_secs(8);

/// A world of three nodes in a row with a client of `addresses` at the first one.
fn settled(seed: u64, addresses: usize) -> (World, usize) {
    let mut world = World::chain(seed, 3);
    let client = world.add_client(addresses);
    world.attach(client, 0);
    world.run_for(SETTLE);
    world.check_quiet();
    (world, client)
}

#[test]
fn a_roam_noticed_by_any_kind_of_evidence_is_handed_over_with_four_packets_at_most() {
    for seed in seeds(5, 200) {
        for notices in [Notices::Frame, Notices::Bridge, Notices::Station] {
            let (mut world, client) = settled(seed, 3);
            let before = world.traffic.intercom_total();
            world.roam(client, Some(2), notices);
            world.run_for(Duration::from_millis(50));
            world.check_quiet();
            world.run_for(SETTLE);
            world.check_quiet();
            let packets = world.traffic.intercom_total() - before;
            assert!(packets <= 4, "{notices:?}: {packets} packets");
        }
    }
}

#[test]
fn a_thousand_clients_that_roam_at_once_all_move_with_four_packets_each_at_most() {
    for seed in seeds(1, 10) {
        let mut world = World::chain(seed, 3);
        for _ in 0..1000 {
            let client = world.add_client(3);
            world.attach(client, 0);
            world.run_for(Duration::from_millis(2));
        }
        world.run_for(SETTLE);
        world.check_quiet();
        let before = world.traffic.intercom_total();
        for client in 0..1000 {
            world.roam(client, Some(2), Notices::Frame);
        }
        world.run_for(Duration::from_secs(2));
        world.check_quiet();
        let packets = world.traffic.intercom_total() - before;
        assert!(packets <= 4000, "{packets} packets for a thousand clients");
        world.run_for(SETTLE);
        world.check_quiet();
    }
}

#[test]
fn a_client_that_flaps_every_300_ms_ends_up_where_it_stays() {
    for seed in seeds(20, 500) {
        let (mut world, client) = settled(seed, 3);
        if seed % 2 == 0 {
            (world.conditions.announce, world.conditions.withdraw) = (millis(50, 2000), millis(50, 4000));
        }
        for turn in 0..41 {
            world.roam(client, Some(if turn % 2 == 0 { 2 } else { 0 }), Notices::Frame);
            world.run_for(Duration::from_millis(300));
        }
        world.run_for(SETTLE);
        world.check_quiet();
    }
}

#[test]
fn all_of_sixteen_addresses_are_handed_over() {
    for seed in seeds(5, 100) {
        let (mut world, client) = settled(seed, 16);
        for node in [1, 2, 0] {
            world.roam(client, Some(node), Notices::Bridge);
            world.run_for(Duration::from_millis(60));
            world.check_quiet();
        }
    }
}

#[test]
fn a_new_address_is_routed_when_duplicate_detection_is_over() {
    for seed in seeds(3, 50) {
        let (mut world, client) = settled(seed, 1);
        world.add_address(client, "2001:db8:1::abcd".parse().unwrap());
        world.run_for(Duration::from_millis(1010));
        world.check_quiet();
        world.roam(client, Some(1), Notices::Station);
        world.run_for(Duration::from_millis(60));
        world.check_quiet();
    }
}

#[test]
fn a_client_whose_roam_nobody_notices_is_found_because_packets_for_it_fail() {
    for seed in seeds(5, 100) {
        let (mut world, client) = settled(seed, 2);
        world.roam(client, Some(2), Notices::Nothing);
        let address = world.clients[client].addresses[0];
        for _ in 0..300 {
            world.send_packet(1, address);
            world.run_for(Duration::from_millis(100));
        }
        let last = world.traffic.delivered;
        world.send_packet(1, address);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.traffic.delivered, last + 1);
        world.run_for(Duration::from_secs(50));
        world.check_quiet();
    }
}

#[test]
fn a_client_that_leaves_for_good_leaves_nothing_behind() {
    for seed in seeds(5, 100) {
        let (mut world, client) = settled(seed, 4);
        world.roam(client, None, Notices::Nothing);
        world.run_for(Duration::from_secs(60));
        world.check_quiet();
    }
}

#[test]
fn slow_routing_delays_no_handover() {
    for seed in seeds(20, 500) {
        let (mut world, client) = settled(seed, 3);
        (world.conditions.announce, world.conditions.withdraw) = (millis(50, 2000), millis(1000, 10_000));
        for node in [1, 2, 1, 0] {
            world.roam(client, Some(node), Notices::Frame);
            world.run_for(Duration::from_millis(700));
            world.check_quiet();
        }
        world.run_for(Duration::from_secs(30));
        world.check_quiet();
    }
}

#[test]
fn packets_to_a_roaming_client_wait_for_the_new_route_and_arrive() {
    for (seed, slow) in seeds(10, 200).into_iter().flat_map(|seed| [(seed, false), (seed, true)]) {
        let (mut world, client) = settled(seed, 2);
        if slow {
            (world.conditions.announce, world.conditions.withdraw) = (millis(50, 2000), millis(50, 2000));
        }
        let addresses = world.clients[client].addresses.clone();
        for turn in 0..200 {
            if turn % 60 == 30 {
                world.roam(client, Some(2 - turn / 60), Notices::Frame);
            }
            for sender in 0..3 {
                world.send_packet(sender, addresses[turn % 2]);
            }
            world.run_for(Duration::from_millis(100));
        }
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
        let traffic = &world.traffic;
        assert_eq!(traffic.delivered + traffic.lost_on_air + traffic.looped, traffic.sent, "{traffic:?}");
        // Lost is what was sent between the roam and the first frame: three packets each time.
        assert!(traffic.lost_on_air <= 9, "{traffic:?}");
    }
}

#[test]
fn a_client_that_flaps_faster_than_packets_travel_is_served_or_found_where_it_stays() {
    for seed in seeds(40, 1000) {
        let (mut world, client) = settled(seed, 3);
        world.conditions.latency = millis(10, 60);
        for turn in 0..21 {
            world.roam(client, Some(if turn % 2 == 0 { 2 } else { 0 }), Notices::Frame);
            world.run_for(Duration::from_millis(10 + seed % 90));
        }
        world.run_for(Duration::from_secs(45));
        let before = world.traffic.delivered;
        for address in world.clients[client].addresses.clone() {
            world.send_packet(1, address);
        }
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.traffic.delivered, before + 3, "{:?}", world.traffic);
        world.check_quiet();
    }
}

#[test]
fn on_a_slow_link_nothing_is_repeated_before_it_can_have_been_answered() {
    for seed in seeds(5, 100) {
        let mut world = World::chain(seed, 2);
        world.conditions.latency = millis(20, 21);
        let clients: Vec<_> = (0..20).map(|_| world.add_client(2)).collect();
        for client in &clients {
            world.attach(*client, 0);
        }
        world.run_for(SETTLE);
        // The first one measures the way.
        world.roam(clients[0], Some(1), Notices::Frame);
        world.run_for(Duration::from_millis(200));
        let before = world.traffic.intercom_total();
        for client in &clients[1..] {
            world.roam(*client, Some(1), Notices::Frame);
        }
        world.run_for(SETTLE);
        world.check_quiet();
        assert_eq!(world.traffic.intercom_total() - before, 3 * 19);
    }
}
