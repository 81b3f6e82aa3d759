//! What counts as a sign of life: frames of a client do, the kernel's doubt about its neighbours
//! does not.
//!
//! A client that asks from its link-local address leaves an entry in the kernel's neighbour table
//! that no host route belongs to. Long after the client has left, the kernel asks for it (PROBE) or
//! ages it (STALE).

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::claims::Claims;
use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{
    CLIENT_PREFIX, CLIENT_PREFIX4, GATEWAY, GATEWAY_MAC, GATEWAY4, Lab, NODE_CLIENT_PREFIX, Plan, ip,
    ip_batch, node_address,
};
use crate::measure::{Outcome, SchedulingDelay, bound, eventually, measure, must, say, spread};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss, way};
use crate::roam::{attach, served_by};
use crate::routing::Routing;
use crate::watch::{Event, SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("no_node_that_was_left_claims_a_client_for_the_kernels_doubt", Needs::Nothing, || doubt(Routing::Ideal)),
    ("no_node_that_was_left_claims_a_client_for_the_kernels_doubt_where_bird_routes", Needs::Bird, || {
        doubt(Routing::Bird)
    }),
    ("the_kernels_doubt_moves_no_client_between_the_interfaces_of_a_node", Needs::Nothing, two_interfaces),
    ("a_client_that_roams_every_3_s_is_never_refused", Needs::Nothing, every_3_s),
];

/// Has the kernel of a node doubt its neighbours on an interface within seconds, not within half a
/// minute.
pub fn hasten_doubt(node: &str, interface: &str) {
    for family in ["ipv4", "ipv6"] {
        let settings = [("delay_first_probe_time", "1"), ("base_reachable_time_ms", "2000")];
        let settings =
            settings.map(|(name, value)| (format!("net/{family}/neigh/{interface}/{name}"), value));
        for (name, value) in &settings {
            sys::sysctl(node, &[(name, value)]);
        }
    }
}

/// The same at all nodes in the short form, which watches for seconds only.
pub fn hasten_doubt_in_short_form(lab: &Lab) {
    for node in lab.nodes.iter().filter(|_| !long()) {
        hasten_doubt(node, lab.client_interface());
    }
}

/// How often claims were refused by nodes, and claims of nodes were refused.
pub fn refusals(daemons: &[Daemon]) -> u64 {
    let counters = ["claim_refused", "info_refused"];
    let count = |daemon: &Daemon| counters.iter().filter_map(|name| daemon.counter(name)).sum::<u64>();
    daemons.iter().map(count).sum()
}

/// What a node did after a client had left it.
#[derive(Default, Debug)]
pub struct Returns {
    /// CLAIMs of its own.
    pub claims: usize,
    /// Host routes of the client that came again.
    pub routes: usize,
}

impl Returns {
    /// Adds what `node` did for the client since it left.
    pub fn add(&mut self, lab: &Lab, claims: &Claims, client: &Client, node: usize, left: Duration) {
        let own = claims.by(left, node, client.mac);
        let is_route = |event: &&Event| {
            let theirs = [client.address(true), client.address(false)].contains(&event.address);
            event.came && event.node == node && event.what == What::Route(SERVED) && theirs
        };
        let events = lab.watch.events(left);
        let routes: Vec<&Event> = events.iter().filter(is_route).collect();
        let after = |at: Duration| format!("{:.2} s", at.saturating_sub(left).as_secs_f64());
        if let Some(first) = own.first() {
            say(&format!("{} claims {} {} after it left", lab.nodes[node], client.mac, after(*first)));
        }
        if let Some(first) = routes.first() {
            let address = first.address;
            say(&format!("{} routes {address} again {} after it left", lab.nodes[node], after(first.at)));
        }
        self.claims += own.len();
        self.routes += routes.len();
    }

    /// Demands that there was nothing.
    pub fn judge(&self) -> Outcome {
        must(self.claims == 0, format!("nodes that were left sent {} claims", self.claims))?;
        must(self.routes == 0, format!("nodes that were left had {} routes again", self.routes))
    }
}

/// Whether the kernel of a node has a neighbour entry for the client's link-local address.
pub fn knows_link_local(lab: &Lab, node: usize, interface: &str, client: &Client) -> bool {
    let show = format!("-6 neigh show {} dev {interface}", client.mac.link_local());
    ip(&lab.nodes[node], &show).contains(&client.mac.to_string())
}

/// The client asks its gateway from its link-local address until the node's kernel has an entry for
/// that, and not one that was there before: the kernel asks for a new entry after its first delay.
pub fn ask_from_link_local(lab: &Lab, node: usize, interface: &str, client: &Client) -> Outcome {
    if knows_link_local(lab, node, interface, client) {
        ip(&lab.nodes[node], &format!("-6 neigh del {} dev {interface}", client.mac.link_local()));
    }
    let known = eventually(Duration::from_secs(30), || {
        client.ask_gateway_from(client.mac.link_local());
        std::thread::sleep(Duration::from_millis(20));
        knows_link_local(lab, node, interface, client)
    });
    must(known, "the kernel has no neighbour entry for the link-local address")
}

