//! A client that is claimed elsewhere while it is alive here.

use super::search::packet;
use super::*;
use crate::wire::intercom::Flags;

const RIVAL: u16 = 3;

fn probe() -> Action {
    Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) }
}

fn infos(sent: Vec<(IntercomDestination, Packet)>) -> Vec<(Flags, usize)> {
    let infos = sent.into_iter().filter_map(|(_, packet)| match packet.body {
        Body::Info { addresses, tail, .. } => Some((tail.flags, addresses.len())),
        _ => None,
    });
    infos.collect()
}

/// A node that serves client 1 and has just been told that another one has it.
fn claimed() -> Bench {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    bench
}

fn refused_ack() -> Body {
    Body::Ack { client: mac(1), tail: Tail { flags: Flags::REFUSED, ..Tail::default() } }
}

#[test]
fn a_client_that_answers_twice_after_the_claim_is_taken_back_and_the_claim_refused() {
    let mut bench = claimed();
    assert_eq!(bench.actions().last(), Some(&probe()), "handed over at once, and asked meanwhile");
    bench.pass_ms(2);
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.actions(), [probe()], "one frame may have been read late");
    assert_eq!(bench.engine.desired_state().routes, [drained(v6(1))]);
    bench.pass_ms(2);
    bench.hears(mac(1), v6(1));
    let outputs = bench.drain();
    assert!(outputs.contains(&Output::Action(Action::InstallRoute(route(v6(1))))), "{outputs:?}");
    let told = Notice::ClientDuplicate { client: mac(1), peer: node(RIVAL) };
    assert!(outputs.contains(&Output::Notice(told)));
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Action(Action::SendIntercom { destination, datagram }) => {
            Some((*destination, intercom::parse(datagram).unwrap()))
        }
        _ => None,
    });
    assert_eq!(infos(sent.collect()), [(Flags::REFUSED, 0)]);
    let client = bench.engine.client(mac(1)).unwrap();
    assert_eq!((client.sequence(), client.is_settled()), (2, true), "newer than what was handed over");
    assert_eq!(bench.engine.desired_state().node_client_addresses.len(), 1);
    // The ACK of the INFO before it changes nothing; the refusal is repeated until its own.
    bench.receives_relaying(node(RIVAL), ack(mac(1)));
    bench.pass_ms(20);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    assert_eq!(infos(bench.sent()), [(Flags::REFUSED, 0)], "a claim that was on its way");
    bench.receives_relaying(node(RIVAL), refused_ack());
    assert!(bench.pass_ms(3000).iter().all(|(_, a)| !matches!(a, Action::SendIntercom { .. })));
    // And what had been relayed there comes back.
    bench.receives_relaying(node(RIVAL), Body::Relay { hops: 1, sequence: 2, packet: packet(v6(1), 1) });
    assert!(bench.actions().contains(&Action::ReleasePacket(packet(v6(1), 1))));
}

#[test]
fn a_client_that_answers_once_late_elsewhere_or_not_at_all_has_gone() {
    for (first, second, port) in [(2, 30, PORT), (2, 2, OTHER_PORT), (25, 2, PORT)] {
        let mut bench = claimed();
        for wait in [first, second] {
            bench.pass_ms(wait);
            bench.hears_on(port, mac(1), FrameContent::Uses(v6(1)));
        }
        assert_eq!(bench.engine.clients().count(), 0, "{first} {second} {port:?}");
        assert_eq!(bench.count(Counter::ClaimRefused), 0);
    }
}

#[test]
fn a_client_whose_place_another_has_taken_meanwhile_is_not_taken_back() {
    let mut bench = Bench::with(|config| config.tunables.max_clients = 1);
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    bench.hears(mac(2), v6(2));
    for _ in 0..2 {
        bench.pass_ms(2);
        bench.hears(mac(1), v6(1));
    }
    assert_eq!(bench.engine.clients().map(|client| client.mac()).collect::<Vec<_>>(), [mac(2)]);
    assert_eq!((bench.count(Counter::ClaimRefused), bench.count(Counter::ClientLimit)), (0, 1));
}

