//! Noticing, verifying and losing clients.

use super::super::input::{FdbEntry, NeighbourFact, NeighbourState};
use super::super::output::LeaveReason;
use super::*;

fn probe(client: Mac, address: IpAddr) -> Action {
    Action::Probe { interface: BRIDGE, address, client: Some(client) }
}

fn fdb(client: Mac, port: IfIndex) -> Input {
    Input::FdbSeen(FdbEntry { bridge: BRIDGE, port, mac: client, permanent: false })
}

fn fact(address: IpAddr, client: Mac, state: NeighbourState, ours: bool) -> Input {
    Input::NeighbourSeen(NeighbourFact { interface: BRIDGE, address, mac: Some(client), state, ours })
}

#[test]
fn the_first_frame_of_a_client_installs_its_route_and_asks_who_has_it() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    let node_client = ip("fec0::5eff:fe10:1");
    assert_eq!(
        bench.actions(),
        [
            Action::LookupRoute(node_client),
            Action::QueryClient { interface: BRIDGE, client: mac(1) },
            Action::InstallNeighbour(neighbour(mac(1), v6(1))),
            Action::InstallRoute(route(v6(1))),
        ]
    );
}

#[test]
fn an_ipv4_client_is_routed_like_any_other() {
    let mut bench = Bench::new();
    bench.hears(mac(1), ip("10.1.2.3"));
    assert!(bench.actions().contains(&Action::InstallRoute(route(ip("10.1.2.3")))));
}

#[test]
fn link_local_and_foreign_addresses_are_never_routed() {
    let mut bench = Bench::new();
    for address in ["fe80::1", "2001:db8:1::1", "fd00::1", "192.168.0.1"] {
        bench.hears(mac(1), ip(address));
    }
    assert!(!bench.actions().iter().any(|action| matches!(action, Action::InstallRoute(_))));
    let known: Vec<IpAddr> = bench.engine.client(mac(1)).unwrap().addresses().map(|(a, _)| a).collect();
    assert_eq!(known, [ip("fe80::1")]);
}

#[test]
fn own_and_group_macs_are_never_clients() {
    let mut bench = Bench::new();
    for source in [Mac([6, 0, 0, 0, 0, 2]), Mac([0xff; 6]), Mac([1, 0, 0x5e, 0, 0, 1]), Mac::default()] {
        bench.hears(source, v6(1));
    }
    assert_eq!(bench.drain(), []);
    bench.input(Input::FdbSeen(FdbEntry { bridge: BRIDGE, port: PORT, mac: mac(1), permanent: true }));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn a_frame_on_an_interface_that_is_no_clients_changes_nothing() {
    let mut bench = Bench::new();
    bench.hears_on(MESH, mac(1), FrameContent::Uses(v6(1)));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(bench.count(Counter::EvidenceElsewhere), 1);
}

#[test]
fn what_only_a_dump_says_is_asked_after_not_believed() {
    let mut bench = Bench::new();
    bench.input(Input::DumpStarted);
    bench.tell_links();
    bench.input(fdb(mac(1), PORT));
    bench.input(fact(v6(2), mac(2), NeighbourState::Reachable, false));
    bench.input(Input::DumpCompleted);
    assert_eq!(
        bench.actions(),
        [Action::QueryClient { interface: BRIDGE, client: mac(1) }, probe(mac(2), v6(2))]
    );
    assert_eq!(bench.engine.clients().count(), 0);
    bench.input(fdb(mac(1), PORT));
    assert_eq!(bench.engine.clients().count(), 1, "an event is evidence");
}

#[test]
fn a_report_makes_us_ask_for_the_addresses_that_it_names() {
    let mut bench = Bench::with(|config| config.prefixes.push("fd00:c::/64".parse().unwrap()));
    bench.hears(mac(1), ip("fe80::5eff:fe10:1"));
    bench.hears(mac(1), ip("fe80::7"));
    bench.drain();
    bench.hears_on(PORT, mac(1), FrameContent::ListensTo(vec![[0x10, 0, 1]]));
    let of_its_mac = [probe(mac(1), ip("2001:db8::5eff:fe10:1")), probe(mac(1), ip("fd00:c::5eff:fe10:1"))];
    assert_eq!(bench.actions(), of_its_mac, "an identifier in use, in each prefix");
    bench.hears(mac(1), ip("fd00:c::5eff:fe10:1"));
    bench.drain();
    bench.hears_on(PORT, mac(1), FrameContent::ListensTo(vec![[0x10, 0, 1], [0, 0, 9]]));
    assert_eq!(bench.actions(), of_its_mac[..1], "what is known and what nobody can guess is not asked for");
}

#[test]
fn a_client_that_moves_to_another_port_stays_and_loses_nothing() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(fdb(mac(1), OTHER_PORT));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.engine.client(mac(1)).unwrap().port(), Some(OTHER_PORT));
}

