//! Packets that wait for unknown addresses.

use super::*;

/// An IPv6 UDP packet from a host outside to `to`, marked with `mark`.
pub(super) fn packet(to: IpAddr, mark: u8) -> Vec<u8> {
    let IpAddr::V6(to) = to else { panic!("IPv6 only") };
    let mut packet = vec![0x60, 0, 0, 0, 0, 9, 17, 64];
    packet.extend("2001:db8:ffff::1".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(to.octets());
    packet.extend([0, 1, 0, 2, 0, 9, 0, 0, mark]);
    packet
}

pub(super) fn released(actions: &[Action]) -> Vec<u8> {
    let packets = actions.iter().filter_map(|action| match action {
        Action::ReleasePacket(packet) => packet.last().copied(),
        _ => None,
    });
    packets.collect()
}

fn everybody(address: IpAddr) -> Action {
    Action::Probe { interface: BRIDGE, address, client: None }
}

fn seeks(log: &[(u64, Action)]) -> Vec<u64> {
    let sent = log.iter().filter_map(|(at, action)| match action {
        Action::SendIntercom { destination: IntercomDestination::Mesh(_), datagram } => Some((*at, datagram)),
        _ => None,
    });
    let seeks =
        sent.filter(|(_, datagram)| matches!(intercom::parse(datagram).unwrap().body, Body::Seek { .. }));
    seeks.map(|(at, _)| at).collect()
}

#[test]
fn an_unknown_address_is_probed_here_at_once_and_sought_in_the_mesh_after_30_ms() {
    let mut bench = Bench::new();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    let log = bench.pass(Duration::from_millis(4500));
    let probes: Vec<u64> = log.iter().filter(|(_, a)| *a == everybody(v6(1))).map(|(at, _)| *at).collect();
    assert_eq!(probes, [0, 30, 300, 1000, 2000, 3000]);
    assert_eq!(seeks(&log), [30, 3030]);
}

#[test]
fn every_known_client_is_asked_by_unicast_and_everybody_only_above_the_cap() {
    let mut bench = Bench::with(|config| config.tunables.max_unicast_copies = 2);
    bench.serve(mac(1), &[v6(11)]);
    bench.serve(mac(2), &[v6(12)]);
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    let unicast = |n| Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(n)) };
    assert_eq!(bench.actions(), [Action::LookupRoute(v6(1)), unicast(1), unicast(2)]);
    bench.serve(mac(3), &[v6(13)]);
    bench.input(Input::PacketForUnknown(packet(v6(2), 1)));
    assert_eq!(bench.actions(), [Action::LookupRoute(v6(2)), everybody(v6(2))]);
}

#[test]
fn a_packet_that_is_read_after_the_news_of_its_route_goes_back_at_once() {
    let mut bench = Bench::new();
    bench.input(Input::HostRouteSeen(v6(1)));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert!(bench.actions().contains(&Action::LookupRoute(v6(1))));
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(released(&bench.actions()), [1]);
    assert!(seeks(&bench.pass(Duration::from_secs(1))).is_empty(), "nobody needs to be asked");
}

#[test]
fn waiting_packets_go_in_their_order_when_the_kernel_confirms_a_host_route() {
    let mut bench = Bench::new();
    for mark in 1..=3 {
        bench.input(Input::PacketForUnknown(packet(v6(1), mark)));
    }
    bench.drain();
    bench.input(Input::HostRouteSeen(v6(1)));
    assert_eq!(bench.actions(), [Action::LookupRoute(v6(1))]);
    bench.input(Input::RouteLookedUp { address: v6(1), found: RouteLookup::Other });
    assert_eq!(bench.actions(), [], "not yet");
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(released(&bench.actions()), [1, 2, 3]);
    assert_eq!(bench.engine.waiting(), (0, 0));
    assert!(bench.pass(Duration::from_secs(10)).is_empty());
}

#[test]
fn a_client_found_here_gets_its_packets_after_its_route() {
    let mut bench = Bench::new();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.drain();
    bench.hears(mac(1), v6(1));
    let actions = bench.actions();
    let position = |wanted: &Action| actions.iter().position(|action| action == wanted).unwrap();
    assert!(position(&Action::InstallRoute(route(v6(1)))) < position(&Action::LookupRoute(v6(1))));
    assert_eq!(released(&actions), [1], "the kernel has acknowledged route and neighbour entry");
}

