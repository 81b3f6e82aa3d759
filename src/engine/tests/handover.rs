//! A client comes to this node.

use super::super::output::Direction;
use super::*;
use crate::wire::intercom::Flags;

fn claims(log: &[(u64, Action)]) -> Vec<(u64, IntercomDestination, Packet)> {
    let sent = log.iter().filter_map(|(at, action)| match action {
        Action::SendIntercom { destination, datagram } => {
            Some((*at, *destination, intercom::parse(datagram).unwrap()))
        }
        _ => None,
    });
    sent.filter(|(_, _, packet)| matches!(packet.body, Body::Claim { .. })).collect()
}

#[test]
fn a_claim_goes_to_the_node_client_address_on_its_schedule_with_fresh_nonces() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    let log = bench.pass(Duration::from_secs(10));
    let claims = claims(&log);
    let unicast = IntercomDestination::Unicast("fec0::5eff:fe10:1".parse().unwrap());
    let times = |wanted: IntercomDestination| -> Vec<u64> {
        claims.iter().filter(|(_, to, _)| *to == wanted).map(|(at, ..)| *at).collect()
    };
    // At 400 ms the first flood was unanswered for 300 ms: the address is ours, a claim to it would reach ourselves.
    assert_eq!(times(unicast), [0, 15, 40, 100, 200, 300]);
    assert_eq!(times(IntercomDestination::Mesh(MESH)), [100, 1100, 2100]);
    let mut nonces: Vec<u32> = claims.iter().map(|(_, _, packet)| packet.nonce).collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), claims.len());
    for (at, to, packet) in &claims {
        let Body::Claim { tail, .. } = packet.body else { unreachable!() };
        assert_eq!((tail.sequence, tail.age_ms), (Some(0), Some(*at as u32)));
        assert_eq!(packet.ttl, if *to == unicast { 1 } else { 255 });
    }
    let taken = Action::AddNodeClientAddress("fec0::5eff:fe10:1".parse().unwrap());
    assert_eq!(log.iter().filter(|(_, a)| *a == taken).map(|(at, _)| *at).collect::<Vec<_>>(), [400]);
}

#[test]
fn a_claim_is_flooded_where_no_route_leads_to_the_client() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), RouteLookup::Other);
    let log = bench.pass(Duration::from_secs(10));
    let times: Vec<u64> = claims(&log).iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [0, 1000, 2000]);
    let taken = log.iter().find(|(_, action)| matches!(action, Action::AddNodeClientAddress(_)));
    assert_eq!(taken.unwrap().0, 300);
}

#[test]
fn without_a_mesh_the_client_is_ours_at_once() {
    let mut bench = Bench::with(|config| config.mesh_interfaces.clear());
    bench.hears(mac(1), v6(1));
    assert!(bench.engine.client(mac(1)).unwrap().is_settled());
    assert_eq!(bench.engine.desired_state().node_client_addresses.len(), 1);
}

#[test]
fn info_settles_the_claim_and_installs_every_address_at_once() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.pass_ms(10);
    let tail = Tail { sequence: Some(5), age_ms: Some(700), ..Tail::default() };
    bench.receives(node(2), info(mac(1), &[v6(1), v6(2), ip("10.0.0.9")], tail));
    let outputs = bench.drain();
    let told = Notice::ClientHandedOver {
        client: mac(1),
        direction: Direction::Incoming,
        peer: node(2),
        addresses: 3,
        duration: Duration::from_millis(10),
    };
    assert!(outputs.contains(&Output::Notice(told)), "{outputs:?}");
    for address in [v6(2), ip("10.0.0.9")] {
        assert!(outputs.contains(&Output::Action(Action::InstallRoute(route(address)))));
        let probe = Action::Probe { interface: BRIDGE, address, client: Some(mac(1)) };
        assert!(outputs.contains(&Output::Action(probe)), "tentative until it answers");
    }
    let client = bench.engine.client(mac(1)).unwrap();
    assert!(client.is_settled() && client.holds_node_client_address);
    assert_eq!(client.sequence(), 5);
    let ack = outputs.iter().rev().find_map(|output| match output {
        Output::Action(Action::SendIntercom { destination, datagram }) => {
            Some((*destination, intercom::parse(datagram)))
        }
        _ => None,
    });
    let (destination, packet) = ack.unwrap();
    assert_eq!(destination, IntercomDestination::Unicast(node(2)));
    assert!(matches!(packet.unwrap().body, Body::Ack { .. }));
    assert!(claims(&bench.pass(Duration::from_secs(5))).is_empty(), "no claim after INFO");
}

