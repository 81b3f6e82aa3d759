//! Nodes that had a client before: what they remember, pass on, and must not believe.

use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::FrameHeard;
use l3roamd::wire::frame::FrameContent;

use crate::clients::{ClientId, Notices};
use crate::kernel::PORTS;
use crate::random::seeds;
use crate::world::{World, millis};

/// A row of nodes where no node ever hears of another's routes, with a client of four addresses at node 0.
fn without_routing(seed: u64, nodes: usize) -> (World, ClientId) {
    let mut world = World::chain(seed, nodes);
    let never = millis(1_000_000_000, 1_000_000_001);
    (world.conditions.announce, world.conditions.withdraw) = (never, never);
    let client = world.add_client(4);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    world.check_quiet();
    (world, client)
}

#[test]
fn a_claim_that_follows_a_stale_route_is_answered_by_the_present_holder_in_the_end() {
    for seed in seeds(20, 500) {
        let mut world = World::ring(seed, 5);
        let client = world.add_client(4);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        // From now on nobody hears of routes: every claim goes towards node 0.
        let late = millis(60_000, 60_001);
        (world.conditions.announce, world.conditions.withdraw) = (late, late);
        for node in [1, 2, 3, 4] {
            world.roam(client, Some(node), Notices::Frame);
            world.run_for(Duration::from_millis(1200));
            world.check_quiet();
        }
        world.run_for(Duration::from_secs(120));
        world.check_quiet();
    }
}

#[test]
fn a_claim_to_a_former_holder_is_passed_on_to_the_present_one() {
    for seed in seeds(20, 500) {
        let (mut world, client) = without_routing(seed, 4);
        for node in [1, 2, 3] {
            world.roam(client, Some(node), Notices::Frame);
            world.run_for(Duration::from_secs(4));
            world.check_quiet();
        }
        // Node 0 remembers node 1, which remembers node 2, which remembers node 3. A flood would come 100 ms later.
        world.roam(client, Some(0), Notices::Frame);
        world.run_for(Duration::from_millis(50));
        world.check_quiet();
    }
}

#[test]
fn an_answer_from_memory_does_not_end_the_search_for_the_present_holder() {
    for seed in seeds(20, 500) {
        let (mut world, client) = without_routing(seed, 4);
        for node in [1, 3] {
            world.roam(client, Some(node), Notices::Frame);
            world.run_for(Duration::from_secs(4));
        }
        // Node 3 hears neither the claim that is passed on to it nor the first flood, which nodes 0 and 1 answer from memory.
        world.partition(&[3]);
        world.roam(client, Some(2), Notices::Frame);
        world.run_for(Duration::from_millis(800));
        assert_eq!(world.nodes[2].kernel.routes.len(), 4, "the addresses are known from memory");
        world.merge();
        world.run_for(Duration::from_secs(2));
        world.check_quiet();
    }
}

#[test]
fn a_frame_that_is_read_after_the_claim_does_not_take_the_client_back() {
    for seed in seeds(10, 200) {
        let mut world = World::chain(seed, 2);
        let client = world.add_client(2);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        world.roam(client, Some(1), Notices::Frame);
        let (source, address) = (world.clients[client].mac, world.clients[client].addresses[0]);
        for _ in 0..8 {
            world.run_for(Duration::from_millis(10));
            let (interface, content) = (PORTS[0], FrameContent::Uses(address));
            world.tell(0, Input::FrameHeard(FrameHeard { interface, source, content }));
        }
        let before = world.traffic.intercom_total();
        for _ in 0..50 {
            world.check_quiet();
            world.run_for(Duration::from_millis(100));
        }
        assert_eq!(world.traffic.intercom_total(), before);
    }
}

#[test]
fn a_claim_older_than_what_the_holder_heard_since_is_ignored() {
    for seed in seeds(10, 200) {
        let mut world = World::chain(seed, 2);
        let client = world.add_client(2);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        world.partition(&[1]);
        world.roam(client, Some(1), Notices::Frame);
        world.run_for(Duration::from_millis(1500));
        world.roam(client, Some(0), Notices::Frame);
        world.run_for(Duration::from_millis(100));
        world.merge();
        for _ in 0..450 {
            world.run_for(Duration::from_millis(100));
            let routed = world.clients[client].addresses.iter();
            let missing =
                routed.filter(|address| world.nodes[0].kernel.host_route(**address).is_none()).count();
            assert_eq!(missing, 0, "node 0 has given the client away");
        }
        world.check_quiet();
    }
}

#[test]
fn of_two_nodes_that_claim_at_once_the_one_that_has_the_client_serves_it() {
    for seed in seeds(20, 500) {
        let (mut world, client) = without_routing(seed, 4);
        world.conditions.latency = millis(20, 40);
        world.roam(client, Some(1), Notices::Frame);
        world.run_for(Duration::from_millis(5 + seed));
        world.roam(client, Some(3), Notices::Frame);
        world.run_for(Duration::from_secs(1));
        let mac = world.clients[client].mac;
        let serving: Vec<_> = (0..4).filter(|node| world.nodes[*node].serves(mac)).collect();
        assert_eq!(serving, [3]);
        // An INFO that came after its claim was yielded is not used: the other addresses wait for the client's word.
        world.show_all(client);
        world.run_for(Duration::from_secs(3));
        world.check_quiet();
    }
}
