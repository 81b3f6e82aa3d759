//! The daemon's own life: killed, restarted, ended, doubled; interfaces that vanish and return.

use std::time::Duration;

use crate::client::Client;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_killed_daemon_takes_its_clients_back", Needs::Nothing, || restart(libc::SIGKILL)),
    ("a_daemon_told_to_hand_over_to_its_successor_cuts_nobody_off", Needs::Nothing, || {
        restart(libc::SIGUSR1)
    }),
    ("a_daemon_that_is_ended_leaves_nothing_behind", Needs::Nothing, ended),
    ("a_second_instance_is_refused", Needs::Nothing, second),
    ("a_mesh_interface_that_returns_is_used_again", Needs::Nothing, mesh_interface_returns),
    ("a_client_interface_that_returns_is_used_again", Needs::Nothing, || client_interface_returns(false)),
    ("a_client_bridge_that_returns_is_used_again", Needs::Nothing, || client_interface_returns(true)),
];

fn restart(signal: i32) -> Outcome {
    const CROWD: u32 = 50;
    let mut lab = Lab::new(Plan::default());
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let crowd = Crowd::new(&mut lab, CROWD);
    crowd.roam(Some(0));
    attach(&lab, &client, true, 0)?;
    crowd.ask_gateway_each(0..CROWD, 500);
    let all = CROWD as usize + 1;
    let learned = eventually(LIMIT, || lab.watch.count(0, What::Route(SERVED)) == all);
    must(learned, "not all clients have a route before the restart")?;
    must(daemons[0].manages(client.mac, client.v6.into()), "get_clients does not tell of the client")?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_secs(1));
    let start = sys::now();
    daemons[0].signal(signal);
    must(daemons[0].wait(LIMIT).is_some(), "the daemon does not end")?;
    let left = lab.watch.count(0, What::Route(SERVED));
    daemons[0] = Daemon::start(&lab, 0, Kind::Ours);
    let started = sys::now();
    let managed = eventually(LIMIT, || {
        daemons[0].manages(client.mac, client.v6.into())
            && (0..CROWD).all(|index| daemons[0].manages(crowd::mac(index), crowd::v6(index).into()))
    });
    let after = sys::now() - started;
    std::thread::sleep(Duration::from_secs(1));
    let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
    let removed = lab.watch.events(start).iter().filter(|event| event.node == 0 && !event.came).count();
    let name = if signal == libc::SIGKILL { "SIGKILL" } else { "SIGUSR1" };
    measure(
        &format!("{name} and start again with {all} clients"),
        format!(
            "{left} routes left in between, {removed} removed; all managed: {managed} after {:.0} ms; {} of {} probes lost",
            after.as_secs_f64() * 1e3,
            report.lost,
            report.sent
        ),
    );
    must(left == all, format!("{left} of {all} routes left by {name}"))?;
    must(managed, "not all clients are managed again")?;
    // Adoption is confirmed within 30 s: what answers must stay.
    std::thread::sleep(Duration::from_secs(if crate::long() { 40 } else { 5 }));
    let kept = lab.watch.count(0, What::Route(SERVED));
    must(kept == all, format!("{kept} of {all} routes left after a while"))?;
    bound(after <= Duration::from_secs(1), format!("managed again after {after:.1?}"))?;
    bound(report.lost == 0, format!("{} probes lost", report.lost))
}

fn ended() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut daemon = Daemon::start(&lab, 0, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    client.ask_gateway(false);
    let v4 = eventually(LIMIT, || lab.watch.has(0, What::Route(SERVED), client.v4));
    must(v4, "the client's IPv4 address has no route")?;
    daemon.signal(libc::SIGTERM);
    let status = daemon.wait(LIMIT);
    must(status.is_some_and(|status| status.success()), format!("ends with {status:?}"))?;
    let node = &lab.nodes[0];
    for protocol in [158, 159, 160] {
        for family in ["-4", "-6"] {
            let routes = ip(node, &format!("{family} route show table all proto {protocol}"));
            must(routes.is_empty(), format!("routes of protocol {protocol} are left: {routes}"))?;
        }
    }
    let addresses = ip(node, "-6 addr show dev lo");
    must(!addresses.contains("fd00:2:"), format!("node-client addresses are left: {addresses}"))?;
    must(!ip(node, "link show").contains("l3roam0"), "the TUN is left")?;
    must(!daemon.socket().exists(), "the socket file is left")?;
    let neighbours = ip(node, "-6 neigh show");
    must(!neighbours.contains("extern_learn"), format!("neighbour entries of ours are left: {neighbours}"))
}

fn second() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut first = Daemon::start(&lab, 0, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let log = first.log_end();
    let mut second = Daemon::spawn(&lab, 0, Kind::Ours, &[]);
    let status = second.wait(LIMIT);
    must(
        status.is_some_and(|status| !status.success()),
        format!("the second instance ends with {status:?}"),
    )?;
    must(first.log_end() != log, "the second instance says nothing")?;
    must(
        first.running() && first.ask("get_clients").is_some(),
        "the first instance does not answer any more",
    )?;
    attach(&lab, &client, true, 0)
}

fn mesh_interface_returns() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    lab.renew_mesh_link(1);
    std::thread::sleep(Duration::from_secs(1));
    let last = lab.nodes.len() - 1;
    client.roam(Some(last));
    client.ask_gateway(true);
    must(eventually(LIMIT, || served_by(&lab, &client, true, last)), "not handed over")?;
    // A search needs the multicast group on the new interface.
    let crowd = Crowd::new(&mut lab, 1);
    crowd.roam(Some(last));
    let start = sys::now();
    let flow = Flow::start(crowd::v6(0).into(), None, INTERVAL);
    let found = eventually(LIMIT, || flow.first_return(start).is_some());
    must(found, "a silent client behind the new interface is not found")
}

fn client_interface_returns(bridge_itself: bool) -> Outcome {
    let mut lab = Lab::new(Plan { bridge_itself, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let (first, second) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    attach(&lab, &first, true, 0)?;
    lab.renew_client_interface(0);
    std::thread::sleep(Duration::from_secs(1));
    attach(&lab, &second, true, 0)?;
    first.ask_gateway(true);
    let back = eventually(LIMIT, || lab.watch.has(0, What::Route(SERVED), first.v6));
    must(back, "the client of before is not noticed again")?;
    let flow = Flow::start(second.v6.into(), Some(&second.namespace), INTERVAL);
    let traffic = eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some());
    must(traffic, "no packet reaches a client behind the new interface")
}
