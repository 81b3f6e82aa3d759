//! The configurations that README.md recommends, used as they stand there: what routing daemons announce of a node with them, and what
//! never. Host routes are put into the kernel by hand, as the daemon would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use l3roamd::openwrt::uci::{self, parser::Value};

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip, ip_batch, node_address};
use crate::measure::{Outcome, Trouble, eventually, measure, must, say};
use crate::probe::{Flow, INTERVAL};
use crate::routing::{BABELD_PORT, Routing, manual};
use crate::trail::Trail;
use crate::{Needs, Test, isolate, sys};
use crate::{relay, roam};

/// The tests of this file. (That a client roams where bird routes is in `roam`.)
pub const TESTS: &[Test] = &[
    ("the_manuals_bird_announces_host_routes_and_nothing_else", Needs::Bird, || announces(Routing::Bird)),
    ("the_manuals_babeld_announces_host_routes_and_nothing_else", Needs::AnyBabeld, || {
        announces(Routing::Babeld)
    }),
    ("babeld_announces_the_same_where_it_does_not_reflect_metrics", Needs::LongBabeld, || {
        announces(Routing::BabeldUnreflected)
    }),
    ("a_client_is_handed_over_where_the_manuals_olsrd2_routes", Needs::Olsrd2, || roams_with_olsrd2(true)),
    ("an_ipv4_client_is_handed_over_where_the_manuals_olsrd2_routes", Needs::Olsrd2, || {
        roams_with_olsrd2(false)
    }),
    ("olsrd2_carries_a_client_that_has_moved_beyond_the_overlap", Needs::Olsrd2, stays_with_olsrd2),
    ("the_manuals_uci_tells_babeld_the_same_as_its_own_configuration", Needs::Nothing, uci_is_the_same),
    (
        "the_manuals_configuration_is_understood_to_the_last_option",
        Needs::Nothing,
        configuration_is_understood,
    ),
];

/// Served clients.
const SERVED: [&str; 2] = ["2001:db8:c::1:1", "10.42.1.1"];
/// Clients that have left.
const DRAINED: [&str; 2] = ["2001:db8:c::1:2", "10.42.1.2"];
/// The node-client address of a served client.
const NODE_CLIENT: &str = "fd00:2::c1";

/// What node a has beside: nobody may hear of it. (Its gateway and link-local addresses, and the correspondent's network at b, are the
/// lab's.)
const SECRETS: &str = "\
    route add 2001:db8:c::/64 dev l3roam0 proto 160 metric 16\n\
    route add 10.42.0.0/16 dev l3roam0 proto 160 metric 16\n\
    route add 2001:db8:d::/64 dev l3roam0 proto 158 metric 16\n\
    route add 2001:db8::/32 dev l3roam0 proto 158 metric 16\n\
    route add 10.43.0.0/16 dev l3roam0 proto 158 metric 16\n\
    route add 2001:db8:d:1::/64 dev l3roam0 proto 159 metric 16\n\
    route add 10.44.0.0/16 dev l3roam0 proto 159 metric 16\n\
    route add 2001:db8:c::9/128 dev local-node proto static metric 16\n\
    route add 10.42.1.9/32 dev local-node proto static metric 16\n\
    addr add 2001:db8:e::1/64 dev br-client nodad\n\
    addr add 192.168.1.1/24 dev br-client\n";

fn announces(routing: Routing) -> Outcome {
    let lab = Lab::new(Plan { routing, ..Plan::default() });
    let mut commands = format!("link add l3roam0 type bridge\nlink set l3roam0 up\n{SECRETS}");
    for address in SERVED {
        let _ = writeln!(commands, "route add {address} dev local-node proto 158 metric 16");
    }
    for address in DRAINED {
        let _ = writeln!(commands, "route add {address} dev l3roam0 proto 159 metric 16");
    }
    ip_batch("a", &format!("{commands}addr add {NODE_CLIENT}/128 dev lo\n"));
    let complete = |node| learnt(&lab, node) == expected(&lab, node);
    eventually(Duration::from_secs(20), || complete(1) && complete(2));
    // What should not come might come later.
    std::thread::sleep(Duration::from_secs(2));
    for node in [1, 2] {
        let (is, should) = (learnt(&lab, node), expected(&lab, node));
        must(is == should, format!("{} has learnt {is:?}, not {should:?}", lab.nodes[node]))?;
    }
    metrics(&lab)?;
    moves(&lab)
}

/// The protocol number of routes that the routing daemon installs.
fn protocol(lab: &Lab) -> u8 {
    if lab.plan.routing == Routing::Bird { 12 } else { 42 }
}

