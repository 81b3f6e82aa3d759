//! What access points say.

use super::super::output::LeaveReason;
use super::*;

fn associated(interface: IfIndex, client: Mac) -> Input {
    Input::StationAssociated { interface, client }
}

fn left(interface: IfIndex, client: Mac) -> Input {
    Input::StationLeft { interface, client }
}

fn query(client: Mac) -> Action {
    Action::QueryClient { interface: BRIDGE, client }
}

fn probe(client: Mac, address: IpAddr) -> Action {
    Action::Probe { interface: BRIDGE, address, client: Some(client) }
}

fn times(log: &[(u64, Action)], wanted: &Action) -> Vec<u64> {
    log.iter().filter(|(_, action)| action == wanted).map(|(at, _)| *at).collect()
}

impl Bench {
    fn dumps(&mut self, stations: &[(IfIndex, Mac)]) {
        self.input(Input::DumpStarted);
        self.tell_links();
        for (interface, client) in stations {
            self.input(associated(*interface, *client));
        }
        self.input(Input::DumpCompleted);
    }
}

#[test]
fn a_station_is_claimed_at_once_and_asked_until_it_is_heard() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    let node_client = ip("fec0::5eff:fe10:1");
    assert_eq!(bench.actions(), [Action::LookupRoute(node_client), query(mac(1))]);
    bench.input(associated(PORT, mac(1)));
    let log = bench.pass_ms(100);
    assert_eq!(times(&log, &query(mac(1))), [10, 20, 40, 80], "told twice is told once");
    bench.hears_on(OTHER_PORT, mac(2), FrameContent::Uses(v6(2)));
    bench.hears(mac(1), v6(1));
    bench.drain();
    assert_eq!(times(&bench.pass_ms(10_000), &query(mac(1))), [] as [u64; 0]);
}

#[test]
fn a_station_that_never_speaks_is_not_asked_for_ever() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.drain();
    let log = bench.pass(Duration::from_secs(60));
    assert_eq!(times(&log, &query(mac(1))), [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120]);
    assert!(bench.engine.arrivals.is_empty());
    assert_eq!(bench.engine.clients().count(), 1, "it is associated");
}

#[test]
fn the_addresses_that_the_previous_node_tells_are_asked_until_the_station_can_answer() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.node_client_route(mac(1), host_route());
    bench.pass_ms(3);
    bench.receives(node(2), info(mac(1), &[v6(1), v6(2)], Tail::default()));
    assert!(bench.actions().contains(&probe(mac(1), v6(1))), "at once too");
    let log = bench.pass_ms(30);
    assert_eq!(times(&log, &probe(mac(1), v6(1))), [7, 17]);
    assert_eq!(times(&log, &probe(mac(1), v6(2))), [7, 17]);
    // It answers for one; that it is there is known now, and the other one has its own schedule.
    bench.hears(mac(1), v6(1));
    bench.drain();
    let log = bench.pass_ms(290);
    assert_eq!(times(&log, &query(mac(1))), [] as [u64; 0]);
    assert_eq!(times(&log, &probe(mac(1), v6(2))), [270], "300 ms after it was told");
}

#[test]
fn the_schedule_belongs_to_the_stay() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.pass_ms(15);
    bench.input(left(PORT, mac(1)));
    assert_eq!(bench.engine.clients().count(), 0);
    assert_eq!(times(&bench.pass_ms(10_000), &query(mac(1))), [] as [u64; 0]);
    bench.input(associated(PORT, mac(1)));
    bench.drain();
    assert_eq!(times(&bench.pass_ms(30), &query(mac(1))), [10, 20]);
}

#[test]
fn a_station_that_only_a_dump_tells_is_asked_and_a_client_when_it_answers() {
    let mut bench = Bench::new();
    bench.dumps(&[(PORT, mac(1)), (IfIndex(99), mac(2)), (MESH, mac(3))]);
    assert_eq!(bench.actions(), [query(mac(1))]);
    assert_eq!(bench.engine.clients().count(), 0, "nobody is claimed");
    let log = bench.pass_ms(50);
    assert_eq!(log, [10, 20, 40].map(|at| (at, query(mac(1)))));
    bench.hears(mac(1), v6(1));
    assert!(bench.actions().contains(&Action::LookupRoute(ip("fec0::5eff:fe10:1"))));
    assert_eq!(bench.engine.client(mac(1)).unwrap().association, Some(PORT));
    bench.input(left(PORT, mac(1)));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn a_silent_station_of_a_dump_keeps_its_association_for_when_it_speaks() {
    let mut bench = Bench::new();
    bench.dumps(&[(PORT, mac(1)), (PORT, mac(2)), (PORT, mac(3))]);
    bench.pass(Duration::from_secs(60));
    bench.hears(mac(1), v6(1));
    assert_eq!(bench.engine.client(mac(1)).unwrap().association, Some(PORT));
    bench.hears_on(OTHER_PORT, mac(2), FrameContent::Uses(v6(2)));
    assert_eq!(bench.engine.client(mac(2)).unwrap().association, None, "it is elsewhere");
    bench.input(left(PORT, mac(3)));
    assert!(bench.engine.arrivals.is_empty());
    bench.drain();
    // Another dump asks again, but not while it is being asked.
    bench.dumps(&[(PORT, mac(4))]);
    bench.dumps(&[(PORT, mac(4))]);
    assert_eq!(bench.actions(), [query(mac(4))]);
    bench.pass(Duration::from_secs(10));
    bench.dumps(&[(PORT, mac(4))]);
    assert_eq!(bench.actions(), [query(mac(4))]);
}

#[test]
fn a_dump_gives_a_client_its_association_but_moves_none() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.serve(mac(2), &[v6(2)]);
    bench.hears_on(OTHER_PORT, mac(2), FrameContent::Uses(v6(2)));
    bench.drain();
    let seen = bench.engine.client(mac(1)).unwrap().last_seen();
    bench.dumps(&[(PORT, mac(1)), (PORT, mac(2))]);
    assert_eq!(bench.drain(), []);
    let (one, two) = (bench.engine.client(mac(1)).unwrap(), bench.engine.client(mac(2)).unwrap());
    assert_eq!((one.association, one.last_seen()), (Some(PORT), seen), "an old fact is no sign of life");
    assert_eq!((two.association, two.port()), (None, Some(OTHER_PORT)));
}

