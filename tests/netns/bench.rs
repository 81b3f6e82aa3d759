//! What `tests/bench` prints: the key numbers of a handover, beside those of the C daemon where there is one. It judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Client;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{SchedulingDelay, Trouble, eventually, must, percentile};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss, way};
use crate::roam::{attach, served_by};
use crate::routing::Routing;
use crate::throughput::{self, Queue, Stream, shape, transfer};
use crate::watch::{SERVED, What};
use crate::{Needs, sys};

/// Values of a table, by their names.
type Values = Vec<(&'static str, String)>;

/// A part of the table: its name, what it needs, what it measures.
type Part = (&'static str, Needs, fn(Kind) -> Result<Values, Trouble>);

const PARTS: &[Part] = &[
    ("attach", Needs::Nothing, attaching),
    ("roam, ideal routing", Needs::Nothing, |kind| roams(kind, Routing::Ideal, true, 20)),
    ("roam, IPv4, ideal routing", Needs::Nothing, |kind| roams(kind, Routing::Ideal, false, 5)),
    ("roam, bird2", Needs::Bird, |kind| roams(kind, Routing::Bird, true, 5)),
    ("relay while the routing stands still", Needs::Bird, relay),
    ("TCP, links of 50 Mbit/s, 6 roams", Needs::Shaping, tcp),
    ("500 clients roam at once", Needs::Nothing, crowd),
];

/// How long a roam may take before the next one begins.
const PATIENCE: Duration = Duration::from_secs(4);

/// Measures everything and prints the table.
pub fn run() {
    let start = sys::now();
    let delay = SchedulingDelay::start();
    let mut lines = Vec::new();
    for (part, needs, measure) in PARTS {
        eprintln!("{:6.1} s  {part}", (sys::now() - start).as_secs_f64());
        let columns = [Kind::Ours, Kind::C].map(|kind| column(kind, *needs, *measure));
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in columns.iter().flatten() {
            if !names.contains(name) {
                names.push(name);
            }
        }
        // Why a column is empty stands in its first line.
        names.sort_by_key(|name| name.is_empty());
        let cells = columns.map(|column| column.into_iter().collect::<BTreeMap<_, _>>());
        for (number, name) in names.iter().filter(|name| !name.is_empty()).enumerate() {
            let cell = |cells: &BTreeMap<&str, String>| {
                let why = cells.get("").filter(|_| number == 0);
                cells.get(name).or(why).cloned().unwrap_or_else(|| "-".into())
            };
            lines.push(format!("| {part} | {name} | {} | {} |", cell(&cells[0]), cell(&cells[1])));
        }
        if names.iter().all(|name| name.is_empty()) {
            let why = |cells: &BTreeMap<&str, String>| cells.get("").cloned().unwrap_or_default();
            lines.push(format!("| {part} | - | {} | {} |", why(&cells[0]), why(&cells[1])));
        }
    }
    println!("| what | value | {} | {} |\n|---|---|---|---|", Kind::Ours.name(), Kind::C.name());
    for line in lines {
        println!("{line}");
    }
    println!(
        "\nMeasured in {:.0} s; longest delay of a process that sleeps meanwhile: {:.1?}.",
        (sys::now() - start).as_secs_f64(),
        delay.stop()
    );
}

/// What a program comes to, or why not, under the empty name.
fn column(kind: Kind, needs: Needs, measure: fn(Kind) -> Result<Values, Trouble>) -> Values {
    let why = match kind {
        Kind::C if kind.program().is_none() => Some("L3ROAMD_C names no C daemon".to_owned()),
        _ => crate::missing(needs),
    };
    if let Some(why) = why {
        return vec![("", why)];
    }
    match std::panic::catch_unwind(|| measure(kind)) {
        Ok(Ok(values)) => values,
        Ok(Err(Trouble::Broken(why) | Trouble::Bound(why))) => vec![("", why)],
        Err(_) => vec![("", "failed, see above".into())],
    }
}

/// The median and a high percentile in milliseconds.
fn milliseconds(values: &[Duration], high: usize) -> String {
    let ms = |percent| percentile(values, percent).as_secs_f64() * 1e3;
    if values.is_empty() { "-".into() } else { format!("{:.1} / {:.1} ms", ms(50), ms(high)) }
}

/// Clients that nobody knows arrive and ask for their gateway.
fn attaching(kind: Kind) -> Result<Values, Trouble> {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, kind);
    let (mut times, count) = (Vec::new(), 3);
    for number in 1..=count {
        let client = Client::new(&mut lab, number);
        client.roam(Some(0));
        let asked = sys::now();
        client.ask_gateway(true);
        if eventually(PATIENCE, || lab.watch.has(0, What::Route(SERVED), client.v6)) {
            times.push(sys::now() - asked);
        }
    }
    Ok(vec![
        ("known within 4 s", format!("{} of {count}", times.len())),
        ("until there is a host route, median / worst", milliseconds(&times, 100)),
    ])
}

fn roams(kind: Kind, routing: Routing, v6: bool, count: usize) -> Result<Values, Trouble> {
    let mut lab = Lab::new(Plan { routing, ..Plan::default() });
    let daemons = Daemon::start_all(&lab, kind);
    let (rss, anonymous) = daemons[0].memory_kb();
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, v6, 0)?;
    let flow = Flow::start(client.address(v6), Some(&client.namespace), INTERVAL);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_secs(1));
    let air = Air::watch(&lab);
    let (start, cpu) = (sys::now(), cpu_of(&daemons));
    let (mut handovers, mut gaps, mut moves) = (Vec::new(), Vec::new(), Vec::new());
    for node in way(count) {
        let moved = sys::now();
        moves.push(moved);
        client.roam(Some(node));
        let asked = sys::now();
        client.ask_gateway(v6);
        if eventually(PATIENCE, || served_by(&lab, &client, v6, node)) {
            handovers.push(sys::now() - asked);
        }
        let left = (asked + PATIENCE).saturating_sub(sys::now());
        eventually(left, || flow.first_return(asked).is_some());
        std::thread::sleep(Duration::from_millis(500));
        let until = sys::now().saturating_sub(Duration::from_millis(100));
        gaps.push(flow.report(moved.saturating_sub(Duration::from_millis(50)), until).gap);
    }
    let (end, cpu) = (sys::now(), cpu_of(&daemons) - cpu);
    std::thread::sleep(Duration::from_secs(1));
    let loss = Loss::count(&flow, start, end, &moves, &air.stop());
    let mut values = vec![
        ("handed over", format!("{} of {count}", handovers.len())),
        ("until the new node alone serves, median / worst", milliseconds(&handovers, 100)),
        ("gap, median / 99th", milliseconds(&gaps, 99)),
        ("probes sent, every 5 ms", loss.sent.to_string()),
        ("did not reach the client", (loss.lost_down + loss.on_air).to_string()),
        ("of them lost, and not sent to where the client was", loss.lost_down.to_string()),
        ("echoes lost", loss.lost_up.to_string()),
        ("twice", loss.duplicated.to_string()),
        ("out of order", loss.reordered.to_string()),
        ("ICMP errors at the sender", loss.refused.to_string()),
    ];
    if routing == Routing::Ideal && v6 {
        values.push(("CPU of all three daemons", format!("{:.0} ms", cpu.as_secs_f64() * 1e3)));
        values.push(("RSS after the start (of it anonymous)", format!("{rss} ({anonymous}) kB")));
    }
    Ok(values)
}

