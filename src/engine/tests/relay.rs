//! What comes for a client that has gone: caught, relayed, injected, refused.

use super::super::output::LeaveReason;
use super::super::timing::Timing;
use super::search::{packet, released};
use super::*;
use crate::wire::intercom::Flags;

const OLD: u16 = 2;
const NEW: u16 = 3;

fn relays(sent: &[(IntercomDestination, Packet)]) -> Vec<(IntercomDestination, u8, u32, Vec<u8>)> {
    let relays = sent.iter().filter_map(|(to, sent)| match &sent.body {
        Body::Relay { hops, sequence, packet } => Some((*to, *hops, *sequence, packet.clone())),
        _ => None,
    });
    relays.collect()
}

fn relay(hops: u8, sequence: u32, packet: Vec<u8>) -> Body {
    Body::Relay { hops, sequence, packet }
}

/// A node that served client 1 and has answered the claim of a node that accepts RELAY.
fn claimed() -> Bench {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_relaying(node(NEW), claim(mac(1), Tail::default()));
    bench.drain();
    bench
}

fn way(bench: &mut Bench, found: RouteLookup) {
    bench.input(Input::RouteLookedUp { address: IpAddr::V6(node(NEW)), found });
}

/// The same, and the new node has acknowledged.
fn handed_over() -> Bench {
    let mut bench = claimed();
    bench.receives_relaying(node(NEW), ack(mac(1)));
    bench.drain();
    bench
}

/// A node that has claimed client 1 from the old node.
fn took_over() -> Bench {
    let mut bench = Bench::new();
    bench.takes_over(node(OLD), 5);
    bench
}

#[test]
fn what_comes_before_the_ack_waits_and_then_goes_on_in_order_before_what_comes_later() {
    let mut bench = claimed();
    way(&mut bench, host_route());
    for n in 1..=3 {
        bench.input(Input::PacketForUnknown(packet(v6(1), n)));
    }
    assert_eq!(relays(&bench.sent()), [], "a CLAIM alone gains no packet");
    bench.receives_relaying(node(NEW), ack(mac(1)));
    let all = |from: u8, until: u8| -> Vec<_> {
        (from..=until).map(|n| (to(NEW), 0, 1, packet(v6(1), n))).collect()
    };
    assert_eq!(relays(&bench.sent()), all(1, 3));
    bench.input(Input::PacketForUnknown(packet(v6(1), 4)));
    assert_eq!(relays(&bench.sent()), all(4, 4));
    assert_eq!((bench.count(Counter::RelaySent), bench.engine.waiting()), (4, (0, 0)));
}

#[test]
fn nothing_is_relayed_to_a_node_that_is_not_beyond_a_mesh_interface_or_does_not_take_it() {
    for found in
        [RouteLookup::Network(MESH), RouteLookup::Network(BRIDGE), RouteLookup::Local, RouteLookup::Other]
    {
        let mut bench = claimed();
        bench.way_to_nodes = Some(found);
        way(&mut bench, found);
        bench.receives_relaying(node(NEW), ack(mac(1)));
        bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
        assert_eq!(relays(&bench.sent()), [], "{found:?}");
        way(&mut bench, host_route());
        assert_eq!(relays(&bench.sent()).len(), 1, "what waits goes when the way is there");
    }
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(NEW), claim(mac(1), Tail::default()));
    bench.receives(node(NEW), ack(mac(1)));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert_eq!(relays(&bench.sent()), []);
}

#[test]
fn the_drained_route_ends_with_the_overlap_and_stragglers_are_relayed_for_longer() {
    let mut bench = handed_over();
    assert_eq!(bench.engine.desired_state().routes, [drained(v6(1))]);
    let log = bench.pass(Duration::from_secs(9));
    assert!(!log.iter().any(|(_, action)| matches!(action, Action::UninstallRoute(_))));
    let log = bench.pass(Duration::from_secs(1));
    assert!(log.contains(&(1000, Action::UninstallRoute(drained(v6(1))))), "{log:?}");
    bench.pass(Duration::from_secs(285));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert_eq!(relays(&bench.sent()).len(), 1);
    bench.pass(Duration::from_secs(9));
    bench.input(Input::PacketForUnknown(packet(v6(1), 2)));
    assert_eq!(relays(&bench.sent()).len(), 1, "as long as packets come");
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.engine.former_count(), 0, "not for ever");
}

