//! What an operator asks: where an address is, what became of handovers, how something became known.

use super::super::client::Source;
use super::super::history::Outcome;
use super::super::output::{Direction, Place};
use super::*;
use crate::wire::intercom::Flags;

fn seek(bench: &mut Bench, address: IpAddr, millis: u64) -> Result<(), CommandError> {
    let patience = Duration::from_millis(millis);
    bench.engine.command(bench.now, &Command::Seek(address, patience))
}

/// Where addresses were found, of the next notices.
fn found(bench: &mut Bench) -> Vec<(IpAddr, Place)> {
    let notices = bench.notices().into_iter();
    let found = notices.filter_map(|notice| match notice {
        Notice::AddressFound { address, place } => Some((address, place)),
        _ => None,
    });
    found.collect()
}

#[test]
fn an_address_that_is_served_here_is_found_at_once_and_nobody_is_asked() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    seek(&mut bench, v6(1), 1000).unwrap();
    assert_eq!(found(&mut bench), [(v6(1), Place::Here { client: mac(1), interface: BRIDGE })]);
    assert_eq!(bench.actions(), []);
}

#[test]
fn an_address_whose_host_route_stands_already_is_found_by_it() {
    let mut bench = Bench::new();
    seek(&mut bench, v6(1), 1000).unwrap();
    assert!(bench.actions().contains(&Action::LookupRoute(v6(1))));
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert_eq!(found(&mut bench), [(v6(1), Place::Mesh)]);
    assert!(bench.pass_ms(10_000).is_empty(), "the search has ended");
}

#[test]
fn an_address_is_found_where_a_client_here_takes_it_or_a_node_answers() {
    let mut bench = Bench::new();
    seek(&mut bench, v6(1), 1000).unwrap();
    bench.pass_ms(10);
    bench.hears(mac(1), v6(1));
    assert_eq!(found(&mut bench), [(v6(1), Place::Here { client: mac(1), interface: BRIDGE })]);
    seek(&mut bench, v6(2), 1000).unwrap();
    bench.pass_ms(50);
    bench.receives(node(2), info(mac(2), &[v6(2)], Tail::default()));
    assert_eq!(found(&mut bench), [(v6(2), Place::Node(node(2)))]);
    bench.input(Input::RouteLookedUp { address: v6(2), found: host_route() });
    assert_eq!(found(&mut bench), [], "told once");
}

#[test]
fn an_address_that_nobody_has_is_sought_here_and_in_the_mesh_until_the_patience_ends() {
    let mut bench = Bench::new();
    seek(&mut bench, v6(1), 4000).unwrap();
    let log = bench.pass_ms(20_000);
    let probe = Action::Probe { interface: BRIDGE, address: v6(1), client: None };
    let probes: Vec<u64> = log.iter().filter(|(_, a)| *a == probe).map(|(at, _)| *at).collect();
    assert_eq!(probes, [0, 30, 300, 1000, 2000, 3000]);
    assert_eq!(bench.count(Counter::SeekSent), 2);
    assert!(log.iter().all(|(at, _)| *at < 4000));
    bench.hears(mac(1), v6(1));
    assert_eq!(found(&mut bench), [], "too late");
}

#[test]
fn packets_that_wait_and_an_operator_do_not_end_each_others_search() {
    let mut bench = Bench::new();
    seek(&mut bench, v6(1), 1000).unwrap();
    bench.input(Input::PacketForUnknown(search::packet(v6(1), 7)));
    bench.pass_ms(2000);
    bench.hears(mac(1), v6(1));
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    assert!(bench.actions().iter().any(|action| matches!(action, Action::ReleasePacket(_))));
    seek(&mut bench, v6(2), 8000).unwrap();
    bench.input(Input::PacketForUnknown(search::packet(v6(2), 7)));
    bench.pass_ms(7000);
    assert_eq!(bench.engine.waiting(), (0, 0), "the packet waited its time and no longer");
    bench.hears(mac(2), v6(2));
    assert_eq!(found(&mut bench).len(), 1);
}

#[test]
fn what_cannot_be_sought_is_refused() {
    let mut bench = Bench::with(|config| config.tunables.max_searches = 1);
    assert_eq!(seek(&mut bench, ip("192.0.2.1"), 1000), Err(CommandError::OutsidePrefixes(ip("192.0.2.1"))));
    seek(&mut bench, v6(1), 1000).unwrap();
    seek(&mut bench, v6(1), 1000).unwrap();
    assert_eq!(seek(&mut bench, v6(2), 1000), Err(CommandError::Limit("max_searches")));
}

#[test]
fn handovers_are_remembered_with_their_outcome_the_newest_first() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.serve(mac(2), &[v6(2), v6(3)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    bench.pass_ms(20);
    bench.receives(node(2), ack(mac(1)));
    bench.receives(node(3), claim(mac(2), Tail::default()));
    bench.pass_ms(20_000);
    bench.hears(mac(4), v6(4));
    bench.node_client_route(mac(4), host_route());
    bench.pass_ms(5);
    bench.receives(node(4), info(mac(4), &[v6(4), v6(5)], Tail::default()));
    let told: Vec<_> =
        bench.engine.handovers().map(|h| (h.client, h.direction, h.peer, h.addresses, h.outcome)).collect();
    let expected = [
        (mac(4), Direction::Incoming, node(4), 2, Outcome::Completed),
        (mac(2), Direction::Outgoing, node(3), 2, Outcome::Unanswered),
        (mac(1), Direction::Outgoing, node(2), 1, Outcome::Completed),
    ];
    assert_eq!(told, expected);
    assert_eq!(bench.engine.handovers().next().unwrap().duration, Duration::from_millis(5));
    assert_eq!(bench.engine.handovers().next().unwrap().ended, bench.now);
    let successes = bench.notices().into_iter().filter(|n| matches!(n, Notice::ClientHandedOver { .. }));
    assert_eq!(successes.count(), 1);
}

#[test]
fn of_every_address_it_is_known_how_it_became_known() {
    let mut bench = Bench::new();
    bench.hears_on(PORT, mac(1), FrameContent::WantsToUse(v6(1)));
    bench.hears(mac(1), v6(2));
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(3)], Tail { flags: Flags::default(), ..Tail::default() }));
    bench.engine.command(bench.now, &Command::AddAddress(v6(4), mac(1))).unwrap();
    let sources = |bench: &Bench| -> Vec<(IpAddr, Source)> {
        let client = bench.engine.client(mac(1)).unwrap();
        client.addresses().map(|(address, entry)| (address, entry.source)).collect()
    };
    let expected = [
        (v6(1), Source::DuplicateDetection),
        (v6(2), Source::Client),
        (v6(3), Source::Info),
        (v6(4), Source::Operator),
    ];
    assert_eq!(sources(&bench), expected);
    bench.hears(mac(1), v6(3));
    assert_eq!(sources(&bench), expected, "how it became known first");
    bench.engine.command(bench.now, &Command::DropClient(mac(1))).unwrap();
    bench.pass_ms(1000);
    bench.hears(mac(1), v6(2));
    assert_eq!(sources(&bench)[2], (v6(3), Source::Memory));
}
