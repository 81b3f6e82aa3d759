//! Packets for unknown addresses: found, given up, and never amplified.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use l3roamd::engine::config::Tunables;
use l3roamd::engine::output::IntercomDestination;
use l3roamd::engine::stats::Counter;
use l3roamd::net::IfIndex;
use l3roamd::wire::intercom::{self, Body, Capabilities, Packet, Tail};

use crate::clients::Notices;
use crate::kernel::FIRST_MESH;
use crate::node::node_address;
use crate::random::seeds;
use crate::world::World;

fn nobody(number: u64) -> IpAddr {
    let [.., a, b, c, d] = number.to_be_bytes();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0xdead, 0, high, low))
}

#[test]
fn a_silent_client_is_found_by_seek_and_no_packet_is_lost() {
    for seed in seeds(20, 500) {
        let mut world = World::radio(seed, 6);
        let client = world.add_client(2);
        world.roam(client, Some(0), Notices::Nothing);
        for address in world.clients[client].addresses.clone() {
            for _ in 0..10 {
                world.send_packet(5, address);
                world.run_for(Duration::from_millis(6));
            }
            world.run_for(Duration::from_millis(60));
        }
        assert_eq!((world.traffic.sent, world.traffic.delivered), (20, 20), "{:?}", world.traffic);
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
    }
}

#[test]
fn a_client_that_returns_where_it_was_silently_is_found_from_memory() {
    for seed in seeds(5, 100) {
        let mut world = World::chain(seed, 3);
        let client = world.add_client(2);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        world.roam(client, Some(1), Notices::Frame);
        world.run_for(Duration::from_secs(60));
        world.roam(client, None, Notices::Nothing);
        world.run_for(Duration::from_secs(60));
        world.check_quiet();
        world.roam(client, Some(0), Notices::Nothing);
        let before = world.traffic.delivered;
        let address = world.clients[client].addresses[0];
        world.send_packet(2, address);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.traffic.delivered, before + 1);
    }
}

#[test]
fn a_scan_of_random_addresses_is_not_amplified() {
    for seed in seeds(2, 20) {
        let mut world = World::radio(seed, 6);
        for _ in 0..20 {
            let client = world.add_client(2);
            world.attach(client, client % 6);
        }
        world.run_for(Duration::from_secs(8));
        let before = world.traffic.clone();
        let (seconds, rate) = (10, 500);
        for number in 0..seconds * rate {
            world.send_packet(0, nobody(number));
            world.run_for(Duration::from_secs(1) / u32::try_from(rate).unwrap());
        }
        world.run_for(Duration::from_secs(10));
        let tunables = Tunables::default();
        let engine = world.nodes[0].engine().unwrap();
        let seeks = engine.counters().get(Counter::SeekSent);
        assert!(seeks <= (seconds + 6) * u64::from(tunables.seek_rate), "{seeks} SEEKs");
        // Each node passes each of them on once.
        let passed_on = world.traffic.intercom[0] - before.intercom[0];
        assert!(passed_on <= seeks * 6, "{passed_on} SEEKs from {seeks}");
        let unreachable = world.traffic.unreachable - before.unreachable;
        assert!(
            unreachable <= (seconds + 6) * u64::from(tunables.unreachable_rate),
            "{unreachable} ICMP errors"
        );
        // Asked: at node 0 each client and everybody, then everybody five times more; elsewhere each client and everybody, once for a SEEK.
        let searches = u64::try_from(tunables.max_searches).unwrap() * (2 + seconds / 5);
        let asked = world.traffic.probes - before.probes;
        assert!(asked <= searches * 12 + seeks * 5 * 6 + 400, "{asked} requests, {seeks} SEEKs");
        assert_eq!(engine.waiting(), (0, 0));
        world.check_quiet();
    }
}

#[test]
fn packets_to_one_address_that_nobody_has_cost_a_few_seeks() {
    for seed in seeds(5, 50) {
        let mut world = World::chain(seed, 3);
        for _ in 0..300 {
            world.send_packet(1, nobody(1));
            world.run_for(Duration::from_millis(100));
        }
        world.run_for(Duration::from_secs(10));
        let engine = world.nodes[1].engine().unwrap();
        let seeks = engine.counters().get(Counter::SeekSent);
        // One every 3 s while packets wait, which they do for 5 s after the last one came.
        assert!(seeks <= 13, "{seeks} SEEKs in 35 s");
        assert!(world.traffic.unreachable > 100, "the senders are told");
        assert_eq!(engine.waiting(), (0, 0));
    }
}

