//! A client goes to another node.

use super::super::output::{Direction, LeaveReason};
use super::*;
use crate::wire::intercom::Flags;

fn infos(sent: &[(IntercomDestination, Packet)]) -> Vec<(IntercomDestination, Vec<Ipv6Addr>, Tail)> {
    let infos = sent.iter().filter_map(|(to, packet)| match &packet.body {
        Body::Info { addresses, tail, .. } => Some((*to, addresses.clone(), *tail)),
        _ => None,
    });
    infos.collect()
}

#[test]
fn a_claim_drains_the_routes_is_answered_and_then_everything_else_goes() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), ip("10.0.0.1")]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    let mut outputs = bench.drain();
    let first: Vec<Output> = outputs.drain(..2).collect();
    let routes = [ip("10.0.0.1"), v6(1)].map(|a| Output::Action(Action::InstallRoute(drained(a))));
    assert_eq!(first, routes, "before INFO leaves");
    let Output::Action(Action::SendIntercom { destination, datagram }) = &outputs[0] else {
        panic!("{outputs:?}")
    };
    assert_eq!(*destination, IntercomDestination::Unicast(node(2)));
    let Body::Info { addresses, tail, .. } = intercom::parse(datagram).unwrap().body else { panic!() };
    assert_eq!(addresses, ["::ffff:10.0.0.1".parse::<Ipv6Addr>().unwrap(), "2001:db8::1:1".parse().unwrap()]);
    assert_eq!(tail.sequence, Some(1), "the next stay has the next number");
    let expected: Vec<Output> = [
        Action::UninstallNeighbour(neighbour(mac(1), ip("10.0.0.1"))),
        Action::UninstallNeighbour(neighbour(mac(1), v6(1))),
        Action::RemoveNodeClientAddress("fec0::5eff:fe10:1".parse().unwrap()),
        Action::Unlearn { port: PORT, client: mac(1) },
    ]
    .map(Output::Action)
    .into_iter()
    .chain([
        Output::Notice(Notice::ClientLeft { client: mac(1), reason: LeaveReason::Claimed }),
        Output::Action(Action::Probe { interface: BRIDGE, address: ip("10.0.0.1"), client: Some(mac(1)) }),
    ])
    .collect();
    assert_eq!(outputs[1..], expected);
    bench.receives(node(2), ack(mac(1)));
    let notices = bench.notices();
    assert!(matches!(
        notices[..],
        [Notice::ClientHandedOver { direction: Direction::Outgoing, addresses: 2, .. }]
    ));
    let log = bench.pass(Duration::from_secs(20));
    let ends = [ip("10.0.0.1"), v6(1)].map(|a| (1000, Action::UninstallRoute(drained(a))));
    assert_eq!(log, ends, "nothing else after ACK");
}

#[test]
fn info_is_repeated_on_its_schedule_until_sixteen_were_sent() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    let log = bench.pass(Duration::from_secs(20));
    let times: Vec<u64> =
        log.iter().filter(|(_, a)| matches!(a, Action::SendIntercom { .. })).map(|(at, _)| *at).collect();
    assert_eq!(times[..11], [0, 15, 40, 100, 200, 300, 400, 500, 700, 1000, 1300]);
    assert_eq!(times.len(), 16);
}

#[test]
fn a_c_node_gets_at_most_four_addresses_and_no_tail_and_ours_gets_sixteen() {
    for (capabilities, count) in [(Capabilities::default(), 4), (Capabilities::TAILS, 16)] {
        let mut bench = Bench::new();
        let addresses: Vec<IpAddr> = (1..=16).map(v6).collect();
        bench.serve(mac(1), &addresses);
        bench.receives_as(node(2), node(1), capabilities, claim(mac(1), Tail::default()));
        let infos = infos(&bench.sent());
        assert_eq!(infos[0].1.len(), count);
        assert_eq!(infos[0].2 == Tail::default(), capabilities == Capabilities::default());
    }
}

#[test]
fn a_repeated_claim_is_answered_again_as_long_as_info_is_unacknowledged() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.drain();
    bench.receives(node(2), claim(mac(1), Tail::default()));
    let again = infos(&bench.sent());
    assert_eq!(again.len(), 1);
    assert!(!again[0].2.flags.has(Flags::FROM_MEMORY));
}