/// Packets come each second; the kernel says each time where their source is. When the drained
/// route goes.
fn ends_under_traffic(bench: &mut Bench, from_mesh: bool) -> Option<u64> {
    let source = ip("2001:db8:ffff::1");
    let interface = if from_mesh { MESH } else { BRIDGE };
    for second in 0..100 {
        bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
        let mut log = bench.pass_ms(1000);
        if log.iter().any(|(_, action)| *action == Action::LookupRoute(source)) {
            let found = RouteLookup::Network(interface);
            bench.input(Input::RouteLookedUp { address: source, found });
            log.extend(bench.actions().into_iter().map(|action| (1000, action)));
        }
        let gone = log.iter().find(|(_, action)| *action == Action::UninstallRoute(drained(v6(1))));
        if let Some((at, _)) = gone {
            return Some(second * 1000 + at);
        }
    }
    None
}

#[test]
fn a_drained_route_stays_while_the_mesh_sends_packets_along_it_but_not_for_ever() {
    assert_eq!(ends_under_traffic(&mut handed_over(), true), Some(60_000));
}

#[test]
fn a_drained_route_does_not_stay_for_what_hosts_at_this_node_send() {
    assert_eq!(ends_under_traffic(&mut handed_over(), false), Some(10_000));
}

#[test]
fn without_overlap_the_route_is_withdrawn_at_once_and_what_comes_is_relayed_all_the_same() {
    let mut bench = Bench::with(|config| config.tunables.overlap = Duration::ZERO);
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_relaying(node(NEW), claim(mac(1), Tail::default()));
    let actions = bench.actions();
    assert!(actions.contains(&Action::UninstallRoute(route(v6(1)))), "{actions:?}");
    assert!(!actions.contains(&Action::InstallRoute(drained(v6(1)))), "{actions:?}");
    way(&mut bench, RouteLookup::Network(MESH));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.receives_relaying(node(NEW), ack(mac(1)));
    bench.input(Input::PacketForUnknown(packet(v6(1), 2)));
    let to_new: Vec<_> = relays(&bench.sent()).into_iter().map(|(to, ..)| to).collect();
    assert_eq!(to_new, [to(NEW); 2]);
}

#[test]
fn a_lost_station_is_drained_and_its_packets_go_to_whoever_claims_it() {
    let mut bench = Bench::new();
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
    let outputs = bench.drain();
    assert_eq!(outputs[0], Output::Action(Action::InstallRoute(drained(v6(1)))));
    let left = Notice::ClientLeft { client: mac(1), reason: LeaveReason::Disassociated };
    assert!(outputs.contains(&Output::Notice(left)));
    for n in 1..=3 {
        bench.input(Input::PacketForUnknown(packet(v6(1), n)));
    }
    assert_eq!(bench.pass_ms(200), [], "neither probed nor sought");
    bench.receives_relaying(node(NEW), claim(mac(1), Tail::default()));
    let sent = bench.sent();
    let Body::Info { tail, .. } = &sent[0].1.body else { panic!("{sent:?}") };
    assert_eq!((tail.flags.0, tail.sequence), (0, Some(1)), "it settles the claim");
    way(&mut bench, host_route());
    bench.receives_relaying(node(NEW), ack(mac(1)));
    let numbers: Vec<_> = relays(&bench.sent()).into_iter().map(|(.., bytes)| bytes).collect();
    assert_eq!(numbers, [1, 2, 3].map(|n| packet(v6(1), n)));
}