#[test]
fn a_c_daemon_is_never_refused() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_as(node(RIVAL), node(1), Capabilities::default(), claim(mac(1), Tail::default()));
    assert!(!bench.actions().contains(&probe()));
    bench.hears(mac(1), v6(1));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn a_refused_node_removes_what_it_installed_and_tries_again_with_growing_distance() {
    let mut bench = Bench::new();
    let refusal = || info(mac(1), &[], Tail { flags: Flags::REFUSED, sequence: Some(7), ..Tail::default() });
    for wait in [300, 600, 1200] {
        bench.hears(mac(1), v6(1));
        assert_eq!(bench.engine.clients().count(), 1, "it answers the question: a sign of life");
        bench.node_client_route(mac(1), host_route());
        let tail = Tail { sequence: Some(5), ..Tail::default() };
        bench.receives_relaying(node(RIVAL), info(mac(1), &[v6(1)], tail));
        bench.drain();
        bench.pass_ms(10);
        bench.receives_relaying(node(RIVAL), refusal());
        let outputs = bench.drain();
        assert!(outputs.contains(&Output::Action(Action::InstallRoute(drained(v6(1))))), "{outputs:?}");
        let told = Notice::ClientDuplicate { client: mac(1), peer: node(RIVAL) };
        assert!(outputs.contains(&Output::Notice(told)));
        let Some(Output::Action(Action::SendIntercom { datagram, .. })) = outputs.last() else {
            panic!("{outputs:?}")
        };
        assert_eq!(intercom::parse(datagram).unwrap().body, refused_ack());
        assert_eq!(bench.engine.clients().count(), 0);
        let log = bench.pass_ms(wait - 1);
        assert!(!log.iter().any(|(_, action)| matches!(action, Action::QueryClient { .. })), "{log:?}");
        let log = bench.pass_ms(1);
        assert!(log.iter().any(|(_, action)| matches!(action, Action::QueryClient { .. })), "{log:?}");
        bench.pass_ms(1000);
    }
    // What comes here for it meanwhile goes back.
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    let relayed = bench.sent();
    assert!(matches!(relayed[0].1.body, Body::Relay { sequence: 7, .. }), "{relayed:?}");
}

#[test]
fn a_node_that_refuses_without_having_given_the_client_away_is_relayed_nothing() {
    let refusal = || info(mac(1), &[], Tail { flags: Flags::REFUSED, sequence: Some(7), ..Tail::default() });
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    // Nothing was asked of anybody yet.
    bench.receives_relaying(node(RIVAL), refusal());
    assert_eq!((bench.engine.clients().count(), bench.count(Counter::InfoUnexpected)), (1, 1));
    bench.node_client_route(mac(1), host_route());
    bench.drain();
    bench.receives_relaying(node(RIVAL), refusal());
    let actions = bench.actions();
    assert!(actions.contains(&Action::UninstallRoute(route(v6(1)))), "it leads there still: {actions:?}");
    assert_eq!(bench.engine.desired_state().routes, []);
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert!(!bench.sent().iter().any(|(_, sent)| matches!(sent.body, Body::Relay { .. })));
}

#[test]
fn a_refusal_counts_only_from_a_node_that_was_asked() {
    let refusal = || info(mac(1), &[], Tail { flags: Flags::REFUSED, ..Tail::default() });
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    // It went to a C node, which passes no claim on.
    bench.receives_as(node(2), node(1), Capabilities::default(), claim(mac(1), Tail::default()));
    bench.pass_ms(2000);
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), RouteLookup::Other);
    let claims = bench.sent();
    assert!(claims.iter().any(|(target, _)| *target == to(2)), "{claims:?}");
    bench.receives_relaying(node(RIVAL), refusal());
    assert_eq!((bench.engine.clients().count(), bench.count(Counter::InfoRefused)), (1, 0));
    // The claim is flooded after 100 ms.
    bench.pass_ms(100);
    bench.receives_relaying(node(RIVAL), refusal());
    assert_eq!((bench.engine.clients().count(), bench.count(Counter::InfoRefused)), (0, 1));
}