#[test]
fn what_a_repeated_claim_asked_for_does_not_delay_the_next_info() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    for _ in 0..5 {
        bench.receives(node(2), claim(mac(1), Tail::default()));
    }
    bench.drain();
    // All of their answers were lost, or the ACK was.
    let log = bench.pass(Duration::from_secs(20));
    let times: Vec<u64> =
        log.iter().filter(|(_, a)| matches!(a, Action::SendIntercom { .. })).map(|(at, _)| *at).collect();
    assert_eq!(times[..3], [15, 40, 100]);
    assert_eq!(times.len(), 11, "sixteen in all");
}

#[test]
fn a_former_holder_answers_from_memory_passes_unicast_on_and_forwards_floods() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.receives(node(2), ack(mac(1)));
    bench.drain();
    bench.receives(node(3), claim(mac(1), Tail::default()));
    let sent = bench.sent();
    let answers = infos(&sent);
    assert_eq!(answers[0].0, IntercomDestination::Unicast(node(3)));
    assert!(answers[0].2.flags.has(Flags::FROM_MEMORY));
    let (to, packet) = sent.last().unwrap();
    assert_eq!((*to, packet.sender), (IntercomDestination::Unicast(node(2)), node(3)));
    assert!(matches!(packet.body, Body::Claim { tail: Tail { hops: Some(1), .. }, .. }));

    bench.receives(node(2), claim(mac(1), Tail::default()));
    assert!(!bench.sent().iter().any(|(_, p)| matches!(p.body, Body::Claim { .. })), "never back");
    bench.receives(node(3), claim(mac(1), Tail { hops: Some(16), ..Tail::default() }));
    assert!(!bench.sent().iter().any(|(_, p)| matches!(p.body, Body::Claim { .. })), "at most sixteen times");

    bench.receives_flooded(node(3), claim(mac(1), Tail::default()));
    let sent = bench.sent();
    let forwarded: Vec<u8> =
        sent.iter().filter(|(to, _)| *to == IntercomDestination::Mesh(MESH)).map(|(_, p)| p.ttl).collect();
    assert_eq!(forwarded, [254]);
    let second = bench.pass(Duration::from_secs(301));
    let repeated = second.iter().any(|(_, action)| matches!(action, Action::SendIntercom { .. }));
    assert!(!repeated, "answers from memory are not repeated: {second:?}");
    bench.receives(node(3), claim(mac(1), Tail::default()));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.count(Counter::ClaimUnknown), 1);
}

#[test]
fn the_serving_node_ends_a_flood_and_others_forward_it() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_flooded(node(2), claim(mac(1), Tail::default()));
    assert!(!bench.sent().iter().any(|(to, _)| matches!(to, IntercomDestination::Mesh(_))));
    bench.receives_flooded(node(2), claim(mac(2), Tail::default()));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_claim_much_older_than_our_evidence_is_not_obeyed() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail { age_ms: Some(1500), ..Tail::default() }));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.count(Counter::ClaimOutdated), 1);
}

#[test]
fn a_claim_a_little_older_than_our_evidence_is_decided_by_the_client_itself() {
    let older = || claim(mac(1), Tail { age_ms: Some(500), ..Tail::default() });
    for here in [true, false] {
        let mut bench = Bench::new();
        bench.serve(mac(1), &[v6(1)]);
        bench.receives(node(2), older());
        let probe = Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) };
        assert_eq!(bench.actions(), [Action::QueryClient { interface: BRIDGE, client: mac(1) }, probe]);
        bench.pass_ms(1);
        if here {
            bench.hears(mac(1), v6(1));
        }
        bench.pass_ms(14);
        bench.receives(node(2), older());
        assert_eq!(bench.engine.clients().count() == 1, here);
    }
}

