//! Visits that are a little longer than the overlap, with returns: what was drained goes while the routing still changes.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss, way};
use crate::roam::{attach, served_by};
use crate::routing::Routing;
use crate::{Needs, Test, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    (
        "no_packet_is_lost_at_the_end_of_the_overlap_of_visits_with_returns_where_babeld_routes",
        Needs::LongBabeld,
        || visits(Routing::Babeld),
    ),
    (
        "no_packet_is_lost_at_the_end_of_the_overlap_of_visits_with_returns_where_bird_routes",
        Needs::LongBird,
        || visits(Routing::Bird),
    ),
];

/// Twice the overlap: the route is drained for the first half of a visit.
const VISIT: Duration = Duration::from_secs(20);

fn visits(routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    lab.await_mesh_route(1, client.v6.into());
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL * 2);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(VISIT);
    let air = Air::watch(&lab);
    std::thread::sleep(Duration::from_millis(300));
    let start = sys::now();
    let mut moves = Vec::new();
    for node in way(20) {
        moves.push(sys::now());
        client.roam(Some(node));
        client.ask_gateway(true);
        let here = eventually(Duration::from_secs(30), || served_by(&lab, &client, true, node));
        must(here, format!("the client is never served at {}", lab.nodes[node]))?;
        std::thread::sleep(VISIT);
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    let loss = Loss::count(&flow, start, end, &moves, &air.stop());
    loss.tell(&format!("20 visits of 20 s, {routing:?}"));
    let lost_late: Vec<usize> =
        moves.iter().map(|moved| flow.report(*moved + VISIT * 2 / 5, *moved + VISIT).lost).collect();
    measure(&format!("lost later than 8 s after the move, {routing:?}"), format!("{lost_late:?}"));
    must(
        lost_late.iter().sum::<usize>() == 0,
        format!("{lost_late:?} packets lost at the end of the overlap"),
    )?;
    must(loss.lost_down + loss.lost_up == 0, format!("{} packets lost", loss.lost_down + loss.lost_up))
}
