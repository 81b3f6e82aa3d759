//! The engine's news for those who are subscribed.

use serde_json::{Value, json};

use crate::engine::client::AddressState;
use crate::engine::{Engine, Notice};
use crate::net::IfIndex;
use crate::openwrt::ubus::Table;

use super::report::millis;

/// The notification that tells a piece of news; `None` for what is told in the log only.
pub fn notification(engine: &Engine, notice: &Notice) -> Option<(&'static str, Table)> {
    let (name, data) = match notice {
        Notice::ClientArrived { client, interface } => {
            ("client.attached", json!({ "mac": client.to_string(), "interface": named(engine, *interface) }))
        }
        Notice::ClientLeft { client, reason } => {
            ("client.left", json!({ "mac": client.to_string(), "reason": reason.name() }))
        }
        Notice::ClientHandedOver { client, direction, peer, addresses, duration } => (
            "client.handover",
            json!({
                "mac": client.to_string(),
                "direction": direction.name(),
                "peer": peer.to_string(),
                "addresses": addresses,
                "duration_ms": millis(*duration),
            }),
        ),
        Notice::AddressChanged { client, address, from, to } => (
            "client.address",
            json!({
                "mac": client.to_string(),
                "address": address.to_string(),
                "from": state(*from),
                "to": state(*to),
            }),
        ),
        Notice::AddressContested { address, holder, rival } => (
            "client.duplicate",
            json!({ "address": address.to_string(), "mac": holder.to_string(), "rival": rival.to_string() }),
        ),
        Notice::ClientDuplicate { client, peer } => {
            ("client.duplicate", json!({ "mac": client.to_string(), "peer": peer.to_string() }))
        }
        Notice::InterfaceChanged { name, problem } => (
            "interface.changed",
            match problem {
                None => json!({ "interface": name.to_string(), "usable": true }),
                Some(problem) => {
                    json!({ "interface": name.to_string(), "usable": false, "reason": problem })
                }
            },
        ),
        Notice::AddressFound { .. }
        | Notice::RouteOccupied { .. }
        | Notice::NodeBehindPort { .. }
        | Notice::LimitReached { .. } => return None,
    };
    match data {
        Value::Object(table) => Some((name, table)),
        _ => None,
    }
}

/// The interface's name; empty where it is gone already.
fn named(engine: &Engine, interface: IfIndex) -> String {
    engine.interface_name(interface).map(ToString::to_string).unwrap_or_default()
}

fn state(state: Option<AddressState>) -> &'static str {
    state.map_or("unknown", AddressState::name)
}