#[test]
fn a_client_that_an_earlier_run_left_has_its_association_again() {
    let mut bench = Bench::new();
    bench.dumps(&[(PORT, mac(1))]);
    let (interface, table, client) = (BRIDGE, 254, Some(mac(1)));
    bench.input(Input::RouteAdopted { address: v6(1), interface, table, client });
    assert_eq!(bench.engine.client(mac(1)).unwrap().association, Some(PORT));
    bench.drain();
    let log = bench.pass_ms(25);
    assert_eq!(times(&log, &probe(mac(1), v6(1))), [10, 20]);
}

#[test]
fn a_station_that_moved_to_another_radio_of_this_node_stays() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.serve(mac(1), &[v6(1)]);
    bench.input(associated(OTHER_PORT, mac(1)));
    bench.hears_on(OTHER_PORT, mac(1), FrameContent::Uses(v6(1)));
    bench.drain();
    bench.input(left(PORT, mac(1)));
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.engine.client(mac(1)).unwrap().association, Some(OTHER_PORT));
    bench.input(left(OTHER_PORT, mac(1)));
    let gone = Notice::ClientLeft { client: mac(1), reason: LeaveReason::Disassociated };
    assert!(bench.notices().contains(&gone));
}

#[test]
fn a_station_that_left_the_port_it_was_last_heard_on_leaves() {
    // It associated with an access point, which gave it an interface of its own: the kernel does not tell of that.
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.hears_on(OTHER_PORT, mac(1), FrameContent::Uses(v6(1)));
    bench.input(left(PORT, mac(1)));
    assert_eq!(bench.engine.clients().count(), 1);
    bench.input(left(OTHER_PORT, mac(1)));
    assert_eq!(bench.engine.clients().count(), 0);
    // It came before us, and was heard without being told of.
    bench.hears(mac(2), v6(2));
    bench.input(left(OTHER_PORT, mac(2)));
    assert_eq!(bench.engine.clients().count(), 1);
    bench.input(left(PORT, mac(2)));
    assert_eq!(bench.engine.clients().count(), 0);
}

#[test]
fn stations_leave_with_the_interface_of_their_access_point() {
    let mut bench = Bench::new();
    bench.input(associated(PORT, mac(1)));
    bench.input(associated(PORT, mac(2)));
    bench.input(associated(OTHER_PORT, mac(3)));
    bench.hears_on(OTHER_PORT, mac(2), FrameContent::Uses(v6(2)));
    bench.dumps(&[(PORT, mac(4))]);
    bench.input(Input::LinkGone(PORT));
    let here: Vec<Mac> = bench.engine.clients().map(Client::mac).collect();
    assert_eq!(here, [mac(2), mac(3)], "one of them was heard elsewhere since");
    assert_eq!(bench.engine.client(mac(2)).unwrap().association, None);
    assert!(!bench.engine.arrivals.contains_key(&mac(4)));
    // The same when a dump does not have the link.
    bench.input(associated(OTHER_PORT, mac(5)));
    bench.input(Input::DumpStarted);
    bench.input(Input::DumpCompleted);
    assert_eq!(bench.engine.clients().count(), 0);
    assert!(bench.engine.arrivals.is_empty());
}

#[test]
fn stations_of_others_change_nothing() {
    let mut bench = Bench::new();
    let own = Mac([6, 0, 0, 0, 0, 3]);
    for (interface, client) in [(MESH, mac(1)), (IfIndex(99), mac(1)), (PORT, own), (PORT, Mac([0xff; 6]))] {
        bench.input(associated(interface, client));
        bench.dumps(&[(interface, client)]);
        bench.input(left(interface, client));
    }
    assert_eq!(bench.drain(), []);
    let mut bench = Bench::with(|config| config.sources.nl80211 = false);
    bench.input(associated(PORT, mac(1)));
    bench.dumps(&[(PORT, mac(1))]);
    assert_eq!(bench.drain(), []);
}

#[test]
fn stations_that_are_asked_are_bounded() {
    let mut bench = Bench::with(|config| config.tunables.max_clients = 4);
    let all: Vec<(IfIndex, Mac)> = (0..10).map(|n| (PORT, mac(n))).collect();
    bench.dumps(&all);
    assert_eq!(bench.engine.arrivals.len(), 4);
}
