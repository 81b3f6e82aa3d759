//! Stations that come, stay and leave.

use std::time::Duration;

use crate::air::{self, STATION, move_radio};
use crate::daemon::Kind;
use crate::lab::{ip, ip_batch};
use crate::measure::{Outcome, eventually, measure, must};
use crate::probe::Flow;
use crate::roam::OnAir;
use crate::signs::Sign;
use crate::site::Site;
use crate::watch::{SERVED, What};
use crate::{Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("radios_that_come_after_the_daemon_are_heard", Kind::Ours, |site| {
        std::mem::replace(&mut site.late, Ok(()))
    }),
    ("a_silent_station_that_returns_has_all_its_routes", Kind::Ours, |site| returns(site, Kind::Ours)),
    ("c_a_silent_station_returns", Kind::C, |site| returns(site, Kind::C)),
    ("a_silent_station_that_nobody_knows_is_noticed", Kind::Ours, |site| unknown(site, Kind::Ours)),
    ("c_a_silent_station_that_nobody_knows", Kind::C, |site| unknown(site, Kind::C)),
    ("addresses_of_a_station_silent_after_dad_are_routed", Kind::Ours, |site| {
        new_addresses(site, Kind::Ours)
    }),
    ("c_a_station_silent_after_dad", Kind::C, |site| new_addresses(site, Kind::C)),
    ("a_station_that_leaves_is_not_routed_any_more", Kind::Ours, |site| leave(site, Kind::Ours)),
    ("c_a_station_that_leaves", Kind::C, |site| leave(site, Kind::C)),
    ("packets_wait_for_a_station_that_leaves_and_returns", Kind::Ours, waits),
    ("a_mesh_neighbour_is_no_client", Kind::Ours, mesh_neighbour),
];

/// Durations in milliseconds; what nobody waited for any longer is counted.
pub fn milliseconds(values: &[Option<f64>]) -> String {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let never = values.len() - sorted.len();
    let tail = if never > 0 { format!(", {never} of {} not in time", values.len()) } else { String::new() };
    let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
    if sorted.is_empty() {
        return format!("none{tail}");
    }
    format!("{:.1} to {:.1} ms, median {:.1}{tail}", sorted[0], at(100), at(50))
}

/// The difference of two times in milliseconds, with its sign.
pub fn since(time: Duration, origin: Duration) -> f64 {
    (time.as_secs_f64() - origin.as_secs_f64()) * 1e3
}

fn turns() -> usize {
    if long() { 10 } else { 2 }
}

/// When each address had its route, in milliseconds since `origin`.
fn routes_since(site: &Site, before: Duration, node: usize, origin: Duration) -> Vec<Option<f64>> {
    let came = site.routes(before, node, Duration::from_secs(5));
    came.iter().map(|at| at.map(|at| since(at, origin))).collect()
}

fn within(times: &[Option<f64>], bound: f64) -> bool {
    times.iter().all(|at| at.is_some_and(|at| at <= bound))
}

/// A station that was here before, left, and comes again: it says nothing but what its kernel always says.
fn returns(site: &mut Site, kind: Kind) -> Outcome {
    site.start(kind);
    let end = site.air.station.attach();
    must(site.introduce(end.node) || kind == Kind::C, "a station that talks is not served")?;
    site.air.station.keep_back_reports(true);
    let mut times = Vec::new();
    for _ in 0..turns() {
        site.air.station.leave();
        std::thread::sleep(Duration::from_secs(3));
        let before = sys::now();
        let end = site.air.station.attach();
        times.extend(routes_since(site, before, end.node, end.at));
        println!("log returns {}: {times:.1?}", kind.name());
    }
    site.air.station.keep_back_reports(false);
    site.air.station.leave();
    measure(
        &format!("Wi-Fi, a silent station returns, {}: routes after the end of the handshake", kind.name()),
        milliseconds(&times),
    );
    must(within(&times, 150.0) || kind == Kind::C, "not every address was routed 150 ms after the handshake")
}