#[test]
fn a_lost_station_that_returns_gets_its_packets_and_one_that_does_not_loses_its_route() {
    for returns in [true, false] {
        let mut bench = Bench::new();
        bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
        bench.serve(mac(1), &[v6(1)]);
        bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
        bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
        bench.pass_ms(200);
        if returns {
            bench.hears(mac(1), v6(1));
            let actions = bench.actions();
            assert_eq!(released(&actions), [1]);
            assert!(!actions.contains(&Action::UninstallRoute(drained(v6(1)))), "replaced in place");
            assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
        } else {
            let log = bench.pass_ms(5000);
            assert!(log.contains(&(4800, Action::UninstallRoute(drained(v6(1))))), "{log:?}");
            assert!(log.iter().any(|(_, a)| matches!(a, Action::SendUnreachable { .. })));
            assert_eq!(bench.engine.desired_state().routes, []);
        }
    }
}

#[test]
fn a_relayed_packet_is_injected_where_the_kernel_has_acknowledged_route_and_neighbour() {
    let mut bench = took_over();
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    assert_eq!(released(&bench.actions()), [1]);
    // Of an address that INFO named nothing is acknowledged at first.
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.drain();
    bench.receives_relaying(node(OLD), info(mac(1), &[v6(2)], Tail::default()));
    bench.receives_relaying(node(OLD), relay(0, 0, packet(v6(2), 1)));
    bench.receives_relaying(node(OLD), relay(0, 0, packet(v6(2), 2)));
    let before: Vec<Output> = std::iter::from_fn(|| bench.engine.poll()).collect();
    assert!(!before.iter().any(|o| matches!(o, Output::Action(Action::ReleasePacket(_)))));
    bench.input(Input::RouteInstalled(route(v6(2))));
    assert_eq!(bench.actions(), [], "the neighbour entry is missing");
    bench.input(Input::NeighbourInstalled(neighbour(mac(1), v6(2))));
    assert_eq!(released(&bench.actions()), [1, 2]);
}

