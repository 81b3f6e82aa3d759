//! Handover without loss, further cases: other routing daemons, a prefix beside the hosts, a minute without routing, roams
//! without a pause, a whole crowd.

use std::net::UdpSocket;
use std::time::Duration;

use crate::client::Client;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::journey::{moments, travel};
use crate::lab::{CORRESPONDENT, Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must, percentile, spread};
use crate::probe::{Flow, INTERVAL, PORT};
use crate::relay::{Air, way};
use crate::roam::attach;
use crate::routing::{BESIDE, Routing};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("the_claim_goes_out_at_once_and_the_old_route_changes_at_once", Needs::Nothing, prompt),
    ("no_packet_is_lost_in_a_roam_where_babeld_routes", Needs::LongBabeld, || routed(Routing::Babeld, false)),
    ("no_packet_is_lost_in_a_roam_where_bird_routes_with_a_prefix_beside", Needs::Bird, || {
        routed(Routing::Bird, true)
    }),
    ("no_packet_is_lost_in_a_roam_where_babeld_routes_with_a_prefix_beside", Needs::AnyBabeld, || {
        routed(Routing::Babeld, true)
    }),
    ("no_packet_is_lost_while_the_routing_daemons_stand_still_for_a_minute", Needs::LongBird, minute),
    ("no_packet_is_lost_where_a_client_roams_every_300_ms", Needs::Nothing, ping_pong),
    ("no_packet_is_lost_after_the_overlap_of_short_stays_where_bird_routes", Needs::Bird, || {
        short_stays(Routing::Bird)
    }),
    ("no_packet_is_lost_after_the_overlap_of_short_stays_where_babeld_routes", Needs::LongBabeld, || {
        short_stays(Routing::Babeld)
    }),
    ("no_packet_is_lost_where_a_thousand_clients_roam_at_once", Needs::Nothing, crowd_roams),
];

/// How long a client stays before it roams again.
const STAY: Duration = Duration::from_millis(500);

fn prompt() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let count = if long() { 100 } else { 20 };
    let moments = moments(&lab, &client, count)?;
    measure("from the event at the new node to its CLAIM", spread(&moments.claims));
    measure("from the CLAIM at the old node to the change of its route", spread(&moments.changes));
    must(moments.claims.len() == count, "not every handover began with a CLAIM")?;
    must(moments.changes.len() == count, "not every old route changed")?;
    must(moments.marked, "a CLAIM was not marked as network control")?;
    let ms = |times: &[Duration], percent| percentile(times, percent).as_secs_f64() * 1e3;
    bound(ms(&moments.claims, 50) <= 1.0, "median from the event to the CLAIM beyond 1 ms")?;
    bound(ms(&moments.claims, 95) <= 3.0, "95th percentile from the event to the CLAIM beyond 3 ms")?;
    bound(ms(&moments.changes, 95) <= 1.0, "the old node's route changes later than 1 ms after the CLAIM")
}

/// With `beside`, every node but the correspondent's exports a prefix, too.
fn routed(routing: Routing, beside: bool) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    if beside {
        for node in [0, 2] {
            let interface = lab.client_interface();
            ip(&lab.nodes[node], &format!("-6 route add {BESIDE} dev {interface} proto static"));
        }
    }
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let journey = travel(&lab, &client, &way(if long() { 100 } else { 6 }), STAY)?;
    journey.tell(&format!("roams, {routing:?}{}", if beside { ", a /64 beside" } else { "" }));
    for daemon in &mut daemons {
        must(daemon.running(), format!("a daemon ended:\n{}", daemon.log_end()))?;
    }
    journey.judge(Duration::from_millis(25))
}

/// A client between two access points: honest roams are never slowed, however many there are, and none is taken for a dispute.
fn ping_pong() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    // A roam is followed for 200 ms at least.
    let journey = travel(&lab, &client, &way(if long() { 200 } else { 40 }), Duration::from_millis(90))?;
    journey.tell("roams every 300 ms");
    let disputes: u64 = daemons.iter().filter_map(|daemon| daemon.counter("claim_refused")).sum();
    must(disputes == 0, format!("{disputes} claims refused"))?;
    journey.judge(Duration::from_millis(20))?;
    bound(
        percentile(&journey.handovers, 99) <= Duration::from_millis(20),
        "a handover took longer than 20 ms",
    )
}

