//! Who is a node: strangers are not believed, and no node waits.

use super::super::overlap::MAX_CHAIN;
use super::super::stats::Counter;
use super::*;

const OLD: u16 = 2;
const NEW: u16 = 3;

fn found(bench: &mut Bench, sender: Ipv6Addr, found: RouteLookup) {
    bench.input(Input::RouteLookedUp { address: sender.into(), found });
}

fn looked_up(actions: &[Action], sender: Ipv6Addr) -> usize {
    actions.iter().filter(|action| **action == Action::LookupRoute(sender.into())).count()
}

fn relay(to: IpAddr) -> Body {
    let IpAddr::V6(to) = to else { panic!("IPv6") };
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
    packet.extend(Ipv6Addr::LOCALHOST.octets());
    packet.extend(to.octets());
    Body::Relay { hops: 0, sequence: 9, packet }
}

/// One packet of each kind.
fn of_each_kind() -> Vec<Body> {
    let refused = Tail { flags: intercom::Flags::REFUSED, ..Tail::default() };
    let IpAddr::V6(address) = v6(1) else { panic!("IPv6") };
    vec![
        Body::Seek { address, tail: Tail::default() },
        claim(mac(1), Tail::default()),
        info(mac(1), &[v6(1)], Tail::default()),
        info(mac(1), &[], refused),
        ack(mac(1)),
        relay(v6(1)),
    ]
}

/// A datagram as a forger sends it.
#[derive(Clone, Copy)]
struct Forged {
    source: Ipv6Addr,
    sender: Ipv6Addr,
    port: u16,
    destination: Ipv6Addr,
}

impl Bench {
    fn forged(&mut self, forged: Forged, body: Body) {
        let Forged { source, sender, port, destination } = forged;
        let ttl = if destination.is_multicast() { 255 } else { 1 };
        let capabilities = Capabilities(Capabilities::TAILS.0 | Capabilities::RELAY.0);
        let packet = Packet { ttl, capabilities, nonce: 1, sender, body };
        let datagram = intercom::emit(&packet);
        let packet = intercom::parse(&datagram);
        let received = IntercomReceived { interface: MESH, source, port, destination, packet, datagram };
        self.input(Input::IntercomReceived(received));
    }

    /// The forged packet of each kind changes nothing, asks for nothing, and is counted.
    fn refuses(&mut self, forged: Forged, counter: Counter) {
        for body in of_each_kind() {
            let (before, peers) = (self.count(counter), self.engine.peers().count());
            self.forged(forged, body.clone());
            assert_eq!(self.drain(), [], "{body:?}");
            assert_eq!(self.count(counter), before + 1, "{body:?}");
            assert_eq!(self.engine.peers().count(), peers, "{body:?}: a stranger takes no place");
        }
        assert!(self.engine.client(mac(1)).is_some());
    }
}

fn serving() -> (Bench, Forged) {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(NEW), claim(mac(9), Tail::default()));
    bench.drain();
    bench.way_to_nodes = None;
    let honest = Forged { source: node(NEW), sender: node(NEW), port: 5523, destination: node(1) };
    (bench, honest)
}

#[test]
fn a_packet_from_another_port_is_dropped() {
    let (mut bench, honest) = serving();
    bench.refuses(Forged { port: 40_000, ..honest }, Counter::DropBadPort);
}

#[test]
fn a_packet_that_comes_from_elsewhere_than_its_sender_is_dropped() {
    let (mut bench, honest) = serving();
    let forged = Forged { source: "2001:db8:b::2".parse().unwrap(), ..honest };
    let passed_on = Tail { hops: Some(1), ..Tail::default() };
    bench.refuses(forged, Counter::DropForgedSender);
    // A claim that was passed on has another source, which must be a node then.
    bench.forged(forged, claim(mac(1), passed_on));
    assert_eq!(looked_up(&bench.actions(), forged.source), 1);
    found(&mut bench, forged.source, RouteLookup::Network(MESH));
    assert_eq!(bench.count(Counter::DropNoHostRoute), 1);
    assert!(bench.engine.client(mac(1)).is_some());
    bench.forged(Forged { source: node(OLD), ..honest }, claim(mac(1), passed_on));
    assert_eq!(looked_up(&bench.actions(), node(OLD)), 1);
    found(&mut bench, node(OLD), host_route());
    assert!(bench.engine.client(mac(1)).is_none(), "a claim that a node has passed on counts");
}