/// Clients leave in every state of the kernel's entry: just asked for, being probed, confirmed,
/// aged.
fn doubt(routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    hasten_doubt_in_short_form(&lab);
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let stays: &[u64] =
        if long() { &[100, 4000, 6000, 20_000, 50_000] } else { &[100, 500, 1500, 1900, 4000] };
    let (rounds, watched) = if long() { (4, Duration::from_secs(60)) } else { (2, Duration::from_secs(6)) };
    let clients: Vec<Client> = (1..=stays.len() as u8).map(|number| Client::new(&mut lab, number)).collect();
    for client in &clients {
        attach(&lab, client, true, 0)?;
    }
    // Until nobody repeats a claim any more.
    std::thread::sleep(Duration::from_secs(3));
    let claims = Claims::watch(&lab);
    let before = refusals(&daemons);
    let (mut returns, mut entries) = (Returns::default(), false);
    for round in 0..rounds {
        let (from, to) = if round % 2 == 0 { (0, 2) } else { (2, 0) };
        for client in &clients {
            ask_from_link_local(&lab, from, lab.client_interface(), client)?;
        }
        let asked = sys::now();
        let mut left = Vec::new();
        for (client, stay) in clients.iter().zip(stays) {
            std::thread::sleep((asked + Duration::from_millis(*stay)).saturating_sub(sys::now()));
            left.push(sys::now());
            client.roam(Some(to));
            client.ask_gateway(true);
            let here = eventually(Duration::from_secs(30), || served_by(&lab, client, true, to));
            must(here, format!("client {} is never served at {}", client.mac, lab.nodes[to]))?;
        }
        let forgotten =
            || clients.iter().all(|client| !knows_link_local(&lab, from, lab.client_interface(), client));
        entries |= !eventually(Duration::from_secs(10), forgotten);
        std::thread::sleep(watched);
        for (client, left) in clients.iter().zip(left) {
            returns.add(&lab, &claims, client, from, left);
        }
    }
    let refused = refusals(&daemons) - before;
    measure(
        &format!("asked from a link-local address, left, watched for {watched:.0?}, {routing:?}"),
        format!("{} roams; by nodes that were left: {returns:?}; {refused} refusals", rounds * stays.len()),
    );
    returns.judge()?;
    must(refused == 0, format!("{refused} claims were refused"))?;
    must(!entries, "the kernel of a node that was left keeps an entry for a link-local address")?;
    let last = if rounds % 2 == 0 { 0 } else { 2 };
    must(
        clients.iter().all(|client| served_by(&lab, client, true, last)),
        "a client is not served where it is",
    )
}

/// A host that is no client.
const HOST: &str = "host";
/// Where the second client interface of the first node is in the air.
const SECOND_AIR: &str = "air-second";

/// Two client interfaces without a bridge at the first node: its port, and one more.
fn build_two_interfaces(lab: &Lab) {
    let node = &lab.nodes[0];
    ip(node, "link set ap0 nomaster");
    ip(node, "link del local-node");
    ip(node, "link add ap1 type veth peer name up-second netns air");
    for interface in ["ap0", "ap1"] {
        ip_batch(
            node,
            &format!(
                "link set {interface} address {GATEWAY_MAC}\nlink set {interface} up\n\
                 addr add {GATEWAY}/128 dev {interface} nodad\naddr add {GATEWAY4}/32 dev {interface}\n"
            ),
        );
        if !long() {
            hasten_doubt(node, interface);
        }
    }
    ip_batch(
        "air",
        &format!(
            "link add {SECOND_AIR} type bridge mcast_snooping 0\nlink set {SECOND_AIR} up\n\
             link set up-second master {SECOND_AIR} up\n"
        ),
    );
}

/// The daemon of the first node, on its two interfaces.
fn start_without_bridge(lab: &Lab) -> Daemon {
    let mut words = vec!["-s".to_owned(), lab.run.join("a.sock").display().to_string()];
    for (option, value) in [
        ("-p", CLIENT_PREFIX),
        ("-p", CLIENT_PREFIX4),
        ("-i", "ap0"),
        ("-i", "ap1"),
        ("-a", &node_address(0).to_string()),
        ("-P", NODE_CLIENT_PREFIX),
        ("-t", "254"),
        ("-D", "l3roam0"),
        ("-m", "mesh0"),
    ] {
        words.extend([option.to_owned(), value.to_owned()]);
    }
    Daemon::start_with(lab, 0, words)
}