#[test]
fn a_silent_address_is_probed_and_goes_when_it_does_not_answer() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let log = bench.pass(Duration::from_secs(40));
    let probes: Vec<u64> =
        log.iter().filter(|(_, a)| *a == probe(mac(1), v6(1))).map(|(at, _)| *at).collect();
    assert_eq!(probes.len(), 3);
    assert!((29_900..34_000).contains(&probes[0]), "{probes:?}");
    assert_eq!([probes[1] - probes[0], probes[2] - probes[1]], [300, 700]);
    assert!(log.iter().any(|(at, a)| *a == Action::UninstallRoute(route(v6(1))) && *at == probes[2] + 1000));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(bench.engine.former_count(), 1);
    assert_eq!(bench.engine.desired_state().routes, []);
}

#[test]
fn an_address_that_answers_stays() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    for _ in 0..10 {
        let log = bench.pass(Duration::from_secs(32));
        if log.iter().any(|(_, action)| *action == probe(mac(1), v6(1))) {
            bench.hears(mac(1), v6(1));
        }
        assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
    }
}

#[test]
fn an_associated_station_is_asked_every_five_minutes_and_leaves_when_the_access_point_says_so() {
    let mut bench = Bench::new();
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.hears(mac(1), v6(1));
    let log = bench.pass(Duration::from_secs(240));
    assert!(!log.iter().any(|(_, action)| *action == probe(mac(1), v6(1))));
    bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
    let left = Notice::ClientLeft { client: mac(1), reason: LeaveReason::Disassociated };
    assert!(bench.notices().contains(&left));
    bench.input(Input::StationLeft { interface: IfIndex(99), client: mac(1) });
    assert_eq!(bench.drain(), []);
}

#[test]
fn a_station_that_was_heard_on_another_port_since_does_not_leave() {
    let mut bench = Bench::new();
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.hears_on(OTHER_PORT, mac(1), FrameContent::Uses(v6(1)));
    bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

/// A machine that did not run the daemon for seconds: the answer waits in a socket when the time for it is over.
#[test]
fn an_answer_that_waits_beside_its_deadline_counts() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let mut probes = 0;
    while probes < 3 {
        let log = bench.pass_ms(10);
        probes += log.iter().filter(|(_, action)| matches!(action, Action::Probe { .. })).count();
    }
    bench.now = bench.now + Duration::from_secs(2);
    bench.hears(mac(1), v6(1));
    bench.input(Input::Timeout);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

#[test]
fn failed_resolution_by_the_kernel_is_verified_at_once() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.pass_ms(3000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Failed, true));
    assert_eq!(bench.actions(), [Action::InstallNeighbour(neighbour(mac(1), v6(1))), probe(mac(1), v6(1))]);
    bench.pass(Duration::from_millis(2100));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn when_one_address_is_doubted_so_are_the_others_and_a_client_that_is_gone_goes_at_once() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), v6(2), ip("fe80::1"), ip("10.0.0.1")]);
    bench.pass_ms(3000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Failed, true));
    let log = bench.pass_ms(0);
    for address in [v6(1), v6(2), ip("fe80::1"), ip("10.0.0.1")] {
        assert!(log.contains(&(0, probe(mac(1), address))), "{address} in {log:?}");
    }
    bench.pass_ms(2001);
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn the_failure_that_our_own_removal_causes_puts_nothing_back() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), v6(2)]);
    bench.pass_ms(3000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Failed, true));
    bench.pass_ms(1500);
    bench.hears(mac(1), v6(2));
    let log = bench.pass_ms(1000);
    assert!(log.iter().any(|(_, action)| *action == Action::UninstallNeighbour(neighbour(mac(1), v6(1)))));
    bench.input(fact(v6(1), mac(1), NeighbourState::Failed, false));
    bench.input(Input::NeighbourGone { interface: BRIDGE, address: v6(1) });
    assert_eq!(bench.actions(), []);
}

