//! Bugs that were found by simulation, each in the smallest world that shows it.

use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::{NeighbourFact, NeighbourState};

use crate::clients::Notices;
use crate::kernel::BRIDGE;
use crate::node::Brain;
use crate::world::World;

/// Each interface's copy had a nonce of its own: in a mesh with loops every node forwarded all of them.
#[test]
fn a_flood_is_one_packet_on_all_mesh_interfaces() {
    let mut world = World::ring(1, 5);
    let client = world.add_client(1);
    world.attach(client, 0);
    // The first of the three floods: two copies from node 0, two from each of the four others.
    world.run_for(Duration::from_millis(500));
    assert_eq!(world.traffic.intercom[1], 10);
}

/// The claim ended with its third flood: INFO that answered it was acknowledged, and its addresses thrown away.
#[test]
fn the_answer_to_the_last_flood_is_taken() {
    let mut world = World::chain(1, 3);
    let client = world.add_client(3);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    world.conditions.loss = 100;
    world.roam(client, Some(2), Notices::Frame);
    world.run_for(Duration::from_millis(2050));
    world.conditions.loss = 0;
    world.run_for(Duration::from_secs(1));
    world.check_quiet();
}

/// The link-local address was asked up to a whole interval after the routed ones, and kept the node-client address until then.
#[test]
fn a_silent_client_is_gone_when_its_routed_addresses_and_then_its_link_local_one_did_not_answer() {
    let mut world = World::chain(1, 2);
    let client = world.add_client(2);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    world.roam(client, None, Notices::Nothing);
    world.run_for(Duration::from_secs(32));
    world.check_quiet();
}

/// What was adopted counted as settled, so that nobody ever took the node-client address.
#[test]
fn a_claim_that_a_crash_cut_short_is_taken_up_again() {
    let mut world = World::chain(1, 2);
    let client = world.add_client(2);
    world.attach(client, 0);
    world.run_for(Duration::from_millis(100));
    world.crash(0);
    world.start(0);
    world.run_for(Duration::from_secs(1));
    world.check_quiet();
}

/// The kernel's word that an address had failed brought the neighbour entry back after the address had been given up.
#[test]
fn a_neighbour_that_fails_late_is_not_installed_again() {
    let mut world = World::chain(1, 2);
    let client = world.add_client(3);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    // One address is given up while the client goes on with the others.
    let address = world.clients[client].addresses.remove(0);
    world.run_for(Duration::from_secs(40));
    let (mac, state) = (None, NeighbourState::Failed);
    let fact = NeighbourFact { interface: BRIDGE, address, mac, state, ours: true };
    world.tell(0, Input::NeighbourSeen(fact));
    world.check_quiet();
}

/// Timers of the memory outlived the end: whoever waits for the deadline that `poll_timeout` names would spin.
#[test]
fn after_its_end_an_engine_waits_for_nothing() {
    let mut world = World::chain(1, 2);
    let client = world.add_client(2);
    world.attach(client, 0);
    world.run_for(Duration::from_secs(8));
    let now = world.now;
    let Brain::Ours(engine) = &mut world.nodes[0].brain else { return };
    engine.shut_down(now);
    assert_eq!(engine.poll_timeout(), None);
}