#[test]
fn a_refusal_counts_only_from_a_node_that_has_just_answered_our_claim() {
    let refusal = || info(mac(1), &[], Tail { flags: Flags::REFUSED, ..Tail::default() });
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives_relaying(node(RIVAL), refusal());
    assert_eq!((bench.drain(), bench.engine.clients().count()), (vec![], 1));
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.receives_relaying(node(2), info(mac(1), &[], Tail::default()));
    bench.receives_relaying(node(RIVAL), refusal());
    assert_eq!(bench.engine.clients().count(), 1, "it was not the one");
    bench.pass_ms(1100);
    bench.receives_relaying(node(2), refusal());
    assert_eq!(bench.engine.clients().count(), 1, "too late");
}

#[test]
fn a_client_that_is_disputed_often_is_asked_before_it_is_handed_over() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let contested = |bench: &mut Bench| {
        bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
        for _ in 0..2 {
            bench.pass_ms(2);
            bench.hears(mac(1), v6(1));
        }
        let routes = bench.engine.desired_state().routes;
        bench.drain();
        bench.receives_relaying(node(RIVAL), refused_ack());
        bench.pass_ms(2000);
        bench.hears(mac(1), v6(1));
        bench.drain();
        routes
    };
    for _ in 0..5 {
        assert_eq!(contested(&mut bench), [route(v6(1))]);
    }
    // Asked, answered, and refused when the claim is repeated: nothing is handed over in between.
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    assert!(bench.actions().contains(&probe()));
    bench.pass_ms(5);
    bench.hears(mac(1), v6(1));
    bench.pass_ms(10);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    assert_eq!(infos(bench.sent()), [(Flags::REFUSED, 0)]);
    bench.receives_relaying(node(RIVAL), refused_ack());
    // The claimer says how old its evidence is: then the answer is newer, and the claim is refused
    // as well.
    bench.pass_ms(2000);
    let aged = |age_ms| claim(mac(1), Tail { age_ms: Some(age_ms), ..Tail::default() });
    bench.receives_relaying(node(RIVAL), aged(1));
    bench.drain();
    bench.pass_ms(5);
    bench.hears(mac(1), v6(1));
    bench.pass_ms(10);
    bench.receives_relaying(node(RIVAL), aged(16));
    assert_eq!(infos(bench.sent()), [(Flags::REFUSED, 0)]);
    bench.receives_relaying(node(RIVAL), refused_ack());
    // That answer says nothing about a claim for which the client was heard later: it is asked
    // again, and has gone.
    bench.pass_ms(900);
    bench.receives_relaying(node(RIVAL), aged(1));
    assert!(bench.actions().contains(&probe()));
    bench.pass_ms(15);
    bench.receives_relaying(node(RIVAL), aged(16));
    assert_eq!(bench.engine.clients().count(), 0);
    bench.pass_ms(200);
    bench.serve(mac(1), &[v6(1)]);
    // When it has really gone, the repeated claim gets it.
    bench.pass_ms(5000);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    bench.pass_ms(15);
    bench.receives_relaying(node(RIVAL), claim(mac(1), Tail::default()));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(bench.count(Counter::ClaimRefused), 7);
}

#[test]
fn a_client_that_came_from_another_node_is_told_that_the_gateway_is_here() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(1)], Tail::default()));
    let advertise = Action::Advertise { interface: BRIDGE, client: mac(1) };
    assert_eq!(bench.actions().into_iter().filter(|action| *action == advertise).count(), 1);
}
