//! What counts as a sign of life, and what is only a reason to ask.

use super::super::input::{NeighbourFact, NeighbourState};
use super::*;
use crate::wire::intercom::Flags;

const RIVAL: u16 = 3;
/// A second client interface without a bridge.
const RADIO: IfIndex = IfIndex(5);

fn probe(address: IpAddr) -> Action {
    Action::Probe { interface: BRIDGE, address, client: Some(mac(1)) }
}

fn fact(address: IpAddr, state: NeighbourState) -> Input {
    let (mac, ours) = (Some(mac(1)), false);
    Input::NeighbourSeen(NeighbourFact { interface: BRIDGE, address, mac, state, ours })
}

/// A claim of ours for client 1 is answered by the other node, and refused.
fn refused(bench: &mut Bench) {
    bench.node_client_route(mac(1), host_route());
    let tail = Tail { sequence: Some(5), ..Tail::default() };
    bench.receives_relaying(node(RIVAL), info(mac(1), &[v6(1)], tail));
    bench.pass_ms(10);
    let tail = Tail { flags: Flags::REFUSED, sequence: Some(7), ..Tail::default() };
    bench.receives_relaying(node(RIVAL), info(mac(1), &[], tail));
    bench.drain();
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn the_kernels_doubt_about_a_client_that_is_not_here_is_a_reason_to_ask_and_no_sign_of_life() {
    for address in [v6(1), ip("fe80::1"), ip("10.1.2.3")] {
        for state in [NeighbourState::Stale, NeighbourState::Probing] {
            let mut bench = Bench::new();
            bench.input(fact(address, state));
            assert_eq!(bench.actions(), [probe(address)], "{address} {state:?}");
            assert_eq!(bench.engine.clients().count(), 0, "{address} {state:?}");
        }
        let mut bench = Bench::new();
        bench.input(fact(address, NeighbourState::Delayed));
        assert_eq!(bench.drain(), [], "{address}: the kernel only sent a packet");
        bench.input(fact(address, NeighbourState::Reachable));
        assert_eq!(bench.engine.clients().count(), 1, "{address}: the client answered the kernel");
    }
}

#[test]
fn the_kernels_doubt_does_not_make_a_client_that_is_here_look_alive() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), ip("fe80::1")]);
    let seen = bench.engine.client(mac(1)).unwrap().last_seen();
    bench.pass_ms(100);
    for address in [ip("fe80::1"), v6(1)] {
        bench.input(fact(address, NeighbourState::Stale));
        bench.input(fact(address, NeighbourState::Probing));
    }
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.engine.client(mac(1)).unwrap().last_seen(), seen);
}

#[test]
fn a_node_that_handed_a_client_over_does_not_claim_it_back_for_an_entry_that_ages() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), ip("fe80::1")]);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    bench.receives_relaying(node(RIVAL), ack(mac(1)));
    bench.pass_ms(5000);
    bench.drain();
    bench.input(fact(ip("fe80::1"), NeighbourState::Probing));
    let sent = |log: &[(u64, Action)]| log.iter().any(|(_, a)| matches!(a, Action::SendIntercom { .. }));
    assert!(!sent(&bench.pass_ms(1000)));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn the_neighbour_entries_of_a_client_that_leaves_go_those_of_link_local_addresses_too() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), ip("fe80::1")]);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    let actions = bench.actions();
    for address in [v6(1), ip("fe80::1")] {
        assert!(actions.contains(&Action::UninstallNeighbour(neighbour(mac(1), address))), "{address}");
    }
}

#[test]
fn a_client_that_moves_to_another_interface_of_its_node_leaves_no_neighbour_entry_behind() {
    let mut bench = Bench::with(|config| config.client_interfaces.push("radio0".parse().unwrap()));
    bench.input(Input::LinkSeen(Link {
        index: RADIO,
        name: "radio0".parse().unwrap(),
        mac: None,
        up: true,
        running: true,
        master: None,
        bridge: false,
        peer: None,
    }));
    bench.serve(mac(1), &[v6(1), ip("fe80::1")]);
    bench.hears_on(RADIO, mac(1), FrameContent::Uses(v6(1)));
    let actions = bench.actions();
    for address in [v6(1), ip("fe80::1")] {
        assert!(actions.contains(&Action::UninstallNeighbour(neighbour(mac(1), address))), "{actions:?}");
    }
    // What the kernel still thinks of the old interface changes nothing.
    bench.input(fact(ip("fe80::1"), NeighbourState::Probing));
    assert_eq!(bench.engine.client(mac(1)).unwrap().interface(), RADIO);
}

#[test]
fn a_sign_of_life_ends_the_back_off_of_a_refused_client_at_once_but_only_once_a_second() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    refused(&mut bench);
    bench.pass_ms(101); // what was heard before was on its way
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 1, "the first one counts");
    refused(&mut bench);
    bench.pass_ms(101);
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(bench.count(Counter::EvidenceRefused), 1);
    let log = bench.pass_ms(800);
    let asked = log.iter().any(|(_, action)| matches!(action, Action::QueryClient { .. }));
    assert!(asked, "a client that spoke meanwhile is asked when its word counts again: {log:?}");
    bench.pass_ms(100);
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 1);
}

#[test]
fn an_association_ends_the_back_off_of_a_refused_client_at_once() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    refused(&mut bench);
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    assert_eq!(bench.engine.clients().count(), 1);
}

#[test]
fn the_kernels_question_without_an_answer_ends_the_patience_of_an_adoption() {
    for state in [NeighbourState::Failed, NeighbourState::Probing] {
        let mut bench = Bench::new();
        let (address, client) = (v6(1), Some(mac(1)));
        bench.input(Input::RouteAdopted { address, interface: BRIDGE, table: 254, client });
        bench.input(Input::AdoptionCompleted);
        bench.pass_ms(1200);
        let mac = (state == NeighbourState::Probing).then_some(mac(1));
        bench.input(Input::NeighbourSeen(NeighbourFact {
            interface: BRIDGE,
            address,
            mac,
            state,
            ours: true,
        }));
        bench.drain();
        let log = bench.pass_ms(2000);
        assert_eq!(bench.engine.clients().count(), 0, "{state:?}");
        let seeks = log.iter().filter(|(_, a)| matches!(a, Action::SendIntercom { .. })).count();
        assert!(seeks > 0, "{state:?}: the mesh is asked meanwhile");
    }
}