#[test]
fn tentative_addresses_that_do_not_answer_go_again() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(2)], Tail::default()));
    bench.pass_ms(1500);
    bench.hears(mac(1), v6(1));
    let log = bench.pass_ms(1000);
    assert!(log.iter().any(|(at, action)| *action == Action::UninstallRoute(route(v6(2))) && *at == 500));
    assert_eq!(bench.engine.desired_state().routes, [route(v6(1))]);
}

#[test]
fn every_info_for_our_client_is_acknowledged_but_only_one_counts() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(1)], Tail::default()));
    bench.drain();
    bench.receives(node(3), info(mac(1), &[v6(7)], Tail::default()));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert!(matches!(sent[0].1.body, Body::Ack { .. }));
    assert_eq!(
        bench.engine.desired_state().routes,
        [route(v6(1))],
        "INFO without an open claim is not believed"
    );
}

#[test]
fn info_for_a_client_nobody_claimed_is_ignored_and_counted() {
    let mut bench = Bench::new();
    bench.receives(node(2), info(mac(9), &[v6(9)], Tail::default()));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.count(Counter::InfoUnexpected), 1);
}

#[test]
fn info_from_memory_gives_addresses_but_does_not_settle_the_claim() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    let tail = Tail { flags: Flags::FROM_MEMORY, ..Tail::default() };
    bench.receives(node(2), info(mac(1), &[v6(2)], tail));
    assert!(bench.actions().contains(&Action::InstallRoute(route(v6(2)))));
    assert!(!bench.engine.client(mac(1)).unwrap().is_settled());
}

#[test]
fn addresses_in_info_that_cannot_be_the_clients_are_not_used() {
    let mut bench = Bench::new();
    bench.serve(mac(2), &[v6(2)]);
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    let strange = [ip("fe80::1"), ip("2001:db8:9::1"), ip("ff02::1"), ip("::"), ip("::1"), v6(2), v6(3)];
    bench.receives(node(3), info(mac(1), &strange, Tail::default()));
    let mine: Vec<IpAddr> = bench.engine.client(mac(1)).unwrap().routed().collect();
    assert_eq!(mine, [v6(1), v6(3)], "not outside the prefixes, not another client's here");
    assert_eq!(bench.count(Counter::InfoAddressOutside), 5);
}

#[test]
fn a_refusal_is_counted_and_ends_the_stay() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    let tail = Tail { flags: Flags::REFUSED, ..Tail::default() };
    bench.receives(node(2), info(mac(1), &[], tail));
    assert!(bench.engine.client(mac(1)).is_none());
    assert_eq!(bench.count(Counter::InfoRefused), 1);
}

#[test]
fn retransmissions_wait_for_the_round_trip_last_measured() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.drain();
    bench.now = bench.now + Duration::from_millis(14);
    bench.receives(node(2), info(mac(1), &[v6(1)], Tail::default()));
    bench.pass_ms(10);
    bench.hears(mac(2), v6(2));
    bench.node_client_route(mac(2), host_route());
    let log = bench.pass_ms(90);
    assert_eq!(claims(&log).iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [0, 21, 46]);
}

#[test]
fn an_info_that_is_repeated_is_acknowledged_twice_to_a_node_of_our_kind() {
    for (capabilities, again) in [(Capabilities::TAILS, 2), (Capabilities::default(), 1)] {
        let mut bench = Bench::new();
        bench.hears(mac(1), v6(1));
        bench.node_client_route(mac(1), host_route());
        bench.drain();
        for count in [1, again] {
            bench.receives_as(node(2), node(1), capabilities, info(mac(1), &[v6(1)], Tail::default()));
            let sent = bench.sent();
            let acks = sent.iter().filter(|(_, packet)| matches!(packet.body, Body::Ack { .. }));
            assert_eq!(acks.count(), count, "{sent:?}");
        }
    }
}