#[test]
fn a_packet_of_a_client_or_in_the_name_of_one_is_dropped() {
    let (mut bench, honest) = serving();
    let client = "2001:db8::77".parse().unwrap();
    let node_client = "fec0::5eff:fe10:1".parse().unwrap();
    for address in [client, node_client] {
        bench.refuses(Forged { source: address, sender: address, ..honest }, Counter::DropNotANode);
        bench.refuses(Forged { source: address, ..honest }, Counter::DropNotANode);
        bench.refuses(Forged { sender: address, ..honest }, Counter::DropNotANode);
        let flooded = Forged { sender: address, destination: intercom::GROUP, ..honest };
        bench.refuses(flooded, Counter::DropNotANode);
    }
}

#[test]
fn nodes_may_have_their_addresses_inside_a_client_prefix() {
    let prefix = |config: &mut Config| config.prefixes.push(prefix("fd00::/64"));
    let mut bench = Bench::with(prefix);
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(NEW), claim(mac(1), Tail::default()));
    assert!(bench.engine.client(mac(1)).is_none());
}

#[test]
fn a_host_that_no_host_route_over_the_mesh_leads_to_is_no_node() {
    let outside = "2001:db8:b::2".parse().unwrap();
    let ways = [
        RouteLookup::Network(MESH),
        RouteLookup::Network(BRIDGE),
        RouteLookup::HostRoute { interface: BRIDGE, protocol: 158 },
        RouteLookup::Other,
        RouteLookup::Local,
    ];
    for way in ways {
        for body in of_each_kind() {
            let (mut bench, honest) = serving();
            let forged = Forged { source: outside, sender: outside, ..honest };
            bench.forged(forged, body.clone());
            assert_eq!(bench.actions(), [Action::LookupRoute(outside.into())], "{body:?}");
            found(&mut bench, outside, way);
            // What comes soon after is dropped without a question.
            bench.forged(forged, body.clone());
            assert_eq!(bench.drain(), [], "{body:?} {way:?}");
            assert_eq!(bench.count(Counter::DropNoHostRoute), 2, "{body:?} {way:?}");
            assert!(bench.engine.client(mac(1)).is_some(), "{body:?} {way:?}");
            assert!(bench.engine.peers().all(|(node, _)| node != outside), "a stranger takes no place");
        }
    }
}

#[test]
fn the_first_packets_of_a_node_wait_for_the_kernel_and_keep_their_order() {
    let (mut bench, honest) = serving();
    let new = Forged { source: node(OLD), sender: node(OLD), ..honest };
    bench.serve(mac(2), &[v6(2)]);
    bench.forged(new, claim(mac(1), Tail::default()));
    bench.forged(new, claim(mac(2), Tail::default()));
    assert_eq!(bench.actions(), [Action::LookupRoute(node(OLD).into())], "asked once");
    found(&mut bench, node(OLD), host_route());
    let clients: Vec<Mac> = bench
        .sent()
        .into_iter()
        .filter_map(|(_, packet)| match packet.body {
            Body::Info { client, .. } => Some(client),
            _ => None,
        })
        .collect();
    assert_eq!(clients, [mac(1), mac(2)]);
}

#[test]
fn a_flooded_claim_waits_too_and_goes_on_where_its_client_is_not_served() {
    let mut bench = Bench::new();
    bench.way_to_nodes = None;
    let new = Forged { source: node(OLD), sender: node(NEW), port: 5523, destination: intercom::GROUP };
    let forwarded = |actions: &[Action]| {
        actions.iter().filter(|action| matches!(action, Action::SendIntercom { .. })).count()
    };
    bench.forged(new, claim(mac(1), Tail::default()));
    assert_eq!(forwarded(&bench.actions()), 1, "who does not know the client asks nothing");
    bench.serve(mac(1), &[v6(1)]);
    bench.forged(new, claim(mac(1), Tail { sequence: Some(7), ..Tail::default() }));
    assert_eq!(bench.actions(), [Action::LookupRoute(node(NEW).into())]);
    found(&mut bench, node(NEW), RouteLookup::Network(MESH));
    assert_eq!(forwarded(&bench.actions()), 1, "another node may know the way");
    assert!(bench.engine.client(mac(1)).is_some());
    bench.pass_ms(200);
    bench.forged(new, claim(mac(1), Tail { sequence: Some(8), ..Tail::default() }));
    found(&mut bench, node(NEW), host_route());
    assert!(bench.engine.client(mac(1)).is_none());
}