#[test]
fn a_client_that_moves_on_at_once_belongs_to_the_node_that_noticed_it_later() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), RouteLookup::Other);
    bench.pass_ms(13);
    bench.hears(mac(1), v6(1));
    let tail = Tail { age_ms: Some(0), sequence: Some(0), ..Tail::default() };
    bench.receives_flooded(node(9), claim(mac(1), tail));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn of_two_claims_at_once_exactly_one_wins() {
    let cases = [
        (Tail { sequence: Some(3), age_ms: Some(900), ..Tail::default() }, node(9), true),
        (Tail { sequence: Some(0), age_ms: Some(2), ..Tail::default() }, node(9), true),
        (Tail { sequence: Some(0), age_ms: Some(20), ..Tail::default() }, node(9), false),
        (Tail { sequence: Some(0), age_ms: Some(5), ..Tail::default() }, node(9), false),
        (
            Tail { sequence: Some(0), age_ms: Some(5), ..Tail::default() },
            Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 1),
            true,
        ),
    ];
    for (tail, peer, wins) in cases {
        let mut bench = Bench::new();
        bench.hears(mac(1), v6(1));
        bench.node_client_route(mac(1), RouteLookup::Other);
        bench.now = bench.now + Duration::from_millis(5);
        bench.drain();
        bench.receives_flooded(peer, claim(mac(1), tail));
        assert_eq!(bench.engine.clients().count() == 0, wins, "{tail:?} from {peer}");
    }
}

#[test]
fn a_node_that_took_the_client_because_nobody_answered_yields_at_once() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), RouteLookup::Other);
    bench.pass_ms(310);
    bench.hears(mac(1), v6(1));
    bench.receives(node(9), claim(mac(1), Tail { age_ms: Some(0), sequence: Some(0), ..Tail::default() }));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn a_late_frame_after_a_handover_is_asked_after_and_an_answer_brings_the_client_back() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.receives(node(2), ack(mac(1)));
    bench.drain();
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 0);
    let log = bench.pass_ms(100);
    assert_eq!(
        log,
        [
            (0, Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) }),
            (100, Action::QueryClient { interface: BRIDGE, client: mac(1) }),
            (100, Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) }),
        ]
    );
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 1);
}

#[test]
fn the_plat_prefix_of_a_peer_never_replaces_ours() {
    let ours: Ipv6Addr = "64:ff9b::".parse().unwrap();
    let mut bench = Bench::with(|config| config.plat_prefix = Some(ours));
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    let plat = Some(intercom::Plat { lease: 0, prefix: "2001:db8:64::".parse().unwrap() });
    bench.receives(node(2), Body::Info { plat, client: mac(1), addresses: vec![], tail: Tail::default() });
    bench.drain();
    bench.receives(node(3), claim(mac(1), Tail::default()));
    let sent = bench.sent();
    assert!(
        sent.iter()
            .any(|(_, p)| matches!(p.body, Body::Info { plat: Some(plat), .. } if plat.prefix == ours))
    );
}

#[test]
fn intercom_packets_are_believed_only_from_nodes_on_mesh_interfaces() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let packet = Packet {
        ttl: 1,
        capabilities: Capabilities::TAILS,
        nonce: 1,
        sender: node(2),
        body: claim(mac(1), Tail::default()),
    };
    let received = |interface, source, packet: Packet| datagram_received(interface, source, node(1), &packet);
    bench.input(received(BRIDGE, node(2), packet.clone()));
    bench.input(received(MESH, intercom::GROUP, packet.clone()));
    bench.input(received(MESH, node(2), Packet { sender: intercom::GROUP, ..packet.clone() }));
    bench.input(received(MESH, node(2), Packet { sender: node(1), ..packet.clone() }));
    bench.input(received(MESH, node(2), Packet { body: claim(Mac([0xff; 6]), Tail::default()), ..packet }));
    bench.input(Input::RouteLookedUp { address: node(2).into(), found: host_route() });
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.count(Counter::DropNotMeshInterface), 1);
    assert_eq!(bench.count(Counter::DropBadSender), 2);
    assert_eq!(bench.count(Counter::DropOwnPacket), 1);
    assert_eq!(bench.count(Counter::DropBadClient), 1);
}

#[test]
fn a_c_nodes_constant_nonce_hides_nothing() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.serve(mac(n), &[v6(n)]);
    }
    for n in 1..=3 {
        let packet = Packet {
            ttl: 1,
            capabilities: Capabilities::default(),
            nonce: 77,
            sender: node(2),
            body: claim(mac(n), Tail::default()),
        };
        let destination = bench.engine.config().node_client_prefix.node_client_address(mac(n));
        bench.input(datagram_received(MESH, node(2), destination, &packet));
        bench.input(Input::RouteLookedUp { address: node(2).into(), found: host_route() });
    }
    assert_eq!(bench.engine.clients().count(), 0);
}
