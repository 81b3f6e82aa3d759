//! Stations that come, stay and leave.

use std::time::Duration;

use crate::air::{self, move_radio};
use crate::daemon::Kind;
use crate::measure::{Outcome, eventually, measure, must};
use crate::signs::Sign;
use crate::site::Site;
use crate::watch::{SERVED, What};
use crate::{Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("radios_that_come_after_the_daemon_are_heard", Kind::Ours, |site| {
        std::mem::replace(&mut site.late, Ok(()))
    }),
    ("a_silent_station_that_comes_is_known_with_all_its_addresses", Kind::Ours, |site| {
        attach(site, Kind::Ours)
    }),
    ("c_a_silent_station_that_comes", Kind::C, |site| attach(site, Kind::C)),
    ("a_station_that_leaves_is_not_routed_any_more", Kind::Ours, |site| leave(site, Kind::Ours)),
    ("c_a_station_that_leaves", Kind::C, |site| leave(site, Kind::C)),
    ("a_mesh_neighbour_is_no_client", Kind::Ours, mesh_neighbour),
];

/// Durations in milliseconds; what never happened as "never".
pub fn milliseconds(values: &[Option<f64>]) -> String {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let never = values.len() - sorted.len();
    let tail = if never > 0 { format!(", {never} of {} never", values.len()) } else { String::new() };
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

fn attach(site: &mut Site, kind: Kind) -> Outcome {
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for _ in 0..if long() { 10 } else { 2 } {
        site.start(kind);
        let before = sys::now();
        let end = site.air.station.attach();
        let came = site.routes(before, end.node, Duration::from_secs(5));
        let times: Vec<Option<f64>> = came.iter().map(|at| at.map(|at| since(at, end.at))).collect();
        println!("log attach {} at node {}: {times:?}", kind.name(), end.node);
        first.push(times[0]);
        all.extend(times);
        site.air.station.leave();
        std::thread::sleep(Duration::from_millis(500));
    }
    let name = kind.name();
    measure(
        &format!("Wi-Fi, a silent station comes, {name}: route after the end of the handshake"),
        format!("{}; of its first address {}", milliseconds(&all), milliseconds(&first)),
    );
    let good = all.iter().all(|at| at.is_some_and(|at| at <= 150.0));
    must(good || kind == Kind::C, "not every address was known 150 ms after the station could answer")
}

fn leave(site: &mut Site, kind: Kind) -> Outcome {
    site.start(kind);
    let mut after = Vec::new();
    for _ in 0..if long() { 10 } else { 2 } {
        let end = site.air.station.attach();
        site.speak();
        let served = eventually(Duration::from_secs(5), || site.served_by(end.node));
        println!("log leave {}: served {served}", kind.name());
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

fn mesh_neighbour(site: &mut Site) -> Outcome {
    site.start(Kind::Ours);
    site.lab.add_namespace("neighbour");
    let node = site.lab.nodes[0].clone();
    let ends = [(3, node.as_str()), (4, "neighbour")];
    for (radio, namespace) in ends {
        move_radio(radio, namespace);
        for words in ["set type mp", "up", "mesh join backbone freq 2462"] {
            if words == "up" {
                air::run(&format!("ip -n {namespace} link set wlan{radio} up"));
            } else {
                air::run(&format!("ip netns exec {namespace} iw dev wlan{radio} {words}"));
            }
        }
    }
    let neighbour = l3roamd::net::Mac([2, 0, 0, 0, 4, 0]);
    let joined = || site.air.signs.first(Duration::ZERO, Some(0), Sign::New, neighbour).is_some();
    must(eventually(Duration::from_secs(10), joined), "the mesh never found its neighbour")?;
    let seen = |site: &Site| site.daemon(0).clients()["clientlist"].get(neighbour.to_string()).is_some();
    let mut ever = eventually(Duration::from_secs(2), || seen(site));
    // It is a mesh interface of the daemon too, as Gluon has it.
    site.daemon(0).ask("add_meshif wlan3");
    ever |= eventually(Duration::from_secs(3), || seen(site));
    must(!ever, "an 802.11s neighbour became a client")?;
    measure("Wi-Fi, an 802.11s neighbour joins: it is a client", "never");
    Ok(())
}
