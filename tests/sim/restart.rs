//! Daemons crash, are restarted, and end in order.

use std::time::Duration;

use l3roamd::engine::Input;

use crate::clients::Notices;
use crate::random::seeds;
use crate::world::{World, millis};

/// What was adopted is confirmed or gone after this.
const ADOPTION: Duration = Duration::from_secs(32);

fn settled(seed: u64) -> (World, Vec<usize>) {
    let mut world = World::chain(seed, 3);
    let clients: Vec<_> = (0..8).map(|n| world.add_client(1 + n % 4)).collect();
    for client in &clients {
        world.attach(*client, 0);
    }
    world.run_for(Duration::from_secs(8));
    world.check_quiet();
    (world, clients)
}

#[test]
fn a_restarted_daemon_keeps_the_routes_of_its_clients_and_manages_them_within_a_second() {
    for seed in seeds(10, 200) {
        let (mut world, clients) = settled(seed);
        let address = world.clients[clients[0]].addresses[0];
        world.crash(0);
        for down in [0, 2000] {
            world.send_packet(2, address);
            world.run_for(Duration::from_millis(down));
        }
        world.start(0);
        world.send_packet(2, address);
        world.run_for(Duration::from_secs(1));
        world.check_quiet();
        assert_eq!((world.traffic.sent, world.traffic.delivered), (3, 3));
        world.run_for(ADOPTION);
        world.check_quiet();
        for client in clients {
            world.roam(client, Some(1), Notices::Frame);
        }
        world.run_for(Duration::from_secs(1));
        world.check_quiet();
    }
}

#[test]
fn a_client_that_sleeps_through_the_restart_keeps_its_routes() {
    for seed in seeds(5, 100) {
        let (mut world, clients) = settled(seed);
        world.clients[clients[3]].answers = false;
        world.crash(0);
        world.run_for(Duration::from_secs(1));
        world.start(0);
        world.run_for(Duration::from_secs(12));
        world.clients[clients[3]].answers = true;
        world.check_quiet();
        world.run_for(ADOPTION);
        world.check_quiet();
    }
}

#[test]
fn a_client_that_moved_while_its_daemon_was_down_ends_where_it_is() {
    for seed in seeds(10, 200) {
        let (mut world, clients) = settled(seed);
        world.crash(0);
        for client in &clients[..4] {
            world.roam(*client, Some(2), Notices::Frame);
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_millis(100 * (seed % 30)));
        world.start(0);
        world.run_for(Duration::from_secs(1));
        for client in &clients[..4] {
            world.show_all(*client);
        }
        world.run_for(ADOPTION + Duration::from_secs(13));
        world.check_quiet();
    }
}

#[test]
fn a_client_that_left_while_its_daemon_was_down_is_gone_30_s_after_the_start() {
    for seed in seeds(5, 100) {
        let (mut world, clients) = settled(seed);
        world.crash(0);
        world.roam(clients[1], None, Notices::Nothing);
        world.run_for(Duration::from_secs(1));
        world.start(0);
        world.run_for(Duration::from_secs(30));
        world.check_quiet();
    }
}

#[test]
fn a_new_holder_that_crashes_amid_the_handover_does_not_lose_the_client() {
    for seed in seeds(20, 500) {
        let (mut world, clients) = settled(seed);
        for client in &clients {
            world.roam(*client, Some(2), Notices::Frame);
        }
        world.run_for(Duration::from_micros(seed * 700 % 12_000));
        world.crash(2);
        world.run_for(Duration::from_millis(500));
        world.start(2);
        world.run_for(Duration::from_millis(100));
        for client in &clients {
            world.show_all(*client);
        }
        world.run_for(ADOPTION + Duration::from_secs(13));
        world.check_quiet();
    }
}

#[test]
fn an_orderly_end_leaves_nothing_behind_and_the_next_start_finds_the_clients_again() {
    for seed in seeds(5, 100) {
        let (mut world, clients) = settled(seed);
        world.stop(0);
        world.run_for(Duration::from_secs(1));
        world.check_quiet();
        world.start(0);
        for client in &clients {
            world.show_all(*client);
        }
        world.run_for(Duration::from_secs(8));
        world.check_quiet();
    }
}

#[test]
fn interfaces_that_vanish_and_return_and_changed_settings_lose_no_client() {
    for seed in seeds(5, 100) {
        let (mut world, clients) = settled(seed);
        let links = world.nodes[0].links(0);
        for link in links {
            world.tell(0, Input::LinkGone(link.index));
            world.run_for(Duration::from_millis(seed * 7 % 400));
            world.tell(0, Input::LinkSeen(link));
            for client in &clients {
                world.show_all(*client);
            }
            world.run_for(Duration::from_secs(8));
            world.check_quiet();
        }
        for command in [
            "remove-prefix 10.0.0.0/8",
            "set-export-table 7",
            "set-export-table 254",
            "add-prefix 10.0.0.0/8",
        ] {
            world.command(0, command);
            world.run_for(Duration::from_secs(1));
            world.check_kernel(0);
        }
        for client in &clients {
            world.show_all(*client);
        }
        world.run_for(Duration::from_secs(1));
        world.check_quiet();
    }
}

#[test]
fn packets_that_are_relayed_to_a_node_that_was_started_anew_arrive() {
    for seed in seeds(10, 200) {
        let mut world = World::chain(seed, 3);
        let client = world.add_client(2);
        world.attach(client, 0);
        world.run_for(Duration::from_secs(8));
        // Nothing but the relay knows where the client is.
        (world.conditions.announce, world.conditions.withdraw) =
            (millis(60_000, 60_000), millis(60_000, 60_000));
        world.roam(client, Some(2), Notices::Frame);
        world.run_for(Duration::from_millis(300));
        world.show_all(client);
        world.run_for(Duration::from_millis(300));
        world.crash(2);
        world.start(2);
        let addresses = world.clients[client].addresses.clone();
        for turn in 0..400 {
            world.send_packet(turn % 2, addresses[turn / 2 % 2]);
            world.run_for(Duration::from_millis(5));
        }
        world.run_for(Duration::from_secs(1));
        // Until the client has answered the first question, and the old node the next.
        let lost = world.traffic.sent - world.traffic.delivered;
        assert!(lost <= 8, "{lost} of {} lost", world.traffic.sent);
        // And it goes on from there.
        world.roam(client, Some(1), Notices::Frame);
        world.run_for(Duration::from_millis(300));
        let before = (world.traffic.sent, world.traffic.delivered);
        for turn in 0..50 {
            world.send_packet(0, addresses[turn % 2]);
            world.run_for(Duration::from_millis(5));
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!((world.traffic.sent - before.0, world.traffic.delivered - before.1), (50, 50));
        world.run_for(Duration::from_secs(75));
        world.check_quiet();
    }
}
