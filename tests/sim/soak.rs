//! Long random runs: everything at once.

use std::collections::BTreeMap;
use std::time::Duration;

use l3roamd::engine::config::Tunables;

use crate::clients::{ClientId, Notices};
use crate::node::NodeId;
use crate::random::{long, seeds};
use crate::world::{World, millis};

/// Associated stations that nobody reports as gone are asked every 5 minutes and an eighth.
const LAST_DOUBT: Duration = Duration::from_secs(345);

fn client_goes(world: &mut World, id: ClientId) {
    let node = world.random.below(world.nodes.len());
    let notices = [Notices::Frame, Notices::Frame, Notices::Bridge, Notices::Station, Notices::Nothing];
    let notices = notices[world.random.below(notices.len())];
    let to = if world.random.chance(5) { None } else { Some(node) };
    world.roam(id, to, notices);
}

fn something_happens(world: &mut World, clients: usize) {
    let client = world.random.below(clients);
    let node = world.random.below(world.nodes.len());
    match world.random.below(100) {
        0..55 => client_goes(world, client),
        55..60 => world.show_all(client),
        60..80 => {
            let count = world.clients[client].addresses.len();
            let address = world.clients[client].addresses[world.random.below(count)];
            world.send_packet(node, address);
        }
        80..82 if world.nodes[node].up => world.crash(node),
        82..83 if world.nodes[node].up => world.stop(node),
        83..88 if !world.nodes[node].up => world.start(node),
        88..90 => {
            let side: Vec<_> = (0..world.nodes.len()).filter(|n| n % 3 == node % 3).collect();
            world.partition(&side);
        }
        90..94 => world.merge(),
        94..96 => world.conditions.loss = u32::try_from(world.random.below(40)).unwrap(),
        96..97 => world.conditions.latency = millis(1, 1 + u64::try_from(world.random.below(50)).unwrap()),
        97..98 => world.dump_if_up(node),
        _ => {}
    }
}

/// A random while of random events in a world of so many nodes and clients.
fn storm(seed: u64, nodes: usize, old: &[NodeId], clients: usize, minutes: u64, tunables: Tunables) -> World {
    let mut world = World::radio_with(seed, nodes, old, tunables);
    let calm = world.conditions.clone();
    world.conditions.announce = millis(50, 2000);
    world.conditions.withdraw = millis(50, 5000);
    world.conditions.duplication = 2;
    world.conditions.air_loss = 10;
    world.conditions.leave_notice = 70;
    for _ in 0..clients {
        let addresses = 1 + world.random.below(5);
        let client = world.add_client(addresses);
        let node = world.random.below(nodes);
        world.attach(client, node);
        if client % 5 != 0 {
            let period = Duration::from_secs(3 + u64::try_from(world.random.below(60)).unwrap());
            world.talks_every(client, period);
        }
    }
    let end = world.now + Duration::from_secs(60 * minutes);
    while world.now < end {
        something_happens(&mut world, clients);
        let pause = world.random.between(millis(1, 200));
        world.run_for(pause);
    }
    // Peace: everything works again.
    world.conditions = calm;
    world.merge();
    for node in 0..nodes {
        if !world.nodes[node].up {
            world.start(node);
        }
    }
    world.run_for(Duration::from_secs(10));
    world
}

fn soak(seed: u64, nodes: usize, old: &[NodeId], clients: usize, minutes: u64) {
    let mut world = storm(seed, nodes, old, clients, minutes, Tunables::default());
    for old in old {
        // The upgrade: our daemon takes over what the old one left.
        world.crash(*old);
        world.start(*old);
    }
    for client in (0..clients).step_by(17) {
        world.roam(client, None, Notices::Nothing);
    }
    // Everybody says all there is to say. Twice, for what a client says within 100 ms after it was claimed is asked after, not believed,
    // and a restarted access point's station that left long ago is claimed.
    for _ in 0..2 {
        for client in 0..clients {
            world.show_all(client);
        }
        world.run_for(Duration::from_secs(2));
    }
    world.run_for(LAST_DOUBT);
    world.check_quiet();
}

#[test]
fn a_small_mesh_survives_ten_random_minutes() {
    for seed in seeds(20, 1000) {
        soak(seed, 5, &[], 20, 10);
    }
}

#[test]
fn a_large_mesh_survives_ten_random_minutes() {
    for seed in seeds(2, 100) {
        soak(seed, 20, &[], 200, 10);
    }
}

/// The whole hour takes some minutes, and is for the long form.
#[test]
fn two_hundred_nodes_with_two_thousand_clients_survive_a_random_hour() {
    let minutes = if long() { 60 } else { 3 };
    for seed in seeds(1, 5) {
        soak(seed, 200, &[], 2000, minutes);
    }
}

#[test]
fn a_mesh_that_is_upgraded_node_by_node_survives_ten_random_minutes() {
    for seed in seeds(10, 500) {
        soak(seed, 6, &[1, 3, 4], 20, 10);
    }
}

#[test]
fn bounds_hold_where_all_of_them_are_reached() {
    let tunables = Tunables {
        max_clients: 6,
        max_addresses: 3,
        max_former: 4,
        max_searches: 3,
        max_queue_per_address: 2,
        max_queue_packets: 4,
        max_queue_bytes: 150,
        max_unicast_copies: 2,
        max_claims_in_flight: 1,
        max_seen_floods: 3,
        max_peers: 2,
        max_drained: 4,
        seek_rate: 1,
        flood_rate: 1,
        unreachable_rate: 1,
        ..Tunables::default()
    };
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    let seeds = seeds(10, 500);
    for seed in seeds.iter().copied() {
        let mut world = storm(seed, 5, &[], 40, 3, tunables.clone());
        world.run_for(LAST_DOUBT);
        for node in 0..world.nodes.len() {
            world.check_kernel(node);
            let Some(engine) = world.nodes[node].engine() else { continue };
            for (name, count) in engine.counters().iter() {
                *refused.entry(name).or_default() += count;
            }
        }
    }
    for name in [
        "client_limit",
        "address_limit",
        "search_limit",
        "drain_limit",
        "drop_flood_table_full",
        "seek_rate",
        "unreachable_suppressed",
    ] {
        assert!(refused[name] > 0 || seeds.len() == 1, "{name} was never reached");
    }
}