#[test]
fn an_address_that_was_just_sought_in_vain_is_not_sought_again() {
    let mut world = World::chain(1, 3);
    world.send_packet(1, nobody(1));
    world.run_for(Duration::from_secs(6));
    let seeks = world.traffic.intercom[0];
    assert_eq!(world.traffic.unreachable, 1);
    for sent in 0..20 {
        world.send_packet(1, nobody(1));
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.traffic.unreachable, sent + 2, "the sender is told at once");
    }
    assert_eq!(world.traffic.intercom[0], seeks);
    // A client that comes up there meanwhile is reached all the same.
    let client = world.add_client(1);
    let address = world.clients[client].addresses[0];
    world.send_packet(1, address);
    world.run_for(Duration::from_secs(6));
    world.attach(client, 0);
    world.run_for(Duration::from_millis(10));
    world.send_packet(1, address);
    world.run_for(Duration::from_millis(10));
    assert_eq!(world.traffic.delivered, 1);
}

#[test]
fn waiting_packets_are_bounded_in_every_way_and_leave_in_order() {
    let tunables = Tunables { max_queue_packets: 100, max_queue_per_address: 30, ..Tunables::default() };
    for seed in seeds(5, 50) {
        let mut world = World::chain_with(seed, 2, &[], tunables.clone());
        let client = world.add_client(1);
        let address = world.clients[client].addresses[0];
        for number in 0..400 {
            world.send_packet(1, if number % 4 == 0 { address } else { nobody(number) });
            world.run_for(Duration::from_millis(1));
        }
        assert!(world.nodes[1].engine().unwrap().waiting().0 <= 100);
        world.roam(client, Some(0), Notices::Frame);
        world.run_for(Duration::from_secs(1));
        assert!(world.traffic.delivered > 0 && world.traffic.delivered <= 30, "{:?}", world.traffic);
        world.run_for(Duration::from_secs(10));
        world.check_quiet();
    }
}

/// Floods `rate` SEEKs per second for two seconds from node 5, and gives how many the others passed on, and how much they asked.
fn flooded(seed: u64, rate: u32, sender: impl Fn(u16) -> Ipv6Addr) -> (u64, u64) {
    let mut world = World::chain(seed, 6);
    let before = world.traffic.clone();
    for number in 0..2 * rate {
        let IpAddr::V6(address) = nobody(u64::from(number)) else { continue };
        let body = Body::Seek { address, tail: Tail::default() };
        let (nonce, sender) = (number, sender(u16::try_from(number).unwrap()));
        let packet = Packet { ttl: 255, capabilities: Capabilities(1), nonce, sender, body };
        world.transmit(5, IntercomDestination::Mesh(IfIndex(FIRST_MESH)), intercom::emit(&packet));
        world.run_for(Duration::from_secs(1) / rate);
    }
    world.run_for(Duration::from_secs(1));
    (world.traffic.intercom[0] - before.intercom[0], world.traffic.probes - before.probes)
}

#[test]
fn a_node_that_floods_is_held_to_its_rate_by_its_neighbours() {
    for seed in seeds(2, 20) {
        let rate = Tunables::default().flood_rate;
        let (passed_on, asked) = flooded(seed, 10 * rate, |_| node_address(5));
        // Two seconds and one second's worth at once; each of four nodes passes it on to two interfaces, the last one to one.
        let bound = u64::from(3 * rate);
        assert!(passed_on <= bound * 9, "{passed_on} floods passed on");
        assert!(asked <= bound * 5, "{asked} requests");
    }
}

#[test]
fn a_node_that_floods_under_many_names_is_held_to_the_table_of_floods() {
    for seed in seeds(2, 20) {
        let rate = 5000;
        let (passed_on, asked) = flooded(seed, rate, |n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, n));
        let bound = 2 * u64::try_from(Tunables::default().max_seen_floods).unwrap();
        assert!(passed_on <= bound * 9, "{passed_on} floods passed on");
        assert!(asked <= bound * 5, "{asked} requests");
    }
}
