//! Meshes in which C daemons and ours serve the same clients.

use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, Trouble, bound, measure, must, percentile};
use crate::probe::Report;
use crate::roam::{Roams, roams};
use crate::{Needs, Test, long};

/// The tests of this file. The client moves between the ends, so each end is the old node and the new one in turn.
pub const TESTS: &[Test] = &[
    ("a_client_moves_between_a_c_daemon_and_ours", Needs::C, || mixed([Kind::C, Kind::Ours, Kind::Ours])),
    ("a_client_moves_between_ours_and_a_c_daemon", Needs::C, || mixed([Kind::Ours, Kind::C, Kind::C])),
    ("a_client_moves_between_ours_with_a_c_daemon_between", Needs::C, || {
        mixed([Kind::Ours, Kind::C, Kind::Ours])
    }),
    ("ours_as_old_or_new_node_is_no_worse_than_two_c_daemons", Needs::C, compared),
];

/// Roams between the ends of a mesh of these daemons, which all live on.
fn between(kinds: [Kind; 3], count: usize) -> Result<Roams, Trouble> {
    let mut lab = Lab::new(Plan::default());
    let daemons: Vec<Daemon> =
        kinds.iter().enumerate().map(|(node, kind)| Daemon::start(&lab, node, *kind)).collect();
    let client = Client::new(&mut lab, 1);
    let roams = roams(&lab, &client, true, count, Duration::from_secs(3))?;
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    measure(&format!("roam between the ends of {}", names.join(" - ")), roams.line());
    for (node, mut daemon) in daemons.into_iter().enumerate() {
        must(
            daemon.running(),
            format!("{} at {} ended:\n{}", names[node], lab.nodes[node], daemon.log_end()),
        )?;
    }
    Ok(roams)
}

fn mixed(kinds: [Kind; 3]) -> Outcome {
    let count = if long() { 20 } else { 8 };
    let roams = between(kinds, count)?;
    must(roams.handovers.len() == count, format!("handed over {} of {count}", roams.handovers.len()))
}

/// What some roams in one direction came to.
#[derive(Default)]
struct Direction {
    gaps: Vec<Duration>,
    lost: Vec<usize>,
}

impl Direction {
    fn take<'a>(&mut self, reports: impl Iterator<Item = &'a Report>) {
        for report in reports {
            self.gaps.push(report.gap);
            self.lost.push(report.lost);
        }
    }

    /// Probes lost in a hundred roams.
    fn lost_in_hundred(&self) -> usize {
        self.lost.iter().sum::<usize>() * 100 / self.lost.len().max(1)
    }

    fn line(&self) -> String {
        let ms = |percent| percentile(&self.gaps, percent).as_secs_f64() * 1e3;
        format!(
            "{} roams, lost {:.1} for each, worst {}; gap median {:.1} ms, 90th {:.1} ms, worst {:.1} ms",
            self.lost.len(),
            self.lost_in_hundred() as f64 / 100.0,
            percentile(&self.lost, 100),
            ms(50),
            ms(90),
            ms(100)
        )
    }

    /// Demands that it is no worse than `theirs`, but for what the machine does to both: a fifth, and a few scheduling delays.
    fn no_worse(&self, theirs: &Self, who: &str) -> Outcome {
        let (lost, their_lost) = (self.lost_in_hundred(), theirs.lost_in_hundred());
        bound(
            lost <= their_lost * 6 / 5 + 200,
            format!("{who}: {lost} probes lost in 100 roams, not {their_lost}"),
        )?;
        for percent in [50, 90] {
            let (gap, their_gap) = (percentile(&self.gaps, percent), percentile(&theirs.gaps, percent));
            bound(
                gap <= their_gap * 6 / 5 + Duration::from_millis(10),
                format!("{who}: {percent}th percentile of the gaps {gap:.1?}, not {their_gap:.1?}"),
            )?;
        }
        Ok(())
    }
}

/// In one run: two C daemons before and after, and between them one of ours, which is the new node and the old one in turn.
fn compared() -> Outcome {
    let turns = if long() { 20 } else { 6 };
    let (mut theirs, mut new, mut old) = (Direction::default(), Direction::default(), Direction::default());
    theirs.take(between([Kind::C; 3], turns)?.reports.iter());
    let roams = between([Kind::C, Kind::C, Kind::Ours], 2 * turns)?;
    new.take(roams.reports.iter().step_by(2));
    old.take(roams.reports.iter().skip(1).step_by(2));
    theirs.take(between([Kind::C; 3], turns)?.reports.iter());
    measure("from a C daemon to a C daemon", theirs.line());
    measure("from a C daemon to ours", new.line());
    measure("from ours to a C daemon", old.line());
    must(
        roams.handovers.len() == 2 * turns,
        format!("handed over {} of {}", roams.handovers.len(), 2 * turns),
    )?;
    new.no_worse(&theirs, "ours as the new node")?;
    old.no_worse(&theirs, "ours as the old node")
}