fn two_interfaces() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    build_two_interfaces(&lab);
    let _first = start_without_bridge(&lab);
    let _others = [1, 2].map(|node| Daemon::start(&lab, node, Kind::Ours));
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL * 2);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let routed = |interface: &str| {
        let routes = ip(&lab.nodes[0], &format!("-6 route show {} proto {SERVED}", client.v6));
        routes.contains(&format!("dev {interface} "))
    };
    let (moves, watched) = if long() { (8, Duration::from_secs(30)) } else { (3, Duration::from_secs(6)) };
    let (mut strays, mut lost) = (0, Vec::new());
    for turn in 0..moves {
        let (from, to) = if turn % 2 == 0 { ("ap0", "ap1") } else { ("ap1", "ap0") };
        ask_from_link_local(&lab, 0, from, &client)?;
        std::thread::sleep(Duration::from_millis(200));
        let air = if to == "ap1" { SECOND_AIR } else { "air-a" };
        ip("air", &format!("link set sta1 master {air}"));
        client.ask_gateway(true);
        must(eventually(Duration::from_secs(30), || routed(to)), format!("never routed to {to}"))?;
        let here = sys::now();
        while sys::now() < here + watched {
            std::thread::sleep(Duration::from_millis(50));
            if !routed(to) {
                strays += 1;
            }
        }
        lost.push(flow.report(here, sys::now().saturating_sub(Duration::from_secs(1))).lost);
    }
    measure(
        "moves between two interfaces of a node",
        format!("{moves} moves; lost after the route had moved {lost:?}; {strays} times not routed there"),
    );
    must(strays == 0, "the route went back to an interface that the client had left")?;
    must(lost.iter().sum::<usize>() == 0, format!("{lost:?} packets lost"))
}

/// A host at the second node that no daemon has to do with. Its address.
fn add_host(lab: &mut Lab) -> Ipv6Addr {
    lab.add_namespace(HOST);
    ip_batch(
        &lab.nodes[1],
        &format!(
            "link add lan1 type veth peer name eth0 netns {HOST}\nlink set lan1 up\n\
             addr add 2001:db8:d::1/64 dev lan1 nodad\n"
        ),
    );
    ip_batch(
        HOST,
        "link set eth0 up\naddr add 2001:db8:d::2/64 dev eth0 nodad\nroute add default via 2001:db8:d::1\n",
    );
    Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 2)
}

/// A stay is shorter than the time after which a kernel asks for the entry of the one before. The
/// pause that a roam adds is measured beside that of a flow to a host that stays.
fn every_3_s() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let host = add_host(&mut lab);
    attach(&lab, &client, true, 0)?;
    std::thread::sleep(Duration::from_secs(2));
    let [flow, idle] = [(client.v6, client.namespace.as_str()), (host, HOST)].map(|(address, echo)| {
        let flow = Flow::start(address.into(), Some(echo), INTERVAL);
        let flows = eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some());
        flows.then_some(flow)
    });
    let (Some(flow), Some(idle)) = (flow, idle) else { return must(false, "no traffic") };
    let air = Air::watch(&lab);
    std::thread::sleep(Duration::from_millis(300));
    let (start, before) = (sys::now(), refusals(&daemons));
    let (mut gaps, mut moves, delay) = (Vec::new(), Vec::new(), SchedulingDelay::start());
    for node in way(if long() { 40 } else { 6 }) {
        let moved = sys::now();
        // A kernel with much to do takes 100 ms to move the port, which is no daemon's doing.
        let there = client.roam(Some(node));
        client.ask_gateway_from(client.mac.link_local());
        client.ask_gateway(true);
        let here = eventually(Duration::from_secs(30), || served_by(&lab, &client, true, node));
        must(here, format!("never served at {} alone", lab.nodes[node]))?;
        std::thread::sleep((moved + Duration::from_secs(3)).saturating_sub(sys::now()));
        moves.push(moved);
        let until = sys::now().saturating_sub(Duration::from_millis(100));
        gaps.push(flow.report(there, until).gap);
    }
    let (end, delay) = (sys::now(), delay.stop());
    std::thread::sleep(Duration::from_secs(1));
    let pause = idle.report(start, end).gap;
    let loss = Loss { gaps: gaps.clone(), ..Loss::count(&flow, start, end, &moves, &air.stop()) };
    let refused = refusals(&daemons) - before;
    loss.tell("a roam each 3 s with questions from the link-local address");
    measure(
        "a roam each 3 s",
        format!(
            "gap {}; pause of an idle flow {pause:.1?}; scheduling delay {delay:.1?}; {refused} refusals",
            spread(&gaps)
        ),
    );
    must(refused == 0, format!("{refused} claims were refused"))?;
    must(loss.lost_down + loss.lost_up == 0, format!("{} packets lost", loss.lost_down + loss.lost_up))?;
    let worst = gaps.iter().max().copied().unwrap_or_default();
    let limit = pause.max(delay).max(INTERVAL) * 3 + INTERVAL;
    bound(worst <= limit, format!("a gap of {worst:.1?} where an idle flow pauses {pause:.1?}"))
}
