//! Everything that grows has a bound, and here each one is hit.

use super::search::packet;
use super::*;

#[test]
fn clients_beyond_the_limit_are_refused_and_told_once_a_minute() {
    let mut bench = Bench::with(|config| config.tunables.max_clients = 2);
    for n in 1..=5 {
        bench.hears(mac(n), v6(n));
    }
    assert_eq!(bench.engine.clients().count(), 2);
    assert_eq!(bench.count(Counter::ClientLimit), 3);
    let told =
        |notices: Vec<Notice>| notices.iter().filter(|n| matches!(n, Notice::LimitReached { .. })).count();
    assert_eq!(told(bench.notices()), 1);
    bench.now = bench.now + Duration::from_secs(61);
    bench.hears(mac(6), v6(6));
    bench.hears(mac(7), v6(7));
    bench.hears(mac(8), v6(8));
    assert!(told(bench.notices()) <= 1);
}

#[test]
fn a_client_keeps_sixteen_addresses_and_a_seventeenth_replaces_the_one_not_seen_for_longest() {
    let mut bench = Bench::new();
    for n in 1..=16 {
        bench.now = bench.now + Duration::from_millis(1);
        bench.hears(mac(1), v6(n));
    }
    assert_eq!(bench.engine.desired_state().routes.len(), 16);
    bench.hears(mac(1), v6(17));
    let routed: Vec<IpAddr> = bench.engine.client(mac(1)).unwrap().routed().collect();
    assert_eq!(routed, (2..=17).map(v6).collect::<Vec<_>>());
    assert_eq!(bench.count(Counter::AddressLimit), 1);
}

#[test]
fn info_gives_no_client_more_than_its_addresses() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(100));
    bench.node_client_route(mac(1), host_route());
    let many: Vec<IpAddr> = (1..=60).map(v6).collect();
    bench.receives(node(2), info(mac(1), &many, Tail::default()));
    assert_eq!(bench.engine.client(mac(1)).unwrap().routed().count(), 16);
    assert!(
        bench.engine.client(mac(1)).unwrap().routed().any(|address| address == v6(100)),
        "its own word first"
    );
}

#[test]
fn link_local_addresses_are_bounded_too() {
    let mut bench = Bench::new();
    for n in 1..=20 {
        bench.hears(mac(1), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n)));
    }
    assert_eq!(bench.engine.client(mac(1)).unwrap().addresses().count(), 4);
}

#[test]
fn former_clients_are_bounded_and_the_oldest_is_forgotten() {
    let mut bench = Bench::with(|config| config.tunables.max_former = 2);
    for n in 1..=3 {
        bench.serve(mac(n), &[v6(n)]);
        bench.engine.command(bench.now, &Command::DropClient(mac(n))).unwrap();
        bench.now = bench.now + Duration::from_millis(1);
    }
    bench.drain();
    assert_eq!(bench.engine.former_count(), 2);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    assert_eq!(bench.drain(), []);
    bench.receives(node(2), claim(mac(2), Tail::default()));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_queue_keeps_the_newest_packets_of_an_address() {
    let mut bench = Bench::with(|config| config.tunables.max_queue_per_address = 3);
    for mark in 1..=5 {
        bench.input(Input::PacketForUnknown(packet(v6(1), mark)));
    }
    bench.drain();
    bench.input(Input::RouteLookedUp { address: v6(1), found: host_route() });
    let marks: Vec<u8> = bench
        .actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::ReleasePacket(packet) => packet.last().copied(),
            _ => None,
        })
        .collect();
    assert_eq!(marks, [3, 4, 5]);
    assert_eq!(bench.count(Counter::QueueFull), 2);
}

#[test]
fn all_queues_together_are_bounded_in_packets_and_bytes() {
    let mut bench = Bench::with(|config| config.tunables.max_queue_packets = 4);
    for n in 1..=6 {
        bench.input(Input::PacketForUnknown(packet(v6(n), 1)));
    }
    assert_eq!(bench.engine.waiting().0, 4);
    let mut bench = Bench::with(|config| config.tunables.max_queue_bytes = 100);
    for n in 1..=6 {
        bench.input(Input::PacketForUnknown(packet(v6(n), 1)));
    }
    assert_eq!(bench.engine.waiting(), (2, 98));
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.engine.waiting(), (0, 0));
}

#[test]
fn searches_are_bounded_and_so_are_seeks_probes_and_icmp_errors_of_a_scan() {
    let mut bench = Bench::with(|config| config.tunables.max_searches = 100);
    for n in 0..5000 {
        bench.input(Input::PacketForUnknown(packet(v6(n), 1)));
    }
    assert_eq!(bench.count(Counter::SearchLimit), 4900);
    let log = bench.pass(Duration::from_secs(6));
    let count = |wanted: fn(&Action) -> bool| log.iter().filter(|(_, action)| wanted(action)).count();
    assert!(count(|a| matches!(a, Action::SendIntercom { .. })) <= 50 + 6 * 50);
    assert!(count(|a| matches!(a, Action::SendUnreachable { .. })) <= 100 + 100);
    assert!(bench.count(Counter::SeekRate) > 0);
}

#[test]
fn floods_of_one_sender_are_limited() {
    let mut bench = Bench::with(|config| config.tunables.flood_rate = 10);
    for n in 0..100 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7, n);
        bench.receives_flooded(node(2), Body::Seek { address, tail: Tail::default() });
    }
    assert_eq!(bench.sent().len(), 10);
    assert_eq!(bench.count(Counter::DropFloodRate), 90);
}

#[test]
fn a_full_duplicate_table_drops_and_never_forwards_unchecked() {
    let mut bench = Bench::with(|config| config.tunables.max_seen_floods = 5);
    for n in 0..10 {
        bench.receives_flooded(node(n + 2), claim(mac(n), Tail::default()));
    }
    assert_eq!(bench.sent().len(), 5);
    assert_eq!(bench.count(Counter::DropFloodTableFull), 5);
}

#[test]
fn peers_are_bounded() {
    let mut bench = Bench::with(|config| config.tunables.max_peers = 5);
    for n in 2..50 {
        bench.receives(node(n), claim(mac(n), Tail::default()));
    }
    assert_eq!(bench.engine.peers().count(), 5);
}

#[test]
fn unacknowledged_infos_are_bounded() {
    let mut bench = Bench::with(|config| config.tunables.max_former = 3);
    for n in 1..=6 {
        bench.serve(mac(n), &[v6(n)]);
    }
    for n in 1..=6 {
        bench.receives(node(2), claim(mac(n), Tail::default()));
    }
    assert!(bench.engine.outgoing.len() <= 3);
    assert!(bench.engine.former.len() <= 3 && bench.engine.former_holders.len() <= 3);
    assert_eq!(bench.sent().len(), 6, "each claim is answered all the same");
}

#[test]
fn a_burst_leaves_no_long_queue_behind() {
    let mut bench = Bench::new();
    for n in 0..500 {
        bench.hears(mac(n), v6(n));
    }
    assert!(bench.engine.queue.capacity() > KEPT_OUTPUTS);
    bench.drain();
    assert!(bench.engine.queue.capacity() <= KEPT_OUTPUTS);
}
