//! Our nodes and old ones (the model of the C daemon) in one mesh.

use std::time::Duration;

use l3roamd::engine::config::Tunables;

use crate::clients::Notices;
use crate::node::NodeId;
use crate::random::seeds;
use crate::world::World;

const SETTLE: Duration = Duration::from_secs(8);

/// A row of three nodes, the ones named old, with a client at `first`.
fn settled(seed: u64, old: &[NodeId], addresses: usize, first: NodeId) -> (World, usize) {
    let mut world = World::chain_with(seed, 3, old, Tunables::default());
    let client = world.add_client(addresses);
    world.attach(client, first);
    world.run_for(SETTLE);
    world.check_quiet();
    (world, client)
}

#[test]
fn a_client_comes_from_an_old_node() {
    for seed in seeds(20, 200) {
        let (mut world, client) = settled(seed, &[0], 4, 0);
        world.roam(client, Some(2), Notices::Frame);
        world.run_for(Duration::from_millis(60));
        world.check_quiet();
        world.run_for(SETTLE);
        world.check_quiet();
    }
}

#[test]
fn a_client_goes_to_an_old_node() {
    for seed in seeds(20, 200) {
        for addresses in [2, 4, 16] {
            let (mut world, client) = settled(seed, &[0], addresses, 2);
            world.roam(client, Some(0), Notices::Frame);
            world.show_all(client);
            world.run_for(Duration::from_millis(60));
            world.check_quiet();
            world.run_for(SETTLE);
            world.check_quiet();
        }
    }
}

#[test]
fn a_client_that_wanders_between_old_nodes_and_ours_is_always_found() {
    for seed in seeds(20, 200) {
        for old in [&[0][..], &[1], &[2]] {
            let (mut world, client) = settled(seed, old, 3, 0);
            let mut at = 0;
            for _ in 0..12 {
                at = (at + 1 + world.random.below(2)) % 3;
                world.roam(client, Some(at), Notices::Frame);
                world.show_all(client);
                world.run_for(Duration::from_secs(3));
                world.check_quiet();
            }
        }
    }
}

#[test]
fn an_old_node_in_between_passes_searches_on() {
    for seed in seeds(10, 100) {
        let mut world = World::chain_with(seed, 3, &[1], Tunables::default());
        let client = world.add_client(2);
        world.roam(client, Some(2), Notices::Nothing);
        let address = world.clients[client].addresses[0];
        world.send_packet(0, address);
        world.run_for(Duration::from_millis(60));
        assert_eq!(world.traffic.delivered, 1);
    }
}
