//! Visits that are a little longer than the overlap, with returns: what was drained goes while the
//! routing still changes.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, eventually, measure, must, say};
use crate::probe::{Flow, INTERVAL};
use crate::roam::served_by;
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
/// What is lost so long after a move has nothing to do with the move itself, but with the end of
/// the overlap.
const LATE: Duration = Duration::from_secs(8);
/// What is sent so soon before the next move may be on the air then.
const AIR: Duration = Duration::from_secs(1);
/// Clients that move one after the other: the routing daemons tell each other all they know now and
/// then, and each client meets another moment of that.
const CLIENTS: u8 = 4;

/// The node of the `turn`th visit: from end to end.
fn node(turn: u32) -> usize {
    if turn % 2 == 0 { 0 } else { 2 }
}

fn visits(routing: Routing) -> Outcome {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let clients: Vec<Client> = (1..=CLIENTS).map(|number| Client::new(&mut lab, number)).collect();
    let flow = |client: &Client| Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL * 4);
    let (mut flows, mut lost) = (Vec::new(), Vec::new());
    let mut moves: Vec<Vec<Duration>> = vec![Vec::new(); clients.len()];
    let visits = 20;
    for turn in 0..=visits {
        let began = sys::now();
        for (number, client) in clients.iter().enumerate() {
            let due = began + VISIT / u32::from(CLIENTS) * number as u32;
            std::thread::sleep(due.saturating_sub(sys::now()));
            moves[number].push(sys::now());
            client.roam(Some(node(turn)));
            client.ask_gateway(true);
            let here = eventually(Duration::from_secs(30), || served_by(&lab, client, true, node(turn)));
            must(here, format!("{} is never served at {}", client.mac, lab.nodes[node(turn)]))?;
            if turn == 0 {
                flows.push(flow(client));
            }
        }
        std::thread::sleep((began + VISIT).saturating_sub(sys::now()));
    }
    std::thread::sleep(VISIT);
    for (flow, moves) in flows.iter().zip(&moves) {
        // The first visit begins before there is traffic, and the last one has no move behind it.
        let ends = moves[1..].iter().skip(1).copied().chain([moves[moves.len() - 1] + VISIT]);
        for (moved, end) in moves[1..].iter().zip(ends) {
            let report = flow.report(*moved + LATE, end - AIR);
            must(report.sent > 0, "nothing was sent at the end of the overlap")?;
            lost.push(report.lost);
            if report.lost > 0 {
                let (sent, _, returned) = flow.numbers(*moved + LATE, end - AIR);
                let missing = sent.into_iter().filter(|number| !returned.contains(number));
                let after: Vec<u128> =
                    missing.filter_map(|number| Some((flow.sent_at(number)? - *moved).as_millis())).collect();
                let (first, last) = (after[0], after[after.len() - 1]);
                say(&format!("{} lost, {first} to {last} ms after a move", report.lost));
            }
        }
    }
    let affected = lost.iter().filter(|lost| **lost > 0).count();
    let all: usize = lost.iter().sum();
    measure(
        &format!("visits of {VISIT:.0?} with returns, {routing:?}"),
        format!("{all} packets lost at the end of the overlap of {affected} of {} visits", lost.len()),
    );
    must(all == 0, format!("{all} packets lost at the end of the overlap of {affected} visits"))
}