/// Each stay is longer than the overlap, so that nothing is left but what the former nodes remember.
fn minute() -> Outcome {
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    lab.await_mesh_route(1, client.v6.into());
    lab.await_mesh_route(2, client.node_client().into());
    std::thread::sleep(Duration::from_secs(3));
    lab.signal_routing(libc::SIGSTOP);
    let journey = travel(&lab, &client, &[2, 0, 1, 2, 0], Duration::from_secs(12));
    lab.signal_routing(libc::SIGCONT);
    let journey = journey?;
    journey.tell("roams in a minute in which the routing daemons stand still");
    journey.judge(Duration::from_millis(25))
}

/// Clients walk on before the nodes that they come by have done with them: some from their second node, the correspondent's, after 4 s,
/// others by two nodes for a second each. When a node has done with them, what it heard of the former ones must not be what its routing
/// goes by. The routing daemons tell each other all they know now and then: the clients walk at different moments of that.
fn short_stays(routing: Routing) -> Outcome {
    let (second, overlap) = (Duration::from_secs(1), Duration::from_secs(10));
    let mut lab = Lab::new(Plan { nodes: 4, routing, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let clients: Vec<Client> = (1..=6).map(|number| Client::new(&mut lab, number)).collect();
    for client in &clients {
        attach(&lab, client, true, 0)?;
    }
    let flow = |client: &Client| Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL * 4);
    let flows: Vec<Flow> = clients.iter().map(flow).collect();
    std::thread::sleep(Duration::from_secs(3));
    let mut arrived = Vec::new();
    for pair in clients.chunks(2) {
        attach(&lab, &pair[0], true, 1)?;
        for node in [1, 2, 3] {
            attach(&lab, &pair[1], true, node)?;
            std::thread::sleep(second);
        }
        let there = sys::now();
        std::thread::sleep(second);
        attach(&lab, &pair[0], true, 2)?;
        std::thread::sleep(second);
        arrived.extend([sys::now(), there]);
    }
    // The drained route of the last node but one goes first, the others' one after the other.
    std::thread::sleep(overlap * 2 + second * 2);
    let until = sys::now();
    std::thread::sleep(Duration::from_millis(300));
    let mut lost = Vec::new();
    for (flow, arrived) in flows.iter().zip(arrived) {
        must(flow.report(arrived + overlap - second, until).sent > 0, "nothing was sent after the overlap")?;
        lost.push(flow.report(arrived, until).lost);
    }
    measure(
        &format!("after stays of 4 s and of two times 1 s by turns, {routing:?}: lost"),
        format!("{lost:?}"),
    );
    must(lost.iter().sum::<usize>() == 0, format!("{lost:?} packets lost"))
}

/// A thousand clients roam while packets come for a hundred of them: each is put on a client port.
fn crowd_roams() -> Outcome {
    let (count, spoken_to): (u32, u32) = (1000, 100);
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let crowd = Crowd::new(&mut lab, count);
    crowd.roam(Some(0));
    std::thread::sleep(Duration::from_millis(500));
    crowd.ask_gateway_each(0..count, 500);
    let at = |node: usize| lab.watch.count(node, What::Route(SERVED));
    let all = count as usize;
    must(eventually(LIMIT, || at(0) == all), format!("{} of {count} learned", at(0)))?;
    std::thread::sleep(Duration::from_secs(2));
    let air = Air::watch(&lab);
    std::thread::sleep(Duration::from_millis(200));
    let socket = sys::inside(CORRESPONDENT, || UdpSocket::bind("[::]:0")).expect("bind the correspondent");
    let roaming = std::sync::atomic::AtomicBool::new(true);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut number: u32 = 0;
            while roaming.load(std::sync::atomic::Ordering::Relaxed) {
                let to = (crowd::v6(number % spoken_to * (count / spoken_to)), PORT);
                if socket.send_to(&number.to_be_bytes(), to).is_ok() {
                    number += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            number
        });
        std::thread::sleep(Duration::from_secs(1));
        crowd.roam(Some(2));
        crowd.ask_gateway_each(0..count, 20_000);
        eventually(LIMIT, || at(2) == all && at(0) == 0);
        std::thread::sleep(Duration::from_secs(2));
        roaming.store(false, std::sync::atomic::Ordering::Relaxed);
        sender.join().unwrap_or_default()
    });
    must(at(2) == all && at(0) == 0, "not all clients moved")?;
    std::thread::sleep(Duration::from_secs(2));
    let seen = air.stop();
    let lost: Vec<u32> = (0..sent).filter(|number| !seen.to_clients.contains(number)).collect();
    measure(
        &format!("{count} clients roam, packets come for {spoken_to}"),
        format!("{sent} sent, {} lost", lost.len()),
    );
    must(lost.is_empty(), format!("{} packets lost: {lost:?}", lost.len()))
}