fn cpu_of(daemons: &[Daemon]) -> Duration {
    daemons.iter().map(Daemon::cpu).sum()
}

/// All packets of a client take the detour, as nobody tells the correspondent's node that it has moved.
fn relay(kind: Kind) -> Result<Values, Trouble> {
    must(kind == Kind::Ours, "it has no relay")?;
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    let daemons = Daemon::start_all(&lab, kind);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    lab.await_mesh_route(1, client.v6.into());
    std::thread::sleep(Duration::from_secs(2));
    lab.signal_routing(libc::SIGSTOP);
    client.roam(Some(2));
    client.ask_gateway(true);
    must(eventually(PATIENCE, || served_by(&lab, &client, true, 2)), "not handed over")?;
    let stream = Stream::start(&client)?;
    let (start, read, cpu) = (sys::now(), stream.read(), daemons[0].cpu());
    std::thread::sleep(Duration::from_secs(3));
    let (bytes, lasted) = (stream.read().wrapping_sub(read) as f64, (sys::now() - start).as_secs_f64());
    let cpu = (daemons[0].cpu() - cpu).as_secs_f64();
    Ok(vec![
        ("TCP through it", format!("{:.0} Mbit/s", bytes * 8.0 / 1e6 / lasted)),
        ("CPU of the old node's daemon", format!("{:.0} % of a core", cpu / lasted * 100.0)),
    ])
}

fn tcp(kind: Kind) -> Result<Values, Trouble> {
    let mut lab = Lab::new(Plan::default());
    shape(&lab, Queue::One);
    let _daemons = Daemon::start_all(&lab, kind);
    let client = Client::new(&mut lab, 1);
    let resting = transfer(&lab, &client, &[0; throughput::SHORT])?;
    let roaming = transfer(&lab, &client, &way(throughput::SHORT))?;
    Ok(vec![
        ("of the same without roams", format!("{:.1} %", roaming.rate / resting.rate * 100.0)),
        ("retransmission timeouts", roaming.timeouts.to_string()),
    ])
}

fn crowd(kind: Kind) -> Result<Values, Trouble> {
    let count: usize = 500;
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, kind);
    let crowd = Crowd::new(&mut lab, count as u32);
    crowd.roam(Some(0));
    std::thread::sleep(Duration::from_millis(500));
    crowd.ask_gateway_each(0..count as u32, 500);
    let at = |node: usize| lab.watch.count(node, What::Route(SERVED));
    eventually(Duration::from_secs(5), || at(0) == count);
    std::thread::sleep(Duration::from_secs(2));
    let (learned, cpu, moved) = (at(0), cpu_of(&daemons), sys::now());
    crowd.roam(Some(2));
    crowd.ask_gateway_each(0..count as u32, 20_000);
    eventually(Duration::from_secs(10), || at(2) == count && at(0) == 0);
    let lasted = sys::now() - moved;
    std::thread::sleep(Duration::from_millis(500));
    let cpu = (cpu_of(&daemons) - cpu).as_secs_f64();
    let handed = at(2).saturating_sub(at(0));
    let (rss, anonymous) = daemons[2].memory_kb();
    let per_thousand = if handed == 0 { f64::NAN } else { cpu * 1e3 / handed as f64 };
    Ok(vec![
        ("known before, handed over", format!("{learned}, {handed}")),
        ("all of it after", format!("{:.2} s", lasted.as_secs_f64())),
        ("CPU of all three daemons per 1000 handovers", format!("{per_thousand:.2} s")),
        ("RSS of the new node (of it anonymous)", format!("{rss} ({anonymous}) kB")),
    ])
}