/// A station that nobody knows and that says nothing of its addresses but MLD reports. What can be found of it is its
/// link-local address, one of a prefix by which it is asked, and, where it listens to any group of IPv4 as all phones do to
/// mDNS, its IPv4 address; a second random address of a prefix only if somebody guesses it.
fn unknown(site: &mut Site, kind: Kind) -> Outcome {
    let (mut link_local, mut routed) = (Vec::new(), Vec::new());
    ip(STATION, "addr add 224.0.0.251/32 dev wlan2 autojoin");
    let mac = site.air.station.mac;
    for _ in 0..turns() {
        site.start(kind);
        let before = sys::now();
        let end = site.air.station.attach();
        let known = || site.daemon(end.node).manages(mac, mac.link_local().into());
        let at = eventually(Duration::from_secs(5), known).then(|| since(sys::now(), end.at));
        link_local.push(at);
        routed.extend(routes_since(site, before, end.node, end.at));
        println!("log unknown {}: {link_local:.1?} {routed:.1?}", kind.name());
        site.air.station.leave();
    }
    ip(STATION, "addr del 224.0.0.251/32 dev wlan2");
    measure(
        &format!(
            "Wi-Fi, an unknown silent station comes, {}: known after the end of the handshake",
            kind.name()
        ),
        format!("link-local {}; global and IPv4 {}", milliseconds(&link_local), milliseconds(&routed)),
    );
    must(within(&link_local, 150.0) || kind == Kind::C, "its link-local address was not known after 150 ms")?;
    let addresses = site.addresses();
    let found = |v4: bool| {
        let soon = |(at, address): (&Option<f64>, &std::net::IpAddr)| {
            address.is_ipv4() == v4 && at.is_some_and(|at| at <= 150.0)
        };
        routed.chunks(addresses.len()).all(|turn| turn.iter().zip(&addresses).any(soon))
    };
    must(found(false) || kind == Kind::C, "none of its global addresses was routed after 150 ms")?;
    must(found(true) || kind == Kind::C, "its IPv4 address was not routed after 150 ms")
}

/// A station that nobody knows and that makes sure that its addresses are its own, as all do, and then says nothing.
fn new_addresses(site: &mut Site, kind: Kind) -> Outcome {
    let addresses = site.air.station.v6;
    let mut times = Vec::new();
    let dad = |on: &str| {
        sys::sysctl(
            STATION,
            &[
                ("net/ipv6/conf/wlan2/dad_transmits", on),
                ("net/ipv6/conf/wlan2/accept_dad", on),
                ("net/ipv6/conf/wlan2/router_solicitation_delay", "0"),
            ],
        )
    };
    for _ in 0..turns() {
        site.start(kind);
        for address in addresses {
            ip(STATION, &format!("addr del {address}/64 dev wlan2"));
        }
        let end = site.air.station.attach();
        std::thread::sleep(Duration::from_secs(1));
        dad("1");
        let asked = sys::now();
        ip_batch(STATION, &addresses.map(|address| format!("addr add {address}/64 dev wlan2\n")).concat());
        // It answers for them a second after it asked; the order above took a moment too.
        let came: Vec<Option<Duration>> = site.routes(asked, end.node, Duration::from_secs(5));
        times.extend(came.iter().take(2).map(|at| at.map(|at| since(at, asked) - 1000.0)));
        println!("log new addresses {}: {times:.1?}", kind.name());
        dad("0");
        site.air.station.leave();
    }
    measure(
        &format!("Wi-Fi, an unknown station silent after DAD, {}: routes after DAD", kind.name()),
        milliseconds(&times),
    );
    must(
        within(&times, 150.0) || kind == Kind::C,
        "not every address was routed 150 ms after it could answer",
    )
}

fn leave(site: &mut Site, kind: Kind) -> Outcome {
    site.start(kind);
    let mut after = Vec::new();
    for _ in 0..turns() {
        let end = site.air.station.attach();
        must(site.introduce(end.node) || kind == Kind::C, "a station that talks is not served")?;
        std::thread::sleep(Duration::from_millis(500));
        let left = sys::now();
        site.air.station.leave();
        let held: Vec<_> = site.addresses();
        let is_held =
            |address: &std::net::IpAddr| site.lab.watch.has(end.node, What::Route(SERVED), *address);
        eventually(Duration::from_secs(5), || !held.iter().any(is_held));
        let gone = site.air.signs.first(left, Some(end.node), Sign::Gone, site.air.station.mac);
        must(gone.is_some(), "the kernel never told that the station left")?;
        let events = site.lab.watch.events(left);
        for address in held {
            let went = events.iter().find(|event| {
                !event.came
                    && event.node == end.node
                    && event.address == address
                    && event.what == What::Route(SERVED)
            });
            after.push(went.and_then(|went| gone.map(|gone| since(went.at, gone.at))));
        }
    }
    measure(
        &format!("Wi-Fi, a station leaves, {}: its routes go after DEL_STATION", kind.name()),
        milliseconds(&after),
    );
    let good = after.iter().all(|at| at.is_some_and(|at| at <= 10.0));
    must(good || kind == Kind::C, "a host route led to the client interface 10 ms after DEL_STATION")
}