#[test]
fn our_own_neighbour_entry_is_no_evidence_unless_the_kernel_had_an_answer() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.pass(Duration::from_secs(10));
    let seen = bench.engine.client(mac(1)).unwrap().addresses().next().unwrap().1.last_seen;
    bench.input(fact(v6(1), mac(1), NeighbourState::Stale, true));
    assert_eq!(bench.actions(), []);
    bench.input(fact(v6(1), mac(1), NeighbourState::Reachable, true));
    assert_eq!(bench.actions(), [Action::InstallNeighbour(neighbour(mac(1), v6(1)))]);
    assert!(bench.engine.client(mac(1)).unwrap().addresses().next().unwrap().1.last_seen > seen);
}

#[test]
fn a_neighbour_entry_that_somebody_removes_is_put_back() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::NeighbourGone { interface: BRIDGE, address: v6(1) });
    assert_eq!(bench.actions(), [Action::InstallNeighbour(neighbour(mac(1), v6(1)))]);
}

#[test]
fn a_new_address_is_verified_when_duplicate_detection_can_be_over() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.hears_on(PORT, mac(1), FrameContent::WantsToUse(v6(2)));
    let log = bench.pass(Duration::from_secs(5));
    let probes: Vec<u64> =
        log.iter().filter(|(_, a)| *a == probe(mac(1), v6(2))).map(|(at, _)| *at).collect();
    assert_eq!(probes, [100, 300, 1000, 1040, 1090, 3000]);
    assert!(!log.iter().any(|(_, action)| matches!(action, Action::InstallRoute(_))), "nobody answered");
    bench.hears_on(PORT, mac(1), FrameContent::WantsToUse(v6(2)));
    bench.pass_ms(1000);
    bench.hears(mac(1), v6(2));
    assert!(bench.actions().contains(&Action::InstallRoute(route(v6(2)))));
}

#[test]
fn an_address_is_taken_from_its_holder_only_when_that_does_not_answer() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.serve(mac(2), &[v6(2)]);
    bench.hears(mac(2), v6(1));
    assert_eq!(bench.actions(), [probe(mac(1), v6(1))]);
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.notices(), [Notice::AddressContested { address: v6(1), holder: mac(1), rival: mac(2) }]);
    assert!(bench.engine.desired_state().neighbours.contains(&neighbour(mac(1), v6(1))));

    bench.hears(mac(2), v6(1));
    let log = bench.pass(Duration::from_millis(2100));
    assert!(log.iter().any(|(_, action)| *action == probe(mac(2), v6(1))), "the rival is asked: {log:?}");
    bench.hears(mac(2), v6(1));
    assert!(bench.engine.desired_state().neighbours.contains(&neighbour(mac(2), v6(1))));
}

#[test]
fn an_address_that_its_holder_uses_again_while_a_rival_is_asked_stays_with_it() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), v6(3)]);
    bench.serve(mac(2), &[v6(2)]);
    bench.hears(mac(2), v6(1));
    bench.pass_ms(1900);
    bench.hears(mac(1), v6(3));
    bench.pass_ms(200);
    bench.hears(mac(1), v6(1));
    bench.hears(mac(2), v6(1));
    let holders: Vec<_> =
        bench.engine.desired_state().neighbours.into_iter().filter(|n| n.address == v6(1)).collect();
    assert_eq!(holders, [neighbour(mac(1), v6(1))], "one address, one client");
}

#[test]
fn a_client_without_address_is_forgotten_after_its_time() {
    let mut bench = Bench::new();
    bench.input(fdb(mac(1), PORT));
    bench.node_client_route(mac(1), RouteLookup::Other);
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.engine.clients().count(), 1);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(bench.engine.desired_state().node_client_addresses, [] as [Ipv6Addr; 0]);
}

