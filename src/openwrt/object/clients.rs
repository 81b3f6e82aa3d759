//! `get_clients`: the clients served here, by MAC, as many at a time as a message holds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::View;
use super::arguments::Arguments;
use super::report::{ago, millis};
use crate::engine::Handover;
use crate::engine::client::{Address, Client};
use crate::net::{InterfaceName, Mac};
use crate::openwrt::ubus::{ArgumentType, Status, Table};

/// Clients of a page where the caller says nothing: a slow router builds it in some ten milliseconds, in which nobody is handed over.
const DEFAULT_LIMIT: usize = 100;
/// A page ends where it may be larger than this: half of what ubusd carries.
const MAX_BYTES: usize = 512 * 1024;
/// What a client without addresses, and each of its addresses, take in a message, amply reckoned.
const CLIENT_BYTES: usize = 800;
const ADDRESS_BYTES: usize = 180;

/// Which clients are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// This one only.
    pub mac: Option<Mac>,
    /// The one that has this address.
    pub address: Option<IpAddr>,
    /// Those on this client interface.
    pub interface: Option<InterfaceName>,
    /// Those behind this one: the last of the page before.
    pub after: Option<Mac>,
    /// So many at most.
    pub limit: usize,
}

impl Page {
    /// The arguments that say so.
    pub(super) const ARGUMENTS: &'static [(&'static str, ArgumentType)] = &[
        ("mac", ArgumentType::String),
        ("address", ArgumentType::String),
        ("interface", ArgumentType::String),
        ("after", ArgumentType::String),
        ("limit", ArgumentType::Integer),
    ];

    pub(super) fn read(arguments: Arguments<'_>) -> Result<Self, Status> {
        Ok(Self {
            mac: arguments.parsed("mac")?,
            address: arguments.parsed("address")?,
            interface: arguments.parsed("interface")?,
            after: arguments.parsed("after")?,
            limit: arguments.count("limit")?.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

/// The clients of a page: `clients`, `total` served here, and whether there are `more` behind the last one.
///
/// # Errors
/// Where the client or the client interface that was named is not known.
pub fn clients(view: &View<'_>, page: &Page) -> Result<Table, Status> {
    let engine = view.engine;
    // Scripts hand back addresses as the C daemon writes them, `::ffff:10.0.0.5`.
    let address = page.address.map(|address| match address {
        IpAddr::V6(address) => engine.config().v4_prefix.from_wire(address),
        IpAddr::V4(_) => address,
    });
    if let Some(name) = &page.interface {
        if !engine.config().client_interfaces.contains(name) {
            return Err(Status::NotFound);
        }
    }
    let wanted = |client: &&Client| {
        page.mac.is_none_or(|mac| client.mac() == mac)
            && address.is_none_or(|wanted| client.addresses().any(|(address, _)| address == wanted))
            && page
                .interface
                .as_ref()
                .is_none_or(|name| engine.interface_name(client.interface()) == Some(name))
            && page.after.is_none_or(|after| client.mac() > after)
    };
    let mut last_handovers: BTreeMap<Mac, &Handover> = BTreeMap::new();
    for handover in engine.handovers() {
        last_handovers.entry(handover.client).or_insert(handover);
    }
    let (mut list, mut bytes, mut more) = (Vec::new(), 0usize, false);
    for client in engine.clients().filter(wanted) {
        bytes = bytes.saturating_add(CLIENT_BYTES + client.addresses().count() * ADDRESS_BYTES);
        // One client at least: a page must lead on.
        if list.len() >= page.limit || (bytes > MAX_BYTES && !list.is_empty()) {
            more = true;
            break;
        }
        list.push(Value::Object(describe(view, client, last_handovers.get(&client.mac()).copied())));
    }
    if list.is_empty() && (page.mac.is_some() || address.is_some()) && page.after.is_none() {
        return Err(Status::NotFound);
    }
    let mut table = Table::new();
    table.insert("total".to_owned(), engine.clients().len().into());
    table.insert("more".to_owned(), more.into());
    table.insert("clients".to_owned(), list.into());
    Ok(table)
}

fn describe(view: &View<'_>, client: &Client, last_handover: Option<&Handover>) -> Table {
    let engine = view.engine;
    let mut table = Table::new();
    let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
    set("mac", client.mac().to_string().into());
    if let Some(name) = engine.interface_name(client.interface()) {
        set("interface", name.to_string().into());
    }
    if let Some(name) = client.port().and_then(|port| engine.interface_name(port)) {
        set("port", name.to_string().into());
    }
    set("evidence", client.evidence().name().into());
    set("since_ms", ago(view, client.since()));
    set("last_seen_ms", ago(view, client.last_seen()));
    set("settled", client.is_settled().into());
    let prefix = engine.config().node_client_prefix;
    set("node_client_address", prefix.node_client_address(client.mac()).to_string().into());
    let addresses = client.addresses().map(|(address, entry)| describe_address(view, address, entry));
    set("addresses", Value::Array(addresses.collect()));
    if let Some(handover) = last_handover {
        set(
            "last_handover",
            json!({
                "age_ms": ago(view, handover.ended),
                "direction": handover.direction.name(),
                "peer": handover.peer.to_string(),
                "duration_ms": millis(handover.duration),
                "outcome": handover.outcome.name(),
            }),
        );
    }
    table
}

fn describe_address(view: &View<'_>, address: IpAddr, entry: &Address) -> Value {
    json!({
        "address": address.to_string(),
        "state": entry.state.name(),
        "last_seen_ms": ago(view, entry.last_seen),
        "source": entry.source.name(),
    })
}