#[test]
fn what_is_known_of_a_node_is_asked_for_again_after_a_while_and_nothing_waits_for_it() {
    let (mut bench, honest) = serving();
    let seek = of_each_kind().remove(0);
    let heard = |bench: &mut Bench, ms: u64| {
        bench.pass_ms(ms);
        let before = bench.count(Counter::SeekReceived);
        bench.forged(honest, seek.clone());
        let asked = looked_up(&bench.actions(), node(NEW));
        (bench.count(Counter::SeekReceived) - before, asked)
    };
    assert_eq!(heard(&mut bench, 9000), (1, 0));
    assert_eq!(heard(&mut bench, 1000), (1, 1), "believed meanwhile");
    assert_eq!(heard(&mut bench, 500), (1, 0), "asked already");
    found(&mut bench, node(NEW), RouteLookup::Other);
    assert_eq!(heard(&mut bench, 500), (1, 0), "a route may be replaced");
    assert_eq!(heard(&mut bench, 500), (1, 1), "asked again each second");
    found(&mut bench, node(NEW), RouteLookup::Other);
    assert_eq!(heard(&mut bench, 1900), (1, 1));
    found(&mut bench, node(NEW), RouteLookup::Other);
    assert_eq!(heard(&mut bench, 100), (0, 1), "3 s without a route");
    found(&mut bench, node(NEW), RouteLookup::Other);
    assert_eq!(bench.count(Counter::DropNoHostRoute), 1);
    assert_eq!(heard(&mut bench, 50), (0, 0), "a stranger");
    assert_eq!(heard(&mut bench, 50), (0, 1));
    found(&mut bench, node(NEW), host_route());
    assert_eq!(heard(&mut bench, 100), (1, 0), "a node whose route is back counts at once");
}

#[test]
fn a_mesh_that_announces_its_nodes_as_a_whole_says_so() {
    let mut bench = Bench::with(|config| config.node_prefixes = vec![prefix("fd00::/64")]);
    bench.serve(mac(1), &[v6(1)]);
    bench.way_to_nodes = Some(RouteLookup::Network(BRIDGE));
    bench.receives(node(NEW), claim(mac(1), Tail::default()));
    assert!(bench.engine.client(mac(1)).is_some(), "not over the mesh");
    bench.pass_ms(200);
    bench.way_to_nodes = Some(RouteLookup::Network(MESH));
    bench.receives(node(NEW), claim(mac(1), Tail::default()));
    assert!(bench.engine.client(mac(1)).is_none());
}

#[test]
fn what_waits_is_bounded_and_strangers_do_not_displace_nodes() {
    let (mut bench, honest) = serving();
    bench.pass_ms(1000);
    let stranger = |n: u16| Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 1, n);
    for n in 0..5000 {
        let forged = Forged { source: stranger(n), sender: stranger(n), ..honest };
        bench.forged(forged, claim(mac(1), Tail::default()));
    }
    let actions = bench.actions();
    assert_eq!(actions.len(), 256, "look-ups in a second");
    assert_eq!(bench.count(Counter::DropSenderUnknown), 5000 - 64, "waiting datagrams");
    for n in 0..256 {
        found(&mut bench, stranger(n), RouteLookup::Network(MESH));
    }
    assert_eq!(bench.count(Counter::DropNoHostRoute), 64);
    bench.forged(honest, claim(mac(1), Tail::default()));
    assert!(bench.engine.client(mac(1)).is_none(), "a node that is known is heard all the while");
    // A large RELAY of an unknown node does not wait; nor does what nobody answered for a second.
    bench.pass_ms(1000);
    let other = Forged { source: node(OLD), sender: node(OLD), ..honest };
    bench.forged(other, Body::Relay { hops: MAX_CHAIN, sequence: 1, packet: vec![0; 2049] });
    assert_eq!(bench.count(Counter::DropSenderUnknown), 5000 - 64 + 1);
    bench.forged(other, ack(mac(3)));
    bench.pass_ms(1000);
    bench.forged(other, ack(mac(4)));
    assert_eq!(bench.count(Counter::DropSenderUnknown), 5000 - 64 + 2);
}
