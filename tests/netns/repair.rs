//! What somebody takes from a node is put back, and what a restart found is given up when the
//! kernel doubts it.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{CLIENT_PREFIX, CLIENT_PREFIX4, Lab, Plan, ip};
use crate::measure::{Outcome, bound, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("what_somebody_deletes_of_a_client_is_put_back", Needs::Nothing, deleted),
    ("a_client_that_has_left_before_all_daemons_were_killed_is_found_where_it_is", Needs::Nothing, killed),
];

/// A deletion, and what shows that it is repaired.
struct Damage {
    name: &'static str,
    /// `ip` commands.
    done_by: Vec<String>,
    /// `ip` commands whose output contains a text again.
    shown_by: Vec<(String, String)>,
}

fn damages(lab: &Lab, client: &Client) -> Vec<Damage> {
    let (v6, v4, mac, node_client) = (client.v6, client.v4, client.mac.to_string(), client.node_client());
    let interface = lab.client_interface();
    let routes = [
        (format!("-6 route show proto {SERVED}"), v6.to_string()),
        (format!("-4 route show proto {SERVED}"), v4.to_string()),
    ];
    let damage = |name, done_by: &[String], shown_by: &[(String, String)]| Damage {
        name,
        done_by: done_by.to_vec(),
        shown_by: shown_by.to_vec(),
    };
    let prefix = |name, family: &str, prefix: &str| {
        let show = format!("{family} route show {prefix} proto 160");
        damage(name, &[show.replace("show", "del")], &[(show, prefix.to_owned())])
    };
    vec![
        damage(
            "all host routes",
            &["-6", "-4"].map(|family| format!("{family} route flush proto {SERVED}")),
            &routes,
        ),
        damage("a host route", &[format!("-6 route del {v6} dev {interface} proto {SERVED}")], &routes),
        damage("an IPv4 host route", &[format!("-4 route del {v4} dev {interface} proto {SERVED}")], &routes),
        damage(
            "the neighbour entries",
            &[format!("neigh del {v6} dev {interface}"), format!("neigh del {v4} dev {interface}")],
            &[v6.to_string(), v4.to_string()].map(|address| {
                (format!("neigh show {address} dev {interface}"), format!("{mac} extern_learn"))
            }),
        ),
        damage(
            "the node-client address",
            &[format!("-6 addr del {node_client}/128 dev lo")],
            &[("-6 addr show dev lo".to_owned(), node_client.to_string())],
        ),
        prefix("the prefix's route", "-6", CLIENT_PREFIX),
        prefix("the IPv4 prefix's route", "-4", CLIENT_PREFIX4),
    ]
}

fn deleted() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    client.ask_gateway(false);
    let v4 = eventually(Duration::from_secs(3), || lab.watch.has(0, What::Route(SERVED), client.v4));
    must(v4, "the client's IPv4 address has no route after 3 s")?;
    let flows =
        [true, false].map(|v6| Flow::start(client.address(v6), Some(&client.namespace), INTERVAL * 4));
    let flow = |since: Duration| flows.iter().all(|flow| flow.first_return(since).is_some());
    must(eventually(Duration::from_secs(10), || flow(Duration::ZERO)), "no traffic")?;
    std::thread::sleep(Duration::from_secs(2));
    let node = &lab.nodes[0];
    let (mut failed, mut slow) = (Vec::new(), Vec::new());
    for damage in damages(&lab, &client) {
        let stands = || damage.shown_by.iter().all(|(show, text)| ip(node, show).contains(text.as_str()));
        must(eventually(Duration::from_secs(5), stands), format!("{} never stood", damage.name))?;
        for command in &damage.done_by {
            ip(node, command);
        }
        let done = sys::now();
        let back = eventually(Duration::from_secs(10), stands);
        let after = sys::now() - done;
        let again = sys::now();
        let traffic = back && eventually(Duration::from_secs(5), || flow(again));
        measure(
            &format!("{} deleted", damage.name),
            if back {
                format!("back after {:.0} ms", after.as_secs_f64() * 1e3)
            } else {
                "not back after 10 s".into()
            },
        );
        if !back || !traffic {
            failed.push(damage.name);
            // The next one begins with all in place: a move to another node and back.
            attach(&lab, &client, true, 2)?;
            std::thread::sleep(Duration::from_millis(500));
            attach(&lab, &client, true, 0)?;
            client.ask_gateway(false);
            std::thread::sleep(Duration::from_millis(500));
        } else if after > Duration::from_secs(1) {
            slow.push(damage.name);
        }
    }
    must(failed.is_empty(), format!("not back, or no traffic after it: {failed:?}"))?;
    bound(slow.is_empty(), format!("back later than after 1 s: {slow:?}"))
}

/// The old node finds its own routes when it starts again, and no frame says that the client is
/// elsewhere.
fn killed() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(Duration::from_secs(5), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_secs(3));
    let left = client.roam(Some(2));
    std::thread::sleep(Duration::from_millis(1200));
    for daemon in &daemons {
        daemon.signal(libc::SIGKILL);
    }
    for daemon in &mut daemons {
        must(daemon.wait(Duration::from_secs(5)).is_some(), "a daemon survives SIGKILL")?;
    }
    let serves = lab.watch.has(0, What::Route(SERVED), client.v6);
    drop(daemons);
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let started = sys::now();
    let found = eventually(Duration::from_secs(20), || served_by(&lab, &client, true, 2));
    let after = sys::now() - started;
    std::thread::sleep(Duration::from_millis(500));
    let lost = flow.report(left, sys::now().saturating_sub(Duration::from_millis(300))).lost;
    measure(
        "a client leaves silently, all daemons are killed and started again",
        format!(
            "the old node has its route when they are killed: {serves}; served where it is: {found}, {:.1} s after the start; {lost} packets lost",
            after.as_secs_f64()
        ),
    );
    must(found, "not served where it is 20 s after the start")?;
    bound(after <= Duration::from_secs(10), format!("served where it is only after {after:.1?}"))
}