/// A station leaves under traffic and is back, at either access point, before the lost age is over.
fn waits(site: &mut Site) -> Outcome {
    site.start(Kind::Ours);
    let node = site.air.station.attach().node;
    must(site.introduce(node), "a station that talks is not served")?;
    let flow = Flow::start(site.air.station.v6[0].into(), Some(STATION), Duration::from_millis(20));
    let air = OnAir::watch(site);
    let (mut away, mut waited, mut node) = (Vec::new(), Vec::new(), node);
    for _ in 0..turns() {
        std::thread::sleep(Duration::from_millis(500));
        let left = sys::now();
        site.air.station.leave();
        let is_gone = || site.air.signs.first(left, Some(node), Sign::Gone, site.air.station.mac);
        must(
            eventually(Duration::from_secs(5), || is_gone().is_some()),
            "the kernel never told that it left",
        )?;
        let gone = is_gone().map_or(left, |gone| gone.at);
        std::thread::sleep(Duration::from_secs(1));
        let back = site.air.station.attach();
        std::thread::sleep(Duration::from_millis(700));
        let (sent, arrived, _) = flow.numbers(left, back.at);
        let (on_air, lost) = air.missing(&flow, left, back.at);
        away.push(Some(since(back.at, gone)));
        waited.push(arrived.len());
        println!(
            "log {} sent while away, on the air {on_air}, lost {lost:?}, arrived {arrived:?}",
            sent.len()
        );
        must(lost.is_empty(), format!("lost while the station was away: {} of {}", lost.len(), sent.len()))?;
        must(arrived.is_sorted(), format!("not in order: {arrived:?}"))?;
        must(arrived.len() + on_air == sent.len(), "packets came twice")?;
        node = back.node;
    }
    drop((flow, air));
    site.air.station.leave();
    measure(
        "Wi-Fi, a station leaves under traffic and returns",
        format!("away for {}; packets that waited and came in order {waited:?}", milliseconds(&away)),
    );
    must(waited.iter().all(|count| *count > 0), "nothing waited")
}

/// The neighbour says nothing itself: only nl80211 tells of it, as a station like any other.
fn mesh_neighbour(site: &mut Site) -> Outcome {
    site.start(Kind::Ours);
    site.lab.add_namespace("neighbour");
    sys::sysctl("neighbour", &[("net/ipv6/conf/default/disable_ipv6", "1")]);
    let node = site.lab.nodes[0].clone();
    let iw = |namespace: &str, words: &str| air::run(&format!("ip netns exec {namespace} iw dev {words}"));
    for (interface, radio, namespace) in [("wlan3", 3, node.as_str()), ("wlan4", 4, "neighbour")] {
        move_radio(radio, namespace);
        iw(namespace, &format!("{interface} set type mp"));
        ip(namespace, &format!("link set {interface} up"));
        iw(namespace, &format!("{interface} mesh join backbone freq 2462"));
    }
    not_a_client(site, Duration::ZERO)?;
    // It is a mesh interface of the daemon too, as Gluon has it.
    site.daemon(0).ask("add_meshif wlan3");
    let listed = || site.daemon(0).ask("get_meshifs").is_some_and(|answer| answer.contains("wlan3"));
    must(listed(), "the daemon does not take the 802.11s interface for a mesh interface")?;
    not_a_client(site, Duration::ZERO)?;
    // And a port of the client bridge, where access points are.
    site.daemon(0).ask("del_meshif wlan3");
    must(!listed(), "the daemon does not let go of the 802.11s interface")?;
    iw(&node, "wlan3 mesh leave");
    ip(&node, "link set wlan3 master br-client");
    let since = sys::now();
    iw(&node, "wlan3 mesh join backbone freq 2462");
    not_a_client(site, since)?;
    measure("Wi-Fi, an 802.11s neighbour joins: it is a client", "never");
    Ok(())
}

/// The kernel has told of the neighbour since then, and the daemon has not made it a client.
fn not_a_client(site: &Site, since: Duration) -> Outcome {
    let neighbour = l3roamd::net::Mac([2, 0, 0, 0, 4, 0]);
    let joined = || site.air.signs.first(since, Some(0), Sign::New, neighbour).is_some();
    must(eventually(Duration::from_secs(20), joined), "the mesh never found its neighbour")?;
    let seen = || site.daemon(0).clients()["clientlist"].get(neighbour.to_string()).is_some();
    must(!eventually(Duration::from_secs(3), seen), "an 802.11s neighbour became a client")
}
