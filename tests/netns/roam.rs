//! Handover: a client moves from node to node and nobody notices.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must, percentile, spread};
use crate::probe::{Flow, INTERVAL, Report};
use crate::routing::Routing;
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_client_that_asks_for_its_gateway_is_handed_over", Needs::Nothing, || ideal(true)),
    ("an_ipv4_client_that_asks_for_its_gateway_is_handed_over", Needs::Nothing, || ideal(false)),
    ("a_client_that_moves_on_at_once_is_served_where_it_is", Needs::Nothing, moves_on_at_once),
    ("a_client_is_handed_over_where_bird_routes", Needs::LongBird, || routed(Routing::Bird)),
    ("bird_alone_moves_a_host_route_within_seconds", Needs::LongBird, routing_alone),
    ("a_client_is_handed_over_where_babeld_routes", Needs::Babeld, || routed(Routing::Babeld)),
];

/// What some roams came to.
#[derive(Default)]
pub struct Roams {
    /// How many were asked for.
    pub total: usize,
    /// How long after the question the new node alone served the client, for each that was handed over.
    pub handovers: Vec<Duration>,
    /// What happened to the probes of each.
    pub reports: Vec<Report>,
}

impl Roams {
    /// One line for people.
    pub fn line(&self) -> String {
        let gaps: Vec<Duration> = self.reports.iter().map(|report| report.gap).collect();
        let lost: Vec<usize> = self.reports.iter().map(|report| report.lost).collect();
        let down: usize = self.reports.iter().map(|report| report.lost_down).sum();
        let refused = self.reports.last().map_or(0, |report| report.refused);
        format!(
            "{} of {} handed over ({}); gap {}; lost median {}, worst {}, in all {} ({down} of them on the way to the client); {refused} ICMP errors",
            self.handovers.len(),
            self.total,
            spread(&self.handovers),
            spread(&gaps),
            percentile(&lost, 50),
            percentile(&lost, 100),
            lost.iter().sum::<usize>(),
        )
    }
}

/// Whether `node` serves the client and no other node does.
pub fn served_by(lab: &Lab, client: &Client, v6: bool, node: usize) -> bool {
    let address = client.address(v6);
    (0..lab.nodes.len()).all(|other| {
        lab.watch.has(other, What::Route(SERVED), address) == (other == node)
            && lab.watch.has(other, What::NodeClient, client.node_client()) == (other == node)
    })
}

/// Later than that a client is served only after a dispute.
pub const PROMPT: Duration = Duration::from_secs(3);

/// Attaches the client to a node and waits until it is served there.
pub fn attach(lab: &Lab, client: &Client, v6: bool, node: usize) -> Outcome {
    client.roam(Some(node));
    client.ask_gateway(v6);
    let served = eventually(LIMIT, || served_by(lab, client, v6, node));
    must(served, format!("the client is never served at {}", lab.nodes[node]))
}

/// Moves the client between the ends of the chain, `count` times, probing all the while.
pub fn roams(
    lab: &Lab,
    client: &Client,
    v6: bool,
    count: usize,
    patience: Duration,
) -> Result<Roams, crate::measure::Trouble> {
    let last = lab.nodes.len() - 1;
    attach(lab, client, v6, 0)?;
    let flow = Flow::start(client.address(v6), Some(&client.namespace), INTERVAL);
    let flows = eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some());
    must(flows, "no probe comes back before the first roam")?;
    let mut result = Roams { total: count, ..Roams::default() };
    for turn in 0..count {
        std::thread::sleep(Duration::from_millis(400));
        let node = if turn % 2 == 0 { last } else { 0 };
        // A client stays for a while: the next node has heard where it is.
        lab.await_mesh_route(node, client.node_client().into());
        let start = sys::now();
        client.roam(Some(node));
        let asked = sys::now();
        client.ask_gateway(v6);
        if eventually(patience, || served_by(lab, client, v6, node)) {
            result.handovers.push(sys::now() - asked);
        }
        let recovered = eventually(patience, || flow.first_return(asked).is_some());
        std::thread::sleep(Duration::from_millis(if recovered { 300 } else { 0 }));
        let end = sys::now().saturating_sub(Duration::from_millis(100));
        result.reports.push(flow.report(start.saturating_sub(Duration::from_millis(50)), end));
    }
    Ok(result)
}