#[test]
fn a_packet_that_waited_five_seconds_is_answered_unreachable() {
    let mut bench = Bench::new();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    let log = bench.pass(Duration::from_millis(5000));
    let to = ip("2001:db8:ffff::1");
    assert!(log.contains(&(5000, Action::SendUnreachable { to, packet: packet(v6(1), 1) })), "{log:?}");
    bench.input(Input::PacketForUnknown(packet(v6(1), 2)));
    assert_eq!(bench.actions(), [Action::SendUnreachable { to, packet: packet(v6(1), 2) }], "negative cache");
    bench.pass(Duration::from_secs(6));
    bench.input(Input::PacketForUnknown(packet(v6(1), 3)));
    assert_eq!(bench.actions(), [Action::LookupRoute(v6(1)), everybody(v6(1))], "sought anew");
}

#[test]
fn packets_that_are_not_for_clients_are_ignored() {
    let mut bench = Bench::new();
    for packet in [
        vec![],
        vec![0x60; 10],
        packet(ip("2001:db8:1::1"), 1),
        packet(ip("ff02::1"), 1),
        packet(ip("fe80::1"), 1),
    ] {
        bench.input(Input::PacketForUnknown(packet));
    }
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.count(Counter::CaptureIgnored), 5);
}

#[test]
fn a_seek_for_a_client_here_is_answered_to_our_kind_and_goes_no_further() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let IpAddr::V6(address) = v6(1) else { unreachable!() };
    bench.receives_flooded(node(2), Body::Seek { address, tail: Tail::default() });
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, IntercomDestination::Unicast(node(2)));
    assert!(matches!(&sent[0].1.body, Body::Info { addresses, .. } if *addresses == [address]));
    bench.receives_as(
        node(3),
        intercom::GROUP,
        Capabilities::default(),
        Body::Seek { address, tail: Tail::default() },
    );
    assert_eq!(bench.sent(), [], "a C daemon would not know what to do with it");
}

#[test]
fn a_seek_for_an_unknown_address_is_probed_and_forwarded_and_answered_when_found() {
    let mut bench = Bench::new();
    let IpAddr::V6(address) = v6(1) else { unreachable!() };
    bench.receives_flooded(node(2), Body::Seek { address, tail: Tail::default() });
    let actions = bench.actions();
    assert!(actions.contains(&everybody(v6(1))));
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::SendIntercom { destination: IntercomDestination::Mesh(_), .. }))
    );
    bench.pass_ms(1);
    bench.hears(mac(1), v6(1));
    let sent = bench.sent();
    assert!(
        sent.iter().any(
            |(to, p)| *to == IntercomDestination::Unicast(node(2)) && matches!(p.body, Body::Info { .. })
        )
    );
}

#[test]
fn info_from_the_finder_stops_the_search_and_the_route_brings_the_packets_on_their_way() {
    let mut bench = Bench::new();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.pass_ms(40);
    bench.receives(node(3), info(mac(1), &[v6(1)], Tail::default()));
    let log = bench.pass_ms(2900);
    assert_eq!(log, [(0, Action::LookupRoute(v6(1)))], "no probe, no seek, no ACK, no client");
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn packets_for_a_client_that_was_handed_over_wait_for_the_new_route_without_a_search() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.receives(node(2), ack(mac(1)));
    bench.drain();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert_eq!(bench.pass_ms(900), [], "a C daemon or an older one of ours: nothing to relay to");
    bench.input(Input::HostRouteSeen(v6(1)));
    let drained = drained(v6(1));
    assert_eq!(bench.actions(), [Action::UninstallRoute(drained), Action::LookupRoute(v6(1))]);
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn a_route_of_ours_that_somebody_removed_is_repaired_and_the_packet_goes() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert_eq!(bench.actions(), [Action::LookupRoute(v6(1))]);
    bench.input(Input::RouteLookedUp { address: v6(1), found: RouteLookup::Other });
    assert_eq!(bench.actions(), [Action::Reconcile, Action::LookupRoute(v6(1))]);
    bench.input(Input::RouteLookedUp { address: v6(1), found: RouteLookup::Other });
    assert_eq!(bench.actions(), [], "not more than once a second");
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(
        released(&bench.actions()),
        [0_u8; 0],
        "another's route in the place of ours would bring it back"
    );
    let found = RouteLookup::HostRoute { interface: BRIDGE, protocol: 158 };
    bench.input(Input::RouteLookedUp { address: v6(1), found });
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn a_flood_is_handled_and_forwarded_once_whatever_its_ttl() {
    let mut bench = Bench::new();
    let IpAddr::V6(address) = v6(1) else { unreachable!() };
    let body = Body::Seek { address, tail: Tail::default() };
    for ttl in [255, 254, 1] {
        let packet = Packet {
            ttl,
            capabilities: Capabilities::default(),
            nonce: 5,
            sender: node(2),
            body: body.clone(),
        };
        bench.input(datagram_received(MESH, "fe80::1".parse().unwrap(), intercom::GROUP, &packet));
    }
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.count(Counter::DropDuplicate), 2);
}