#[test]
fn timers_of_an_earlier_stay_are_gone_when_the_client_returns() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.pass_ms(3000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Failed, true));
    bench.pass_ms(500);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.pass_ms(200);
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(1)], Tail::default()));
    let log = bench.pass(Duration::from_secs(20));
    assert!(!log.iter().any(|(_, action)| matches!(action, Action::UninstallRoute(_))), "{log:?}");
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

#[test]
fn what_an_earlier_run_left_is_served_on_and_removed_when_nobody_confirms_it() {
    let mut bench = Bench::new();
    for n in [1, 2] {
        let (interface, table, client) = (BRIDGE, 254, Some(mac(n)));
        bench.input(Input::RouteAdopted { address: v6(n), interface, table, client });
        let address = bench.engine.config().node_client_prefix.node_client_address(mac(n));
        bench.input(Input::NodeClientAddressAdopted(address));
    }
    bench.input(Input::RouteAdopted { address: v6(3), interface: MESH, table: 254, client: Some(mac(3)) });
    bench.input(Input::AdoptionCompleted);
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1)), route(v6(2))]);
    assert_eq!(bench.engine.desired_state().node_client_addresses.len(), 2);
    assert!(bench.actions().contains(&Action::Reconcile));
    bench.pass_ms(1);
    bench.hears(mac(1), v6(1));
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

#[test]
fn links_of_a_dump_are_looked_at_together() {
    let mut bench = Bench::with(|config| config.mesh_interfaces.push("mesh1".parse().unwrap()));
    bench.drain();
    let mut fresh =
        Bench { engine: Engine::new(bench.engine.config().clone(), 1, Timestamp::ZERO), ..Bench::new() };
    fresh.input(Input::DumpStarted);
    fresh.tell_links();
    fresh.input(fdb(mac(1), PORT));
    fresh.input(Input::DumpCompleted);
    let outputs = fresh.drain();
    let problems = outputs.iter().filter(|output| matches!(output, Output::Notice(_))).count();
    assert_eq!(problems, 1, "only the interface that is not there is told: {outputs:?}");
    assert!(outputs.contains(&Output::Action(Action::QueryClient { interface: BRIDGE, client: mac(1) })));
}

#[test]
fn a_link_that_a_dump_does_not_have_is_gone() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::DumpStarted);
    let mac = Some(Mac([6, 0, 0, 0, 0, 2]));
    let (index, name) = (BRIDGE, "br-client".parse().unwrap());
    bench.input(Input::LinkSeen(Link {
        index,
        name,
        mac,
        up: true,
        running: true,
        master: None,
        bridge: true,
        peer: None,
    }));
    bench.input(Input::DumpCompleted);
    let actions = bench.actions();
    assert!(
        actions.contains(&Action::LeaveMesh(MESH)) && actions.contains(&Action::StopListening(PORT)),
        "{actions:?}"
    );
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))], "the client interface is still there");
}

#[test]
fn a_vanished_client_interface_ends_the_stays_on_it_and_its_return_starts_afresh() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::LinkGone(BRIDGE));
    assert_eq!(bench.engine.clients().count(), 0);
    assert!(bench.actions().contains(&Action::UninstallRoute(route(v6(1)))));
    let link = |index: u32, name: &str, master, bridge| Link {
        index: IfIndex(index),
        name: name.parse().unwrap(),
        mac: None,
        up: true,
        running: true,
        master,
        bridge,
        peer: None,
    };
    bench.input(Input::LinkSeen(link(12, "br-client", None, true)));
    bench.input(Input::LinkSeen(link(3, "port0", Some(IfIndex(12)), false)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.desired_state().routes[0].kind, RouteKind::Served(IfIndex(12)));
}

/// The SEEKs among some actions, with the times of their first copies.
fn seeks(log: &[(u64, Action)]) -> Vec<u64> {
    let seek = |action: &Action| match action {
        Action::SendIntercom { datagram, .. } => {
            matches!(intercom::parse(datagram).unwrap().body, Body::Seek { .. })
        }
        _ => false,
    };
    log.iter().filter(|(_, action)| seek(action)).map(|(at, _)| *at).collect()
}

