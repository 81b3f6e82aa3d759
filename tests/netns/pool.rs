//! Runs each test in a process and namespaces of its own, several of them side by side.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use libtest_mimic::{Completion, Failed};

use crate::measure::{self, Verdict};
use crate::{Test, isolate};

/// Names the one test that a process runs.
const CHILD: &str = "L3ROAMD_NETNS_TEST";

/// Tests with bounds of milliseconds: nothing else may run meanwhile. All others wait for most of
/// their time.
const ALONE: &[&str] = &[
    "a_client_that_asks_for_its_gateway_is_handed_over",
    "an_ipv4_client_that_asks_for_its_gateway_is_handed_over",
    "no_packet_is_lost_in_a_roam_with_ideal_routing",
    "no_packet_of_an_ipv4_client_is_lost_in_a_roam",
    "a_thief_of_a_present_clients_mac_gets_little_and_keeps_nothing",
    "the_claim_goes_out_at_once_and_the_old_route_changes_at_once",
    "no_packet_is_lost_where_a_client_roams_every_300_ms",
    "ten_megabits_of_large_packets_survive_roams",
    "a_tcp_transfer_hardly_notices_roams",
    "a_hundred_megabits_go_by_the_kernel_when_the_overlap_is_over",
    "a_talking_client_gets_its_route_after_its_first_frame",
    "a_talking_ipv4_client_gets_its_route_after_its_first_frame",
    "a_talking_client_gets_its_route_where_the_client_interface_is_the_bridge",
    "a_silent_client_that_no_daemon_knows_is_found",
    "a_silent_ipv4_client_that_no_daemon_knows_is_found",
    "a_silent_client_is_reached_though_its_bridge_snoops",
    "a_silent_client_is_reached_though_the_client_interface_itself_snoops",
    "an_update_frame_hands_a_silent_client_over_with_all_its_addresses",
    "an_update_frame_makes_an_unknown_silent_client_known",
    "two_thousand_clients_announce_themselves",
    "a_thousand_clients_roam_at_once",
    "no_packet_is_lost_where_a_thousand_clients_roam_at_once",
    "five_hundred_silent_clients_cost_nothing",
    "ours_as_old_or_new_node_is_no_worse_than_two_c_daemons",
    "a_stopped_broker_delays_no_handover",
    "a_hundred_callers_and_a_deaf_subscriber_delay_no_handover",
    "five_thousand_clients_are_told_page_by_page_while_one_roams",
];

/// Tests that last for more than a minute. They begin first, so that no other has to wait for them
/// at the end.
const LASTING: &[&str] = &[
    "no_packet_is_lost_after_the_overlap_of_short_stays_where_bird_routes",
    "a_client_that_leaves_is_forgotten_everywhere",
    "the_demonstration_loses_no_packet_and_draws_what_happened",
];

/// Which tests one call of this program runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Those that measure.
    Alone,
    /// The others.
    Patient,
}

impl Share {
    /// Whether a test is in it.
    pub fn has(self, name: &str) -> bool {
        ALONE.contains(&name) == (self == Self::Alone)
    }
}

/// Where a test is in the order in which they begin.
pub fn turn(name: &str) -> usize {
    LASTING.iter().position(|lasting| *lasting == name).unwrap_or(LASTING.len())
}

/// In the process of one test: runs it, and says at the end what came of it. `None` elsewhere.
pub fn child(tests: &[Test]) -> Option<()> {
    let name = std::env::var(CHILD).ok()?;
    let test = tests.iter().find(|(known, ..)| *known == name);
    let verdict = match (test, isolate::isolate()) {
        (Some((name, _, test)), Ok(())) => measure::judge(name, *test),
        (_, Err(why)) => Verdict::Failed(why),
        (None, _) => Verdict::Failed(format!("there is no test {name}")),
    };
    println!("{}", verdict.line());
    Some(())
}

/// Runs a test in a process of its own. Its lines appear as they come if it is the only one, else
/// together at its end.
pub fn in_process(name: &'static str, alone: bool) -> Result<Completion, Failed> {
    let mut command = isolate::again()?;
    let mut child = command.env(CHILD, name).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let (mut lines, mut verdict) = (Vec::new(), None);
    if alone {
        println!();
    } else {
        lines.push(format!("== {name}"));
    }
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        let line = line?;
        verdict = verdict.or_else(|| Verdict::parse(&line));
        if verdict.is_some() {
            continue;
        }
        measure::note(&line);
        if alone {
            println!("{line}");
        } else {
            lines.push(line);
        }
    }
    if !alone {
        println!("{}", lines.join("\n"));
    }
    let status = child.wait()?;
    verdict
        .unwrap_or_else(|| Verdict::Failed(format!("the process of the test ended with {status}")))
        .completion()
}