/// The destinations in the kernel of a node that its routing daemon has put there.
fn learnt(lab: &Lab, node: usize) -> BTreeSet<String> {
    let show = |family| ip(&lab.nodes[node], &format!("{family} route show proto {}", protocol(lab)));
    let first = |line: &str| line.split(" via ").next().unwrap_or_default().to_owned();
    [show("-6"), show("-4")].iter().flat_map(|text| text.lines().map(first).collect::<Vec<_>>()).collect()
}

/// What a node is to learn: all of a, and the addresses of the others.
fn expected(lab: &Lab, node: usize) -> BTreeSet<String> {
    let others = (0..lab.nodes.len()).filter(|other| *other != node);
    let loopback =
        others.flat_map(|other| [node_address(other).to_string(), format!("10.255.0.{}", other + 1)]);
    let of_a = SERVED.into_iter().chain(DRAINED).chain([NODE_CLIENT]).map(str::to_owned);
    loopback.chain(of_a).collect()
}

/// What the routing daemon of b itself says: the metric of each destination.
fn table(lab: &Lab) -> BTreeMap<String, u32> {
    let host = |prefix: &str| prefix.trim_end_matches("/128").trim_end_matches("/32").to_owned();
    if lab.plan.routing == Routing::Bird {
        let control = lab.run.join("b.bird.ctl").display().to_string();
        let output =
            Command::new("birdc").args(["-s", &control, "show babel entries"]).output().expect("birdc");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some((host(words.first()?), words.get(2)?.parse().ok()?))
        };
        return text.lines().filter_map(entry).collect();
    }
    let text = sys::inside("b", || {
        let mut stream = TcpStream::connect((Ipv6Addr::LOCALHOST, BABELD_PORT)).expect("babeld listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        stream.write_all(b"dump\nquit\n").expect("babeld reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("babeld answers");
        text
    });
    let after = |line: &str, key: &str| {
        line.split_whitespace().skip_while(|word| *word != key).nth(1).map(str::to_owned)
    };
    let route = |line: &str| Some((host(&after(line, "prefix")?), after(line, "metric")?.parse().ok()?));
    text.lines()
        .filter(|line| line.starts_with("add route ") || line.starts_with("add xroute "))
        .filter_map(route)
        .collect()
}

/// A drained client is worth less than a served one, to the routing daemon and to the kernel.
fn metrics(lab: &Lab) -> Outcome {
    let table = table(lab);
    let known: BTreeSet<String> = table.keys().cloned().collect();
    let mut should = expected(lab, 1);
    should.extend([node_address(1).to_string(), "10.255.0.2".to_owned()]);
    must(known == should, format!("the routing daemon of b knows {known:?}, not {should:?}"))?;
    let of = |address: &str| table.get(address).copied().unwrap_or_default();
    let metrics: Vec<u32> = SERVED.into_iter().chain(DRAINED).map(of).collect();
    measure(
        &format!(
            "metrics of served and drained clients, IPv6 and IPv4, one hop away, {:?}",
            lab.plan.routing
        ),
        format!("{metrics:?}"),
    );
    must(metrics[0] == metrics[1] && metrics[2] == metrics[3], "the families differ")?;
    must(metrics[2] >= metrics[0] + 1024, "a drained client is worth as much as a served one")?;
    if lab.plan.routing == Routing::BabeldUnreflected {
        return Ok(());
    }
    // The daemon's own routes have metric 16 and must win.
    for family in ["-6", "-4"] {
        let text = ip("b", &format!("{family} route show proto {}", protocol(lab)));
        let beaten = |line: &str| {
            let metric = line.split_whitespace().skip_while(|word| *word != "metric").nth(1);
            metric.and_then(|metric| metric.parse::<u32>().ok()).is_some_and(|metric| metric > 16)
        };
        must(text.lines().all(beaten), format!("the kernel prefers these to ours:\n{text}"))?;
    }
    Ok(())
}

/// The served client moves from a to c, where its route at a becomes a drained one in the same moment: b always has a way.
fn moves(lab: &Lab) -> Outcome {
    let address = SERVED[0];
    ip("c", &format!("-6 route add {address} dev local-node proto 158 metric 16"));
    ip("a", &format!("-6 route replace {address} dev l3roam0 proto 159 metric 16"));
    let start = sys::now();
    let way = || ip("b", &format!("-6 route show {address} proto {}", protocol(lab)));
    let mut lost = None;
    let switched = eventually(Duration::from_secs(8), || {
        let way = way();
        if !way.contains("dev mesh") {
            lost.get_or_insert_with(|| way.clone());
        }
        way.contains("dev mesh1")
    });
    let time = if switched {
        format!("{:.1} s", (sys::now() - start).as_secs_f64())
    } else {
        "later than 8 s".into()
    };
    measure(
        &format!("a client moves and leaves a drained route, {:?}: new way at b", lab.plan.routing),
        time,
    );
    must(lost.is_none(), format!("b had no way meanwhile: {lost:?}"))
}