#[test]
fn a_lost_claim_does_not_slow_down_the_next_one() {
    let mut bench = Bench::new();
    for (n, lost) in [(1, 0), (2, 1), (3, 2)] {
        bench.hears(mac(n), v6(n));
        bench.node_client_route(mac(n), host_route());
        // The node takes 1 ms for its answer, and hears the first claim, the second, the third.
        let log = bench.pass_ms([1, 16, 41][lost]);
        let times: Vec<u64> = claims(&log).iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [0, 15, 40][..=lost]);
        bench.receives(node(2), info(mac(n), &[v6(n)], Tail::default()));
        bench.pass_ms(10);
    }
}

#[test]
fn a_burst_of_claims_goes_out_in_a_window() {
    let mut bench = Bench::with(|config| config.tunables.max_claims_in_flight = 3);
    for n in 0..10 {
        bench.hears(mac(n), v6(n));
        bench.node_client_route(mac(n), host_route());
    }
    assert_eq!(bench.sent().len(), 3);
    bench.receives(node(2), info(mac(0), &[], Tail::default()));
    let claimed =
        bench.sent().into_iter().filter(|(_, packet)| matches!(packet.body, Body::Claim { .. })).count();
    assert_eq!(claimed, 1, "one answered, one may follow");
    let log = bench.pass(Duration::from_secs(2));
    let mut macs: Vec<Mac> = claims(&log)
        .iter()
        .map(|(_, _, p)| match p.body {
            Body::Claim { client, .. } => client,
            _ => unreachable!(),
        })
        .collect();
    macs.sort();
    macs.dedup();
    assert_eq!(macs.len(), 9, "all that are unanswered are claimed in the end");
}

#[test]
fn a_claim_is_abandoned_when_the_client_leaves() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.pass_ms(20);
    bench.engine.command(bench.now, &Command::DropClient(mac(1))).unwrap();
    assert!(claims(&bench.pass(Duration::from_secs(10))).is_empty());
}

#[test]
fn memory_names_the_node_to_ask_where_no_route_leads() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.receives(node(2), ack(mac(1)));
    bench.pass_ms(500);
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), RouteLookup::Other);
    let sent = bench.sent();
    assert_eq!(sent[0].0, IntercomDestination::Unicast(node(2)));
    let Body::Claim { tail, .. } = sent[0].1.body else { panic!("{sent:?}") };
    assert_eq!(tail.sequence, Some(1), "the number that was handed over");
}

fn sent_to(log: &[(u64, Action)]) -> Vec<IntercomDestination> {
    let sent = log.iter().filter_map(|(_, action)| match action {
        Action::SendIntercom { destination, .. } => Some(*destination),
        _ => None,
    });
    sent.collect()
}

#[test]
fn memory_names_the_node_to_ask_until_a_newer_route_leads_to_the_client() {
    for newer in [false, true] {
        let mut bench = Bench::new();
        bench.serve(mac(1), &[v6(1)]);
        let own = bench.engine.config().node_client_prefix.node_client_address(mac(1));
        bench.input(Input::HostRouteSeen(IpAddr::V6(own)));
        bench.pass_ms(10);
        bench.receives(node(2), claim(mac(1), Tail::default()));
        bench.receives(node(2), ack(mac(1)));
        bench.pass_ms(500);
        if newer {
            bench.input(Input::HostRouteSeen(IpAddr::V6(own)));
        }
        bench.hears(mac(1), v6(1));
        bench.node_client_route(mac(1), host_route());
        let target = if newer { own } else { node(2) };
        assert_eq!(bench.sent()[0].0, IntercomDestination::Unicast(target), "{newer}");
        let again: Vec<_> = sent_to(&bench.pass_ms(50));
        let second = [IntercomDestination::Unicast(node(2)), IntercomDestination::Unicast(target)];
        assert_eq!(again, second, "{newer}: memory is asked as well");
    }
}

#[test]
fn a_returning_client_gets_back_what_is_remembered_at_once() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1), ip("10.0.0.1")]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.pass_ms(500);
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.desired_state().routes, [route(ip("10.0.0.1")), route(v6(1))]);
}
