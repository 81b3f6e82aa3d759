//! Meshes in which C daemons and ours serve the same clients.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, measure, must};
use crate::roam::roams;
use crate::{Needs, Test, long};

/// The tests of this file. The client moves between the ends, so each end is the old node and the new one in turn.
pub const TESTS: &[Test] = &[
    ("a_client_moves_between_a_c_daemon_and_ours", Needs::C, || mixed([Kind::C, Kind::Ours, Kind::Ours])),
    ("a_client_moves_between_ours_and_a_c_daemon", Needs::C, || mixed([Kind::Ours, Kind::C, Kind::C])),
    ("a_client_moves_between_ours_with_a_c_daemon_between", Needs::C, || {
        mixed([Kind::Ours, Kind::C, Kind::Ours])
    }),
    ("c_daemons_among_themselves_for_comparison", Needs::C, among_themselves),
];

fn mixed(kinds: [Kind; 3]) -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons: Vec<Daemon> =
        kinds.iter().enumerate().map(|(node, kind)| Daemon::start(&lab, node, *kind)).collect();
    let client = Client::new(&mut lab, 1);
    let count = if long() { 20 } else { 8 };
    let roams = roams(&lab, &client, true, count, Duration::from_secs(3))?;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    measure(&format!("roam in a mixed mesh, {}", names.join(" - ")), roams.line());
    for (node, mut daemon) in daemons.into_iter().enumerate() {
        must(
            daemon.running(),
            format!("{} at {} ended:\n{}", names[node], lab.nodes[node], daemon.log_end()),
        )?;
    }
    must(roams.handovers.len() == count, format!("handed over {} of {count}", roams.handovers.len()))
}

/// Measured, not judged: the opponent.
fn among_themselves() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::C);
    let client = Client::new(&mut lab, 1);
    let roams = roams(&lab, &client, true, if long() { 20 } else { 6 }, Duration::from_secs(3))?;
    measure("roam, IPv6, client asks for its gateway, ideal routing, C daemon", roams.line());
    Ok(())
}