/// As where bird routes, with both families. What olsrd2 does not know yet is flooded, and relayed.
fn roams_with_olsrd2(v6: bool) -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Olsrd2, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let loss = relay::roams(&lab, &client, v6, &relay::way(if crate::long() { 20 } else { 6 }), 64)?;
    loss.tell(&format!("loss in roams, {}, the manual's olsrd2", if v6 { "IPv6" } else { "IPv4" }));
    loss.judge(Duration::from_millis(25))
}

/// A client roams and stays beyond the overlap. At its end olsrd2 at the old node withdraws the client, which the others hear with its next
/// TC message: until then those that still prefer that node send there, and it sends back to them. Nothing else may be lost.
fn stays_with_olsrd2() -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Olsrd2, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    roam::attach(&lab, &client, true, 0)?;
    std::thread::sleep(Duration::from_secs(15));
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_millis(500));
    let air = relay::Air::watch(&lab);
    let mut trail = Trail::watch(&lab);
    let (start, mut moves, mut detours) = (sys::now(), Vec::new(), Vec::new());
    for node in [2, 0] {
        let moved = sys::now();
        moves.push(moved);
        client.roam(Some(node));
        client.ask_gateway(true);
        std::thread::sleep(Duration::from_secs(16));
        detours.push(trail.last_detour().unwrap_or_default().saturating_sub(moved));
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    let air = air.stop();
    trail.stop();
    let loss = relay::Loss::count(&flow, start, end, &moves, &air);
    measure(
        "roams and stays of 16 s, the manual's olsrd2",
        format!(
            "{} sent, lost {}, on the air {}; last packet by the detour after {detours:.1?}",
            loss.sent, loss.lost_down, loss.on_air
        ),
    );
    for (number, when) in loss.missing.iter().zip(&loss.when).step_by(40) {
        say(&format!("lost {when} ms after the move: {}", trail.of(*number)));
    }
    // The interval of TC messages, and up to a second each until they are sent and new routes are calculated.
    let excused = |when: &u128| (9_900..13_000).contains(when);
    let other: Vec<&u128> = loss.when.iter().filter(|when| !excused(when)).collect();
    must(other.is_empty() && loss.lost_up == 0, format!("lost {other:?} ms after the move"))
}

/// Puts the UCI of the manual together as babeld's init script does on OpenWrt (feed "routing", babeld.init).
fn uci_is_the_same() -> Outcome {
    let uci = uci::parser::parse(manual("/etc/config/babeld").as_bytes());
    let uci = uci.map_err(|error| Trouble::Broken(error.to_string()))?;
    let text = |value: &Value| match value {
        Value::One(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Many(_) => "a list".to_owned(),
    };
    let mut made = Vec::new();
    for section in &uci.sections {
        let option = |name| section.option(name).map(text);
        let named = |name| Some(format!("{name} {}", option(name)?));
        if section.kind == "general" {
            made.extend(section.options.iter().map(|entry| {
                // No option of babeld has an underscore.
                format!("{} {}", entry.name.replace('_', "-"), text(&entry.value))
            }));
        } else if section.kind == "filter" {
            let local = option("local").map(|_| "local".to_owned());
            let selectors = ["ip", "eq", "le", "ge", "proto", "if"].map(named);
            let words: Vec<String> = [option("type"), local]
                .into_iter()
                .chain(selectors)
                .chain([option("action")])
                .flatten()
                .collect();
            made.push(words.join(" "));
        }
    }
    let own = manual("babeld");
    let own: Vec<&str> =
        own.lines().filter(|line| !line.starts_with('#') && !line.starts_with("interface ")).collect();
    must(made == own, format!("UCI makes {made:#?}, the manual has {own:#?}"))
}

fn configuration_is_understood() -> Outcome {
    let directory = Path::new(isolate::RUN).join("manual");
    std::fs::create_dir_all(&directory).expect("a directory");
    for name in ["network", "l3roamd"] {
        std::fs::write(directory.join(name), manual(&format!("/etc/config/{name}"))).expect("a file");
    }
    let directories = uci::Directories::only(&directory);
    let (settings, problems) = directories.load();
    must(problems.is_empty(), format!("{problems:?}"))?;
    let address = directories.address_of_loopback();
    must(address.as_ref().ok() == Some(&node_address(0)), format!("node address {address:?}"))?;
    let complete = settings.enabled
        && settings.prefixes.len() == 2
        && settings.client_interfaces.len() == 1
        && settings.mesh_interfaces.len() == 1;
    must(complete, format!("{settings:?}"))
}