#[test]
fn an_address_with_traffic_that_nothing_confirms_is_sought_in_the_mesh_while_it_is_probed() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.pass_ms(5000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Probing, true));
    let log = bench.pass_ms(1999);
    let probes: Vec<u64> =
        log.iter().filter(|(_, a)| *a == probe(mac(1), v6(1))).map(|(at, _)| *at).collect();
    assert_eq!(probes, [300, 1000], "the kernel's own probe is the first");
    assert_eq!(seeks(&log), [300, 1000]);
    let drained = drained(v6(1));
    let installed = |log: &[(u64, Action)], route| log.iter().any(|(_, a)| *a == Action::InstallRoute(route));
    assert!(installed(&log, drained), "what comes meanwhile waits");
    assert!(bench.pass_ms(1).iter().any(|(_, a)| matches!(a, Action::UninstallNeighbour(_))));
    let log = bench.pass_ms(10_000);
    assert!(log.iter().any(|(_, action)| *action == Action::UninstallRoute(drained)));
    assert_eq!(bench.engine.desired_state().routes, []);
}

#[test]
fn an_address_with_traffic_that_answers_late_gets_its_route_and_its_packets_back() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.pass_ms(5000);
    bench.input(fact(v6(1), mac(1), NeighbourState::Probing, true));
    bench.pass_ms(400);
    let packet = super::search::packet(v6(1), 1);
    bench.input(Input::PacketForUnknown(packet.clone()));
    assert_eq!(bench.actions(), []);
    bench.hears(mac(1), v6(1));
    let actions = bench.actions();
    assert!(actions.contains(&Action::InstallRoute(route(v6(1)))), "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::ReleasePacket(packet)));
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

#[test]
fn an_address_with_traffic_that_answers_the_kernel_is_left_alone() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    for _ in 0..10 {
        bench.pass_ms(5000);
        bench.input(fact(v6(1), mac(1), NeighbourState::Probing, true));
        bench.input(fact(v6(1), mac(1), NeighbourState::Reachable, true));
        let again = Action::InstallNeighbour(neighbour(mac(1), v6(1)));
        assert_eq!(bench.actions(), [again]);
    }
}

#[test]
fn a_client_that_was_probed_in_vain_and_answers_is_not_sought_by_later_probes() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(fact(v6(1), mac(1), NeighbourState::Probing, true));
    assert_eq!(seeks(&bench.pass_ms(400)), [300]);
    bench.hears(mac(1), v6(1));
    assert_eq!(seeks(&bench.pass(Duration::from_secs(60))), Vec::<u64>::new());
}

#[test]
fn the_bridge_forgets_a_client_that_left_so_that_its_return_is_news() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let log = bench.pass(Duration::from_secs(40));
    assert!(log.iter().any(|(_, action)| *action == Action::Unlearn { port: PORT, client: mac(1) }));
    bench.input(fdb(mac(1), PORT));
    assert_eq!(bench.engine.clients().count(), 1);
}

#[test]
fn what_has_a_permanent_forwarding_entry_is_no_client_whatever_it_says() {
    let permanent = |port| FdbEntry { bridge: BRIDGE, port, mac: mac(1), permanent: true };
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::FdbSeen(permanent(BRIDGE)));
    bench.input(Input::FdbSeen(permanent(PORT)));
    assert_eq!(bench.engine.clients().count(), 0);
    bench.hears(mac(1), v6(1));
    bench.input(Input::FdbGone(permanent(BRIDGE)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 0);
    bench.input(Input::FdbGone(permanent(PORT)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 1);
}

#[test]
fn the_kernels_entry_stays_the_holders_until_it_was_asked_in_vain() {
    for state in [NeighbourState::Stale, NeighbourState::Reachable, NeighbourState::Probing] {
        let mut bench = Bench::new();
        bench.serve(mac(1), &[v6(1)]);
        bench.serve(mac(2), &[v6(2)]);
        bench.drain();
        bench.input(fact(v6(1), mac(2), state, true));
        assert_eq!(
            bench.actions(),
            [Action::InstallNeighbour(neighbour(mac(1), v6(1))), probe(mac(1), v6(1))],
            "{state:?}"
        );
    }
}
