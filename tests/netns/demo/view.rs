//! The live view: the panel of the terminal, or a line for each event where there is none; and who watches for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::demo::journal::Part;
use crate::demo::screen::{Line, Look};
use crate::demo::stage::{MIDDLE, Stage, milliseconds};
use crate::demo::traffic::SETTLED;
use crate::demo::way;
use crate::sys;
use crate::watch::{DRAINED, Event, SERVED, What};

/// The columns before those of the nodes, and of a node.
const MARGIN: usize = 11;
const COLUMN: usize = 15;
/// What "the last seconds" are.
const LATELY: Duration = Duration::from_secs(5);

fn cell(text: impl Into<String>, width: usize) -> String {
    format!("{:<width$}", text.into())
}

/// A line of the panel with something at each node.
fn row(stage: &Stage, title: &str, what: impl Fn(usize) -> (Look, String)) -> Line {
    let mut line = vec![(Look::Faint, cell(title, MARGIN))];
    line.extend((0..stage.lab.nodes.len()).map(|node| {
        let (look, text) = what(node);
        (look, cell(text, COLUMN))
    }));
    line
}

fn chain(stage: &Stage) -> Line {
    let last = stage.lab.nodes.len() - 1;
    let mut line = vec![(Look::Faint, cell("", MARGIN))];
    for (node, name) in stage.lab.nodes.iter().enumerate() {
        let rest =
            if node < last { format!(" {} ", "-".repeat(COLUMN - name.len() - 2)) } else { String::new() };
        line.extend([(Look::Strong, name.clone()), (Look::Faint, rest)]);
    }
    line
}

/// The names of the clients for which a node has a route of that kind.
fn routed(stage: &Stage, node: usize, what: What) -> String {
    let there = stage.guests.iter().filter(|guest| stage.lab.watch.has(node, what, guest.client.v6));
    there.map(|guest| guest.name).collect::<Vec<_>>().join(" ")
}

/// A client's line: where, lately, in all, the last handover.
fn numbers(stage: &Stage, index: usize) -> Line {
    let guest = &stage.guests[index];
    let now = sys::now().saturating_sub(SETTLED);
    let lately = guest.traffic.tally(now.saturating_sub(LATELY), now);
    let journal = stage.journal();
    let total = match journal.scenes.first() {
        Some(first) => guest.traffic.tally(first.from, now),
        None => lately,
    };
    let place = journal.place(index).map_or("-", |node| stage.lab.nodes[node].as_str());
    let handover = journal.last_handover(index).map_or("-".into(), milliseconds);
    let lost = |lost: usize| if lost == 0 { Look::Good } else { Look::Bad };
    vec![
        (Look::Client, cell(guest.name, MARGIN)),
        (Look::Strong, cell(place, 5)),
        (Look::Plain, cell(lately.sent.to_string(), 7)),
        (lost(lately.lost), cell(lately.lost.to_string(), 6)),
        (Look::Plain, cell(milliseconds(lately.gap), 11)),
        (Look::Plain, cell(total.sent.to_string(), 8)),
        (lost(total.lost), cell(total.lost.to_string(), 6)),
        (Look::Plain, cell(handover, 10)),
        (Look::Plain, way::told(stage, journal.way(index))),
    ]
}

/// The panel as it is now.
fn panel(stage: &Stage) -> Vec<Line> {
    let state = |node: usize, part: Part, out: &str| match stage.journal().is_out(node, part) {
        true => (Look::Bad, out.to_owned()),
        false => (Look::Good, "runs".to_owned()),
    };
    let mut lines = vec![
        vec![],
        row(stage, "", |node| (Look::Faint, if node == MIDDLE { "correspondent" } else { "" }.into())),
        chain(stage),
        row(stage, "serves", |node| (Look::Client, routed(stage, node, What::Route(SERVED)))),
        row(stage, "drains", |node| (Look::Faint, routed(stage, node, What::Route(DRAINED)))),
        row(stage, "l3roamd", |node| state(node, Part::Daemon, "KILLED")),
        row(stage, stage.routing, |node| state(node, Part::Routing, "STANDS STILL")),
        vec![],
        vec![(
            Look::Faint,
            format!(
                "{}at   last {} s: sent, lost, gap    all: sent, lost   handover  {} sends it",
                cell("", MARGIN),
                LATELY.as_secs(),
                stage.lab.nodes[MIDDLE]
            ),
        )],
    ];
    lines.extend((0..stage.guests.len()).map(|index| numbers(stage, index)));
    lines
}

/// Draws the panel again and again until told to stop.
pub fn show(stage: &Stage, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) && stage.screen.is_terminal() {
        stage.screen.panel(panel(stage));
        std::thread::sleep(Duration::from_millis(150));
    }
    stage.screen.panel(Vec::new());
}

fn told(stage: &Stage, event: &Event) -> Option<String> {
    let node = &stage.lab.nodes[event.node];
    let guest = stage.guests.iter().find(|guest| {
        event.address == guest.client.v6
            || event.address == guest.client.v4
            || event.address == guest.client.node_client()
    })?;
    let what = match (event.what, event.came) {
        (What::Route(SERVED), true) => "installs the host route of",
        (What::Route(SERVED), false) => "withdraws the host route of",
        (What::Route(DRAINED), true) => "drains the host route of",
        (What::Route(_), _) => "ends draining the host route of",
        (What::NodeClient, true) => "takes the node-client address of",
        (What::NodeClient, false) => "gives up the node-client address of",
    };
    Some(format!("  {node} {what} the {}, {}", guest.name, event.address))
}

/// Prints a line for each change at the nodes, until told to stop; on a terminal the panel has it.
pub fn narrate(stage: &Stage, stop: &AtomicBool) {
    let mut seen = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) && !stage.screen.is_terminal() {
        for event in stage.lab.watch.events(seen) {
            if let Some(text) = told(stage, &event) {
                stage.screen.print(&format!("{:7.2} s{text}", event.at.as_secs_f64()));
            }
            seen = event.at + Duration::from_nanos(1);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