#[test]
fn steady_traffic_for_an_address_that_nobody_has_does_not_keep_its_search_alive() {
    let mut bench = Bench::with(|config| config.tunables.max_queue_per_address = 4);
    let mut unreachable = 0;
    for _ in 0..140 {
        bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
        let log = bench.pass_ms(100);
        unreachable +=
            log.iter().filter(|(_, action)| matches!(action, Action::SendUnreachable { .. })).count();
    }
    assert!(unreachable > 10, "its senders are told: {unreachable}");
    assert!(bench.count(Counter::SearchNegative) > 10);
}

#[test]
fn probing_for_others_is_bounded_whoever_they_say_they_are() {
    let mut bench = Bench::with(|config| config.tunables.flood_rate = 20);
    for n in 0..100 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7, n);
        bench.receives_flooded(node(n + 2), Body::Seek { address, tail: Tail::default() });
    }
    let probes = bench.actions().into_iter().filter(|action| matches!(action, Action::Probe { .. })).count();
    assert_eq!(probes, 20);
}

fn asks(log: &[(u64, Action)], wanted: IpAddr) -> bool {
    log.iter().any(|(_, action)| matches!(action, Action::Probe { address, .. } if *address == wanted))
}

#[test]
fn what_is_searched_for_while_the_client_interface_is_gone_is_asked_for_when_it_is_back() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::LinkGone(BRIDGE));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.input(Input::PacketForUnknown(packet(v6(2), 2)));
    let log = bench.pass_ms(1500);
    assert!(!asks(&log, v6(1)), "there is no way to ask");
    bench.tell_links();
    let log = bench.pass_ms(1);
    assert!(asks(&log, v6(1)) && asks(&log, v6(2)), "{log:?}");
    bench.hears(mac(1), v6(1));
    bench.input(Input::RouteInstalled(route(v6(1))));
    bench.input(Input::NeighbourInstalled(neighbour(mac(1), v6(1))));
    assert_eq!(released(&bench.actions()), [1]);
}

#[test]
fn what_was_sought_in_vain_is_sought_again_behind_a_new_port() {
    let mut bench = Bench::new();
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.pass(Duration::from_secs(6));
    bench.input(Input::LinkGone(PORT));
    bench.input(Input::PacketForUnknown(packet(v6(1), 2)));
    assert_eq!(bench.count(Counter::SearchNegative), 1);
    bench.tell_links();
    bench.drain();
    bench.input(Input::PacketForUnknown(packet(v6(1), 3)));
    assert_eq!(bench.count(Counter::SearchNegative), 1);
    assert!(bench.actions().iter().any(|action| matches!(action, Action::Probe { .. })));
}

#[test]
fn what_is_searched_for_is_asked_again_when_a_port_begins_to_carry_packets() {
    let mut bench = Bench::new();
    let port = |running| {
        Input::LinkSeen(Link {
            index: PORT,
            name: "port0".parse().unwrap(),
            mac: None,
            up: true,
            running,
            master: Some(BRIDGE),
            bridge: false,
            peer: None,
        })
    };
    bench.input(port(false));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    assert!(asks(&bench.pass_ms(1000), v6(1)));
    bench.input(port(true));
    assert!(asks(&bench.pass_ms(1), v6(1)));
    bench.input(port(true));
    assert!(!asks(&bench.pass_ms(1), v6(1)), "nothing is new");
}

#[test]
fn what_waits_for_a_client_is_not_led_into_a_bridge_that_carries_nothing_yet() {
    let mut bench = Bench::new();
    let bridge = |running| {
        Input::LinkSeen(Link {
            index: BRIDGE,
            name: "br-client".parse().unwrap(),
            mac: None,
            up: true,
            running,
            master: None,
            bridge: true,
            peer: None,
        })
    };
    bench.input(bridge(false));
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.hears(mac(1), v6(1));
    bench.pass_ms(500);
    assert_eq!(bench.engine.desired_state().routes, []);
    bench.input(bridge(true));
    let actions = bench.actions();
    assert!(actions.contains(&Action::Rescan), "{actions:?}");
    assert!(asks(&bench.pass_ms(1), v6(1)));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.desired_state().routes.len(), 1);
}

#[test]
fn what_waits_for_the_route_of_a_client_whose_interface_goes_is_searched_for() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    // The kernel drops the route before it tells that the interface is gone.
    bench.input(Input::PacketForUnknown(packet(v6(1), 1)));
    bench.input(Input::LinkGone(BRIDGE));
    bench.input(Input::PacketForUnknown(packet(v6(1), 2)));
    bench.pass_ms(500);
    bench.tell_links();
    assert!(asks(&bench.pass_ms(1), v6(1)));
}
