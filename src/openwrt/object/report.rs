//! The tables about the daemon as a whole.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::{View, config};
use crate::engine::Handover;
use crate::engine::command::Report;
use crate::engine::stats::Counter;
use crate::engine::timing::Timing;
use crate::gather::gather;
use crate::openwrt::ubus::Table;
use crate::time::Timestamp;
use crate::wire::intercom::Capabilities;

/// Milliseconds, as far as an integer of 64 bits goes.
pub(super) fn millis(duration: Duration) -> Value {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).into()
}

/// How long ago, in milliseconds.
pub(super) fn ago(view: &View<'_>, at: Timestamp) -> Value {
    millis(view.now.since(at))
}

/// A table of a literal.
fn table(value: Value) -> Table {
    match value {
        Value::Object(table) => table,
        _ => Table::new(),
    }
}

/// The table that `what` names.
pub fn report(what: Report, view: &View<'_>) -> Table {
    match what {
        Report::Status => status(view),
        Report::Handovers => handovers(view, usize::MAX),
        Report::Interfaces => interfaces(view),
        Report::Peers => peers(view),
        Report::Statistics => statistics(view),
        Report::Config => config::config(view),
    }
}

fn status(view: &View<'_>) -> Table {
    let engine = view.engine;
    let (packets, bytes) = engine.waiting();
    let count = |counter| engine.counters().get(counter);
    table(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node_address": engine.config().node_address.to_string(),
        // Seconds, as everybody else's on a router.
        "uptime": view.now.since(view.facts.started).as_secs(),
        "clients": engine.clients().len(),
        "former_clients": engine.former_count(),
        "addresses": engine.clients().map(|client| client.routed().count()).sum::<usize>(),
        "peers": engine.peers().count(),
        "handovers": {
            "incoming": count(Counter::HandoverIncoming),
            "outgoing": count(Counter::HandoverOutgoing),
        },
        "waiting": { "packets": packets, "bytes": bytes },
        "export_table": engine.config().export_table,
        "ubus": connection(view),
        "problems": problems(view),
    }))
}

fn connection(view: &View<'_>) -> Value {
    let Some(ubus) = view.facts.ubus else { return json!({ "connected": false }) };
    json!({ "connected": ubus.connected, "subscribed": ubus.subscribed })
}

/// What an operator should look at, as it stands now.
fn problems(view: &View<'_>) -> Value {
    let interfaces = view.engine.interfaces().filter_map(|interface| {
        let problem = interface.problem?;
        Some(json!({ "subject": format!("interface {}", interface.name), "problem": problem }))
    });
    let daemon = view.facts.problems.iter().map(|problem| json!({ "subject": "daemon", "problem": problem }));
    Value::Array(interfaces.chain(daemon).collect())
}

/// The last handovers, the newest first, `limit` at most.
pub fn handovers(view: &View<'_>, limit: usize) -> Table {
    let list = view.engine.measured_handovers().take(limit).map(|handover| describe(view, handover));
    table(json!({ "handovers": list.collect::<Vec<_>>() }))
}

fn describe(view: &View<'_>, (handover, timing): (&Handover, Option<&Timing>)) -> Value {
    json!({
        "age_ms": ago(view, handover.ended),
        "mac": handover.client.to_string(),
        "direction": handover.direction.name(),
        "peer": handover.peer.to_string(),
        "addresses": handover.addresses,
        "duration_ms": millis(handover.duration),
        "steps": timing.map(steps).unwrap_or_default(),
        "packets_buffered": timing.map_or(0, |timing| timing.buffered),
        "packets_relayed": timing.map_or(0, |timing| timing.relayed),
        "outcome": handover.outcome.name(),
    })
}

/// The parts of a handover that were measured, each since the one before.
fn steps(timing: &Timing) -> Table {
    let routes = timing.ready.filter(|ready| timing.first_packet.is_none_or(|packet| packet >= *ready));
    let measured = [
        ("evidence_to_claim_us", timing.claim, Some(timing.began)),
        ("claim_to_info_us", Some(timing.info), timing.claim),
        ("info_to_ready_us", timing.ready, Some(timing.info)),
        ("ready_to_first_packet_us", timing.first_packet, routes),
    ];
    let known = measured.into_iter().filter_map(|(name, to, from)| Some((name, to?.since(from?))));
    gather(known.map(|(name, duration)| (name.to_owned(), micros(duration))))
}

fn micros(duration: Duration) -> Value {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).into()
}

fn interfaces(view: &View<'_>) -> Table {
    let list = view.engine.interfaces().map(|interface| {
        let mut entry = table(json!({
            "name": interface.name.to_string(),
            "role": interface.role.name(),
            "usable": interface.problem.is_none(),
        }));
        if let Some(index) = interface.index {
            let device = view.engine.interface_name(index).map(ToString::to_string);
            entry.insert("device".to_owned(), device.into());
            entry.insert("ifindex".to_owned(), index.0.into());
        }
        if let Some(problem) = interface.problem {
            entry.insert("reason".to_owned(), problem.into());
        }
        Value::Object(entry)
    });
    table(json!({ "interfaces": list.collect::<Vec<_>>() }))
}

/// The client prefixes, each with how many addresses of it are in use here.
pub fn prefixes(view: &View<'_>) -> Table {
    let routed: Vec<IpAddr> = view.engine.clients().flat_map(|client| client.routed()).collect();
    let list = view.engine.config().prefixes.iter().map(|prefix| {
        let addresses = routed.iter().filter(|address| prefix.contains(**address)).count();
        json!({ "prefix": prefix.to_string(), "addresses": addresses })
    });
    table(json!({ "prefixes": list.collect::<Vec<_>>() }))
}

fn peers(view: &View<'_>) -> Table {
    let list = view.engine.peers().map(|(address, peer)| {
        let mut entry = table(json!({
            "address": address.to_string(),
            "last_heard_ms": ago(view, peer.last_heard),
            "capabilities": peer.capabilities.names().collect::<Vec<_>>(),
            "c_daemon": !peer.capabilities.has(Capabilities::TAILS),
        }));
        if let Some(round_trip) = peer.round_trip {
            entry.insert("round_trip_us".to_owned(), micros(round_trip));
        }
        Value::Object(entry)
    });
    table(json!({ "peers": list.collect::<Vec<_>>() }))
}

fn statistics(view: &View<'_>) -> Table {
    let counters = view.engine.counters();
    let named = |(name, count): (&str, u64)| (name.to_owned(), Value::from(count));
    let drops = Counter::ALL.iter().filter_map(|counter| {
        let reason = counter.drop_reason()?;
        Some((reason.to_owned(), Value::from(counters.get(*counter))))
    });
    let ubus = view.facts.ubus.unwrap_or_default();
    table(json!({
        "counters": gather::<Table, _>(counters.iter().map(named)),
        "drops": gather::<Table, _>(drops),
        "kernel": gather::<Table, _>(view.kernel.iter().map(named)),
        "ubus": {
            "connects": ubus.connects,
            "calls": ubus.calls,
            "notifications": ubus.notifications,
            "orders_lost": ubus.lost,
        },
    }))
}
