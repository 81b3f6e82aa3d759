//! What hostapd says, beside or instead of the kernel.

use super::super::client::Evidence;
use super::super::input::StationReport;
use super::super::output::LeaveReason;
use super::*;

impl Bench {
    fn reports(&mut self, interface: IfIndex, client: Mac, report: StationReport) {
        self.input(Input::StationReported { interface, client, report });
    }
}

fn query(client: Mac) -> Action {
    Action::QueryClient { interface: BRIDGE, client }
}

fn left(client: Mac, reason: LeaveReason) -> Notice {
    Notice::ClientLeft { client, reason }
}

#[test]
fn a_station_that_asks_to_come_in_is_claimed_and_asked_at_once() {
    let mut bench = Bench::new();
    bench.reports(PORT, mac(1), StationReport::Expected);
    assert_eq!(bench.actions(), [Action::LookupRoute(ip("fec0::5eff:fe10:1")), query(mac(1))]);
    bench.pass_ms(15);
    bench.reports(PORT, mac(1), StationReport::Expected);
    let asked: Vec<u64> =
        bench.pass_ms(100).iter().filter(|(_, action)| *action == query(mac(1))).map(|(at, _)| *at).collect();
    assert_eq!(asked, [5, 25, 65], "its association after its authentication is no news");
    let client = bench.engine.client(mac(1)).unwrap();
    assert_eq!((client.association, client.evidence().name()), (None, "hostapd"));
}

#[test]
fn a_station_that_never_came_in_does_not_stay() {
    let mut bench = Bench::new();
    bench.reports(PORT, mac(1), StationReport::Expected);
    bench.node_client_route(mac(1), host_route());
    bench.receives(node(2), info(mac(1), &[v6(1)], Tail::default()));
    assert!(bench.actions().contains(&Action::InstallRoute(route(v6(1)))));
    let log = bench.pass(Duration::from_secs(6));
    assert!(log.iter().any(|(_, action)| *action == Action::UninstallRoute(route(v6(1)))));
    assert_eq!(bench.engine.clients().count(), 0);
    // Refused by the access point: at once.
    bench.reports(PORT, mac(2), StationReport::Expected);
    bench.drain();
    bench.reports(PORT, mac(2), StationReport::Left);
    assert!(bench.notices().contains(&left(mac(2), LeaveReason::Disassociated)));
}

#[test]
fn a_station_that_was_expected_and_showed_itself_stays() {
    for shown in [
        Input::StationReported { interface: PORT, client: mac(1), report: StationReport::Authorized },
        Input::StationAssociated { interface: PORT, client: mac(1) },
        Input::FrameHeard(FrameHeard { interface: PORT, source: mac(1), content: FrameContent::Uses(v6(1)) }),
        Input::FrameHeard(FrameHeard {
            interface: OTHER_PORT,
            source: mac(1),
            content: FrameContent::Uses(v6(1)),
        }),
    ] {
        let mut bench = Bench::new();
        bench.reports(PORT, mac(1), StationReport::Expected);
        bench.pass_ms(15);
        bench.input(shown.clone());
        bench.pass(Duration::from_secs(20));
        assert_eq!(bench.engine.clients().count(), 1, "{shown:?}");
    }
}

#[test]
fn a_client_that_is_here_already_is_only_asked() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    let before = bench.engine.client(mac(1)).unwrap().last_seen();
    bench.pass_ms(1000);
    bench.reports(OTHER_PORT, mac(1), StationReport::Expected);
    bench.pass(Duration::from_secs(10));
    let client = bench.engine.client(mac(1)).unwrap();
    assert_eq!((client.port(), client.last_seen()), (Some(PORT), before), "it may be refused there");
    assert!(bench.engine.arrivals.is_empty());
}

#[test]
fn a_station_that_only_hostapd_tells_of_comes_and_goes() {
    let mut bench = Bench::with(|config| config.sources.nl80211 = false);
    bench.reports(PORT, mac(1), StationReport::Expected);
    bench.reports(PORT, mac(1), StationReport::Authorized);
    bench.serve(mac(1), &[v6(1)]);
    assert_eq!(bench.engine.client(mac(1)).unwrap().association, Some(PORT));
    bench.reports(OTHER_PORT, mac(1), StationReport::Left);
    assert_eq!(bench.drain(), [], "it is on another radio");
    bench.reports(PORT, mac(1), StationReport::Left);
    assert!(bench.notices().contains(&left(mac(1), LeaveReason::Disassociated)));
}

#[test]
fn a_farewell_that_the_kernel_does_not_confirm_is_asked_after() {
    let mut bench = Bench::new();
    bench.input(Input::StationAssociated { interface: PORT, client: mac(1) });
    bench.reports(PORT, mac(1), StationReport::Authorized);
    bench.serve(mac(1), &[v6(1)]);
    bench.pass(Duration::from_secs(10));
    bench.reports(PORT, mac(1), StationReport::Left);
    let probe = Action::Probe { interface: BRIDGE, address: v6(1), client: Some(mac(1)) };
    assert_eq!(bench.actions(), [probe], "it may be that of an earlier association");
    bench.hears(mac(1), v6(1));
    bench.input(Input::StationLeft { interface: PORT, client: mac(1) });
    assert!(bench.notices().contains(&left(mac(1), LeaveReason::Disassociated)));
    // The kernel begins to tell of it later.
    bench.reports(PORT, mac(2), StationReport::Authorized);
    bench.input(Input::StationAssociated { interface: PORT, client: mac(2) });
    bench.reports(PORT, mac(2), StationReport::Left);
    assert!(bench.engine.client(mac(2)).is_some());
}

#[test]
fn what_hostapd_says_after_a_handover_is_asked_after() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.receives(node(2), claim(mac(1), Tail::default()));
    assert_eq!(bench.engine.clients().count(), 0, "it was handed over");
    bench.reports(PORT, mac(1), StationReport::Authorized);
    assert_eq!(bench.engine.clients().count(), 0, "that may have been on its way");
    let log = bench.pass_ms(150);
    assert!(log.iter().any(|(_, action)| *action == query(mac(1))));
    bench.reports(PORT, mac(1), StationReport::Authorized);
    assert_eq!(bench.engine.client(mac(1)).unwrap().evidence(), Evidence::Hostapd);
}

#[test]
fn reports_of_others_change_nothing() {
    let mut bench = Bench::new();
    let own = Mac([6, 0, 0, 0, 0, 3]);
    let all = [StationReport::Expected, StationReport::Authorized, StationReport::Left];
    for (interface, client) in [(MESH, mac(1)), (IfIndex(99), mac(1)), (PORT, own), (PORT, Mac([0xff; 6]))] {
        all.into_iter().for_each(|report| bench.reports(interface, client, report));
    }
    assert_eq!((bench.drain(), bench.engine.arrivals.len()), (vec![], 0));
    let mut bench = Bench::with(|config| config.sources.hostapd = false);
    all.into_iter().for_each(|report| bench.reports(PORT, mac(1), report));
    assert_eq!(bench.drain(), []);
}

#[test]
fn stations_that_are_expected_are_bounded() {
    let mut bench = Bench::with(|config| config.tunables.max_clients = 4);
    (0..10).for_each(|n| bench.reports(PORT, mac(n), StationReport::Expected));
    assert_eq!((bench.engine.clients().count(), bench.engine.arrivals.len()), (4, 4));
    bench.pass(Duration::from_secs(6));
    assert_eq!((bench.engine.clients().count(), bench.engine.arrivals.len()), (0, 0));
}