fn ideal(v6: bool) -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let count = if long() { 20 } else { 10 };
    let roams = roams(&lab, &client, v6, count, LIMIT)?;
    let family = if v6 { "IPv6" } else { "IPv4" };
    measure(&format!("roam, {family}, client asks for its gateway, ideal routing"), roams.line());
    must(roams.handovers.len() == count, format!("handed over {} of {count}", roams.handovers.len()))?;
    let gaps: Vec<Duration> = roams.reports.iter().map(|report| report.gap).collect();
    let lost: Vec<usize> = roams.reports.iter().map(|report| report.lost).collect();
    bound(percentile(&gaps, 50) <= Duration::from_millis(10), "median gap beyond 10 ms")?;
    bound(percentile(&gaps, 100) <= Duration::from_millis(50), "longest gap beyond 50 ms")?;
    bound(percentile(&lost, 50) <= 1, "median loss beyond 1 probe")?;
    bound(percentile(&roams.handovers, 100) <= PROMPT, "a handover took longer than 3 s")
}

/// Clients that are new to the mesh and leave their first node before it has settled that nobody else had them.
fn moves_on_at_once() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let last = lab.nodes.len() - 1;
    // In milliseconds; a claim tells the age of what it knows in whole ones.
    let stays = [5, 5, 8, 8, 13, 13, 21, 34, 55, 100, 200, 290, 350, 600, 950, 1050];
    let clients: Vec<Client> = (1..=stays.len() as u8).map(|number| Client::new(&mut lab, number)).collect();
    let (mut handovers, mut failed) = (Vec::new(), Vec::new());
    for (client, stay) in clients.iter().zip(stays) {
        client.roam(Some(0));
        client.ask_gateway(true);
        let here = eventually(LIMIT, || lab.watch.has(0, What::Route(SERVED), client.v6));
        must(here, "the client has no route at its first node")?;
        std::thread::sleep(Duration::from_millis(stay));
        client.roam(Some(last));
        let asked = sys::now();
        client.ask_gateway(true);
        if eventually(LIMIT, || served_by(&lab, client, true, last)) {
            handovers.push(sys::now() - asked);
        }
    }
    // An old claim that is repeated late must not take a client back.
    std::thread::sleep(Duration::from_secs(3));
    for (client, stay) in clients.iter().zip(stays) {
        if !served_by(&lab, client, true, last) {
            failed.push(stay);
        }
    }
    measure(
        "clients move on before their first claim is settled",
        format!(
            "{} of {} served at the new node ({}); wrong in the end after a stay of {failed:?} ms",
            handovers.len(),
            stays.len(),
            spread(&handovers)
        ),
    );
    must(failed.is_empty(), format!("wrong in the end after a stay of {failed:?} ms"))?;
    must(handovers.len() == stays.len(), "not all were served")
}

fn routed(routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let count = if long() { 20 } else { 6 };
    let roams = roams(&lab, &client, true, count, LIMIT)?;
    measure(&format!("roam, client asks for its gateway, {routing:?}"), roams.line());
    must(roams.handovers.len() == count, format!("handed over {} of {count}", roams.handovers.len()))?;
    let worst = roams.reports.iter().map(|report| report.gap).max().unwrap_or_default();
    bound(
        routing != Routing::Bird || worst <= Duration::from_secs(5),
        "traffic recovers later than after 5 s",
    )
}

/// What the routing daemon does by itself, no daemon of ours: the new node adds the route, the old one deletes it.
fn routing_alone() -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    let client = Client::new(&mut lab, 1);
    let last = lab.nodes.len() - 1;
    let route = format!("{}/128 dev {} proto 158 metric 16", client.v6, lab.client_interface());
    ip(&lab.nodes[0], &format!("-6 route add {route}"));
    client.roam(Some(0));
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let mut gaps = Vec::new();
    for turn in 0..if long() { 6 } else { 2 } {
        std::thread::sleep(Duration::from_secs(3));
        let (old, new) = if turn % 2 == 0 { (0, last) } else { (last, 0) };
        let start = sys::now();
        client.roam(Some(new));
        ip(&lab.nodes[new], &format!("-6 route add {route}"));
        ip(&lab.nodes[old], &format!("-6 route del {route}"));
        eventually(Duration::from_secs(20), || {
            flow.first_return(start + Duration::from_millis(20)).is_some()
        });
        gaps.push(flow.report(start, sys::now()).gap);
    }
    measure("a plain host route moves, bird alone: gap", spread(&gaps));
    bound(percentile(&gaps, 100) <= Duration::from_secs(5), "bird needs more than 5 s")
}
