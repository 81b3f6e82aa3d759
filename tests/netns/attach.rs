//! Clients that come, are sought, and go.

use std::net::IpAddr;
use std::time::Duration;

use crate::client::Client;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must, percentile, spread};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_talking_client_gets_its_route_after_its_first_frame", Needs::Nothing, || {
        talking(true, Plan::default())
    }),
    ("a_talking_ipv4_client_gets_its_route_after_its_first_frame", Needs::Nothing, || {
        talking(false, Plan::default())
    }),
    ("a_talking_client_gets_its_route_where_the_client_interface_is_the_bridge", Needs::Nothing, || {
        talking(true, Plan { bridge_itself: true, ..Plan::default() })
    }),
    ("a_silent_client_that_no_daemon_knows_is_found", Needs::Nothing, || searched(true)),
    ("a_silent_ipv4_client_that_no_daemon_knows_is_found", Needs::Nothing, || searched(false)),
    ("a_client_that_leaves_is_forgotten_everywhere", Needs::Nothing, leaves),
    ("a_client_with_sixteen_addresses_keeps_them_all", Needs::Nothing, sixteen_addresses),
];

fn address(index: u32, v6: bool) -> IpAddr {
    if v6 { crowd::v6(index).into() } else { crowd::v4(index).into() }
}

fn talking(v6: bool, plan: Plan) -> Outcome {
    let mut lab = Lab::new(plan);
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let crowd = Crowd::new(&mut lab, 100);
    crowd.roam(Some(0));
    let count = if long() { 20 } else { 10 };
    let mut latencies = Vec::new();
    for index in 0..count {
        std::thread::sleep(Duration::from_millis(100));
        let asked = sys::now();
        crowd.ask_gateway(index, v6);
        let came = || lab.watch.came(asked, 0, What::Route(SERVED), address(index, v6));
        let noticed = eventually(LIMIT, || came().is_some());
        must(noticed, format!("client {index} has no route"))?;
        latencies.extend(came().map(|at| at - asked));
    }
    let what = match (v6, plan.bridge_itself) {
        (true, false) => "IPv6",
        (true, true) => "IPv6, bridge itself",
        (false, _) => "IPv4",
    };
    measure(
        &format!("attach, talking client, {what}: host route after its first frame"),
        format!("{} of {count}; {}", latencies.len(), spread(&latencies)),
    );
    bound(percentile(&latencies, 100) <= Duration::from_millis(20), "host route later than after 20 ms")
}

fn searched(v6: bool) -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let crowd = Crowd::new(&mut lab, 100);
    crowd.roam(Some(lab.nodes.len() - 1));
    let count = if long() { 10 } else { 5 };
    let (mut found, mut lost) = (Vec::new(), 0);
    for index in 0..count {
        let start = sys::now();
        let flow = Flow::start(address(index, v6), None, INTERVAL);
        let returned = eventually(LIMIT, || flow.first_return(start).is_some());
        must(returned, format!("silent client {index} is not found"))?;
        found.extend(flow.first_return(start).map(|at| at - start));
        std::thread::sleep(Duration::from_millis(400));
        lost += flow.report(start, sys::now().saturating_sub(Duration::from_millis(100))).lost;
    }
    let family = if v6 { "IPv6" } else { "IPv4" };
    measure(
        &format!("search of a silent client, {family}: first probe answered"),
        format!("{} of {count}; {}; {lost} probes lost", found.len(), spread(&found)),
    );
    bound(percentile(&found, 100) <= Duration::from_millis(60), "found later than after 60 ms")?;
    bound(lost == 0, format!("{lost} probes lost while searching"))
}

/// Two clients leave at once, one while packets for it are coming.
fn leaves() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let (wanted, forgotten) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    for client in [&wanted, &forgotten] {
        attach(&lab, client, true, 0)?;
        client.ask_gateway(false);
        let v4 = eventually(LIMIT, || lab.watch.has(0, What::Route(SERVED), client.v4));
        must(v4, "the client's IPv4 address has no route")?;
    }
    let flow = Flow::start(wanted.v6.into(), Some(&wanted.namespace), INTERVAL);
    let flow4 = Flow::start(wanted.v4.into(), Some(&wanted.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    must(eventually(LIMIT, || flow4.first_return(Duration::ZERO).is_some()), "no IPv4 traffic")?;
    std::thread::sleep(Duration::from_secs(1));
    let left = sys::now();
    wanted.roam(None);
    forgotten.roam(None);
    let gone = |client: &Client| {
        (0..lab.nodes.len()).all(|node| {
            !lab.watch.has(node, What::Route(SERVED), client.v6)
                && !lab.watch.has(node, What::Route(SERVED), client.v4)
                && !lab.watch.has(node, What::NodeClient, client.node_client())
        })
    };
    let after = |client: &Client, limit: u64| {
        let limit = (left + Duration::from_secs(limit)).saturating_sub(sys::now());
        eventually(limit, || gone(client)).then(|| sys::now() - left)
    };
    let with_traffic = after(&wanted, 60);
    measure("client leaves, traffic for it: all its routes gone", format!("after {with_traffic:.1?}"));
    let without = after(&forgotten, 75);
    measure("client leaves, no traffic: all its routes gone", format!("after {without:.1?}"));
    bound(
        with_traffic.is_some_and(|after| after <= Duration::from_secs(15)),
        "with traffic later than 15 s",
    )?;
    bound(without.is_some_and(|after| after <= Duration::from_secs(60)), "without traffic later than 60 s")
}

fn sixteen_addresses() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let mut addresses = vec![client.v6];
    for number in 1..16u16 {
        let mut segments = client.v6.segments();
        segments[5] = number;
        addresses.push(segments.into());
        ip(&client.namespace, &format!("addr add {}/64 dev eth0 nodad", addresses[usize::from(number)]));
    }
    client.roam(Some(0));
    for address in &addresses {
        client.ask_gateway_from(*address);
    }
    let at = |node: usize| {
        addresses.iter().filter(|address| lab.watch.has(node, What::Route(SERVED), **address)).count()
    };
    let settled = || at(0) == 16 && served_by(&lab, &client, true, 0);
    must(eventually(LIMIT, settled), format!("{} of 16 learned", at(0)))?;
    let last = lab.nodes.len() - 1;
    let moved = sys::now();
    client.roam(Some(last));
    client.ask_gateway(true);
    let all = eventually(LIMIT, || at(last) == 16 && at(0) == 0);
    let after = sys::now() - moved;
    measure(
        "client with 16 addresses roams",
        format!(
            "{} of 16 at the new node, {} at the old, after {:.1} ms",
            at(last),
            at(0),
            after.as_secs_f64() * 1e3
        ),
    );
    must(all, "not all addresses were handed over")?;
    std::thread::sleep(Duration::from_secs(if long() { 90 } else { 8 }));
    let removed = lab.watch.events(moved).iter().filter(|event| event.node == last && !event.came).count();
    must(
        at(last) == 16 && removed == 0,
        format!("{removed} removals at the new node, {} of 16 left", at(last)),
    )
}