#[test]
fn a_relayed_packet_waits_for_a_station_that_is_still_in_its_handshake() {
    let mut bench = Bench::new();
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.node_client_route(mac(1), host_route());
    let tail = Tail { sequence: Some(5), ..Tail::default() };
    bench.receives_relaying(node(OLD), info(mac(1), &[v6(1)], tail));
    bench.drain();
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    assert_eq!(released(&bench.actions()), [0_u8; 0]);
    bench.hears(mac(1), v6(1));
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn a_relay_gains_nothing_unless_it_is_from_a_claimed_node_for_the_claimed_client() {
    let own = v6(0x99);
    let cases: [(u16, u32, Vec<u8>, Counter); 6] = [
        (NEW, 5, packet(v6(1), 1), Counter::DropRelayUnclaimed),
        (OLD, 5, packet(v6(7), 1), Counter::DropRelayUnknown),
        (OLD, 5, packet(own, 1), Counter::DropRelayForbidden),
        (OLD, 5, packet(IpAddr::V6(node(1)), 1), Counter::DropRelayForbidden),
        (OLD, 5, packet(ip("fe80::1"), 1), Counter::DropRelayForbidden),
        (OLD, 5, b"no packet".to_vec(), Counter::DropRelayNoPacket),
    ];
    for (sender, sequence, bytes, reason) in cases {
        let mut bench = took_over();
        bench.input(Input::OwnAddressSeen(own));
        bench.receives_relaying(node(sender), relay(0, sequence, bytes));
        assert_eq!((bench.drain(), bench.count(reason)), (vec![], 1), "{reason:?}");
    }
    // For another client of this node the claim of the first one entitles to nothing.
    let mut bench = took_over();
    bench.serve(mac(2), &[v6(2)]);
    bench.receives_relaying(node(OLD), relay(0, 0, packet(v6(2), 1)));
    assert_eq!((bench.drain(), bench.count(Counter::DropRelayUnclaimed)), (vec![], 1));
    // Not by multicast, not from a client interface.
    let mut bench = took_over();
    bench.receives_flooded(node(OLD), relay(0, 5, packet(v6(1), 1)));
    assert_eq!(released(&bench.actions()), [0_u8; 0]);
}

#[test]
fn a_client_that_says_it_has_an_address_of_the_node_does_not_get_it() {
    let mut bench = Bench::new();
    bench.input(Input::OwnAddressSeen(v6(1)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.desired_state().routes, []);
    bench.input(Input::OwnAddressGone(v6(1)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
    bench.input(Input::OwnAddressSeen(v6(1)));
    assert_eq!(bench.engine.desired_state().routes, []);
}

#[test]
fn a_relayed_packet_goes_on_to_the_node_the_client_was_handed_to() {
    let mut bench = took_over();
    bench.receives_relaying(node(NEW), claim(mac(1), Tail::default()));
    way(&mut bench, host_route());
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    assert_eq!(relays(&bench.sent()), [], "not acknowledged yet");
    bench.receives_relaying(node(NEW), ack(mac(1)));
    assert_eq!(relays(&bench.sent()), [(to(NEW), 1, 6, packet(v6(1), 1))]);
    bench.receives_relaying(node(OLD), relay(15, 5, packet(v6(1), 2)));
    assert_eq!(relays(&bench.sent()), [(to(NEW), 16, 6, packet(v6(1), 2))]);
    for (sender, hops, sequence, reason) in
        [(OLD, 16, 5, Counter::DropRelayHops), (NEW, 0, 6, Counter::DropRelayUnclaimed)]
    {
        bench.receives_relaying(node(sender), relay(hops, sequence, packet(v6(1), 3)));
        assert_eq!((bench.drain(), bench.count(reason)), (vec![], 1), "{reason:?}");
    }
    bench.receives_relaying(node(OLD), relay(0, 9, packet(v6(1), 4)));
    assert_eq!(relays(&bench.sent()), [(to(NEW), 1, 10, packet(v6(1), 4))], "we knew an older number");
}

#[test]
fn the_number_of_a_stay_that_is_told_late_condemns_no_packet() {
    // By the relay itself.
    let mut bench = took_over();
    bench.receives_relaying(node(OLD), relay(0, 8, packet(v6(1), 1)));
    assert_eq!(released(&bench.actions()), [1]);
    assert_eq!(bench.engine.client(mac(1)).unwrap().sequence(), 8);
    // By a second node that has answered the claim when it was settled already.
    let mut bench = took_over();
    let tail = Tail { sequence: Some(7), ..Tail::default() };
    bench.receives_relaying(node(NEW), info(mac(1), &[v6(1)], tail));
    assert_eq!(bench.engine.client(mac(1)).unwrap().sequence(), 7);
    bench.drain();
    bench.receives_relaying(node(NEW), relay(0, 7, packet(v6(1), 2)));
    assert_eq!(released(&bench.actions()), [2]);
}

#[test]
fn news_of_a_claim_that_comes_when_the_client_has_moved_on_lets_its_packets_follow() {
    const LATE: u16 = 4;
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.receives_relaying(node(NEW), claim(mac(1), Tail { sequence: Some(1), ..Tail::default() }));
    way(&mut bench, host_route());
    bench.receives_relaying(node(NEW), ack(mac(1)));
    assert!(bench.engine.client(mac(1)).is_none());
    bench.drain();
    bench.receives_relaying(node(LATE), relay(0, 6, packet(v6(2), 1)));
    assert_eq!((bench.drain(), bench.count(Counter::DropRelayUnknown)), (vec![], 1));
    let tail = Tail { sequence: Some(6), ..Tail::default() };
    bench.receives_relaying(node(LATE), info(mac(1), &[v6(1), v6(2)], tail));
    let sent = bench.sent();
    assert!(
        matches!(sent[..], [(to, Packet { body: Body::Ack { .. }, .. })] if to == IntercomDestination::Unicast(node(LATE)))
    );
    for n in 1..=2 {
        bench.receives_relaying(node(LATE), relay(0, 6, packet(v6(n), 1)));
        assert_eq!(relays(&bench.sent()), [(to(NEW), 1, 7, packet(v6(n), 1))]);
    }
    // Long after the stay nobody is believed to answer its claim.
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.receives_relaying(node(NEW), claim(mac(1), Tail { sequence: Some(1), ..Tail::default() }));
    bench.pass_ms(8000);
    bench.receives_relaying(node(LATE), info(mac(1), &[v6(1)], tail));
    bench.receives_relaying(node(LATE), relay(0, 6, packet(v6(1), 1)));
    assert_eq!(bench.count(Counter::DropRelayUnclaimed), 1);
}

#[test]
fn where_each_of_two_nodes_believes_that_the_other_has_the_client_its_packets_wait() {
    let mut bench = took_over();
    bench.receives_relaying(node(OLD), claim(mac(1), Tail::default()));
    bench.input(Input::RouteLookedUp { address: IpAddr::V6(node(OLD)), found: host_route() });
    bench.receives_relaying(node(OLD), ack(mac(1)));
    bench.drain();
    bench.receives_relaying(node(OLD), info(mac(1), &[v6(1)], Tail::default()));
    assert_eq!(bench.sent(), [], "not acknowledged: it would begin to relay");
    bench.receives_relaying(node(OLD), relay(0, 6, packet(v6(1), 1)));
    assert_eq!((relays(&bench.sent()), bench.engine.waiting().0), (vec![], 1));
    bench.pass_ms(200);
    bench.hears(mac(1), v6(1));
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn what_is_relayed_for_an_address_that_fell_silent_is_sought_as_if_it_were_caught_here() {
    let mut bench = took_over();
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.engine.desired_state().routes, []);
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    let log = bench.pass_ms(1500);
    let sought = log.iter().any(|(_, action)| {
        matches!(action, Action::SendIntercom { destination: IntercomDestination::Mesh(_), .. })
    });
    assert!(sought && bench.engine.waiting().0 == 1, "{log:?}");
}

#[test]
fn an_injected_packet_that_reappears_is_neither_sought_nor_relayed() {
    let mut bench = took_over();
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    bench.drain();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    let log = bench.pass_ms(4000);
    assert!(!log.iter().any(|(_, a)| matches!(a, Action::SendIntercom { .. })), "{log:?}");
}

#[test]
fn what_waits_for_a_client_that_went_and_what_is_drained_is_bounded() {
    let mut bench = Bench::with(|config| {
        config.tunables.max_queue_per_address = 3;
        config.tunables.max_drained = 1;
    });
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.serve(mac(1), &[v6(1), v6(2)]);
    bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
    assert_eq!(bench.engine.desired_state().routes.len(), 1);
    assert_eq!(bench.count(Counter::DrainLimit), 1);
    for n in 1..=9 {
        bench.input(Input::PacketForUnknown(packet(v6(1), n)));
    }
    assert_eq!(bench.engine.waiting().0, 3);
    assert_eq!(bench.count(Counter::QueueFull), 6);
}

#[test]
fn the_times_of_a_handover_and_its_packets_are_known_at_both_ends() {
    use super::super::output::Direction;
    let mut old = claimed();
    way(&mut old, host_route());
    let began = old.now;
    old.input(Input::PacketForUnknown(packet(v6(1), 1)));
    old.pass_ms(3);
    old.receives_relaying(node(NEW), ack(mac(1)));
    old.input(Input::PacketForUnknown(packet(v6(1), 2)));
    let timing = *old.engine.handover_timing(mac(1), Direction::Outgoing).unwrap();
    let after = Some(began + Duration::from_millis(3));
    assert_eq!((timing.began, timing.ready, timing.first_packet), (began, after, after));
    assert_eq!((timing.relayed, timing.buffered), (2, 1));

    let mut new = Bench::new();
    let began = new.now;
    new.hears(mac(1), v6(1));
    new.pass_ms(1);
    new.node_client_route(mac(1), host_route());
    new.pass_ms(2);
    new.receives_relaying(node(OLD), info(mac(1), &[v6(1), v6(2)], Tail::default()));
    let timing = |bench: &Bench| *bench.engine.handover_timing(mac(1), Direction::Incoming).unwrap();
    assert_eq!(timing(&new).ready, None, "the kernel has not answered yet");
    new.pass_ms(1);
    new.receives_relaying(node(OLD), relay(0, 0, packet(v6(2), 1)));
    let at = |ms| began + Duration::from_millis(ms);
    let Timing { claim, info, ready, first_packet, relayed, buffered, .. } = timing(&new);
    assert_eq!((claim, info), (Some(at(1)), at(3)));
    assert_eq!((ready, first_packet, relayed, buffered), (Some(at(3)), Some(at(4)), 1, 0));
}

#[test]
fn an_orderly_end_takes_drained_routes_along() {
    let mut bench = handed_over();
    bench.engine.shut_down(bench.now);
    assert!(bench.actions().contains(&Action::UninstallRoute(drained(v6(1)))));
    assert_eq!(bench.engine.desired_state(), DesiredState::default());
}

/// A node that was started anew and has adopted client 1, which has shown itself since where it is said to.
fn started_anew(shown: bool) -> Bench {
    let mut bench = Bench::new();
    bench.input(Input::RouteAdopted { address: v6(1), interface: BRIDGE, table: 254, client: Some(mac(1)) });
    let own = bench.engine.config().node_client_prefix.node_client_address(mac(1));
    bench.input(Input::NodeClientAddressAdopted(own));
    bench.input(Input::AdoptionCompleted);
    if shown {
        bench.hears(mac(1), v6(1));
    }
    bench.receives_relaying(node(OLD), ack(mac(1))); // a sign of life
    bench.drain();
    bench
}

fn claims_to(sent: &[(IntercomDestination, Packet)]) -> Vec<IntercomDestination> {
    let claims = sent.iter().filter(|(_, packet)| matches!(packet.body, Body::Claim { .. }));
    claims.map(|(to, _)| *to).collect()
}

#[test]
fn a_node_that_was_started_anew_asks_who_relays_to_its_adopted_clients() {
    let mut bench = started_anew(true);
    for n in 1..=3 {
        bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), n)));
        bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), n)));
        assert_eq!(claims_to(&bench.sent()), [to(OLD)], "not for every packet");
        bench.pass_ms(100);
    }
    assert_eq!(bench.count(Counter::RelayInjected), 0, "no packet counts before the answer");
    let memory = Tail { flags: Flags::FROM_MEMORY, sequence: Some(5), ..Tail::default() };
    bench.receives_relaying(node(NEW), info(mac(1), &[v6(1)], memory));
    bench.receives_relaying(node(NEW), relay(0, 5, packet(v6(1), 4)));
    assert_eq!(bench.count(Counter::RelayInjected), 0, "nor one of somebody who was not asked");
    bench.receives_relaying(node(OLD), info(mac(1), &[v6(1)], memory));
    bench.drain();
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 5)));
    assert_eq!(released(&bench.actions()), [5]);
    assert_eq!(
        bench.engine.client(mac(1)).unwrap().sequence(),
        5,
        "later nodes must not take its stay for an old one"
    );
}

#[test]
fn nobody_is_asked_about_a_client_that_was_not_adopted_or_has_not_shown_itself_and_answers_that_are_late_do_not_count()
 {
    for mut bench in [started_anew(false), took_over()] {
        bench.receives_relaying(node(4), ack(mac(1)));
        bench.receives_relaying(node(4), relay(0, 5, packet(v6(1), 1)));
        assert_eq!(claims_to(&bench.sent()), []);
        assert_eq!(bench.count(Counter::DropRelayUnclaimed), 1);
    }
    let mut bench = started_anew(true);
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 1)));
    bench.pass_ms(1000);
    let memory = Tail { flags: Flags::FROM_MEMORY, ..Tail::default() };
    bench.receives_relaying(node(OLD), info(mac(1), &[v6(1)], memory));
    bench.receives_relaying(node(OLD), relay(0, 5, packet(v6(1), 2)));
    assert_eq!(released(&bench.actions()), [0_u8; 0]);
    // Senders that do not exist: so many claims and no more.
    let mut bench = started_anew(true);
    for n in 100..400 {
        bench.receives_relaying(node(n), relay(0, 5, packet(v6(1), 1)));
    }
    assert_eq!(claims_to(&bench.sent()).len(), 64);
}
