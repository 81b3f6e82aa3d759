//! What the daemon tells about itself: a read-only view of the engine, in the form of the C daemon's JSON.

use std::net::IpAddr;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::engine::Engine;
use crate::engine::client::{AddressState, Client};
use crate::engine::config::V4Prefix;
use crate::net::{InterfaceName, Mac, Prefix};

/// A client that is served here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientStatus {
    /// Who.
    pub mac: Mac,
    /// The client interface; empty where it is gone.
    pub interface_name: String,
    /// The addresses and how each stands, in the engine's order.
    pub addresses: Vec<(IpAddr, AddressState)>,
    /// By what it was noticed last.
    pub evidence: &'static str,
    /// The port of the client bridge it was heard on last.
    pub port: Option<String>,
    /// How long ago.
    pub silent: Duration,
}

/// The clients served here, in the engine's order.
pub fn clients(engine: &Engine) -> Vec<ClientStatus> {
    let client = |client: &Client| ClientStatus {
        mac: client.mac(),
        interface_name: engine
            .interface_name(client.interface())
            .map(ToString::to_string)
            .unwrap_or_default(),
        addresses: client.addresses().map(|(address, entry)| (address, entry.state)).collect(),
        evidence: client.evidence().name(),
        port: client.port().and_then(|port| engine.interface_name(port)).map(ToString::to_string),
        silent: engine.now().since(client.last_seen()),
    };
    engine.clients().map(client).collect()
}

/// The clients and how their addresses are written: `get_clients`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientsStatus {
    /// The clients.
    pub clients: Vec<ClientStatus>,
    /// The /96 that IPv4 addresses are written in.
    pub v4_prefix: V4Prefix,
}

/// The client prefixes: `get_prefixes`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrefixesStatus {
    /// The prefixes in order of addition.
    pub prefixes: Vec<Prefix>,
    /// The /96 that IPv4 prefixes are written in.
    pub v4_prefix: V4Prefix,
}

/// The mesh interfaces: `get_meshifs`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MeshInterfacesStatus {
    /// Their names in order of addition.
    pub names: Vec<InterfaceName>,
}

/// The number that the C daemon gives an address state (`enum ip_state`).
const fn state_number(state: AddressState) -> u8 {
    match state {
        AddressState::Inactive => 0,
        AddressState::Active => 1,
        AddressState::Tentative => 2,
    }
}

/// A map from an iterator: JSON objects in the order of the engine's lists, without a copy.
struct Map<I>(I);

impl<K: Serialize, V: Serialize, I: Iterator<Item = (K, V)> + Clone> Serialize for Map<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

#[derive(Serialize)]
struct AddressJson {
    state: u8,
}

/// A client as it is written: without addresses the key is absent, as in the C daemon.
struct ClientJson<'a> {
    client: &'a ClientStatus,
    v4_prefix: V4Prefix,
}

impl Serialize for ClientJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("interface", &self.client.interface_name)?;
        if !self.client.addresses.is_empty() {
            let addresses = self.client.addresses.iter().map(|(address, state)| {
                (self.v4_prefix.to_wire(*address).to_string(), AddressJson { state: state_number(*state) })
            });
            map.serialize_entry("addresses", &Map(addresses))?;
        }
        // Ours; the C daemon's client ends here.
        map.serialize_entry("evidence", self.client.evidence)?;
        map.serialize_entry("port", &self.client.port)?;
        map.serialize_entry("silent_ms", &u64::try_from(self.client.silent.as_millis()).unwrap_or(u64::MAX))?;
        map.end()
    }
}

impl Serialize for ClientsStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("clients", &self.clients.len())?;
        if !self.clients.is_empty() {
            let list = self
                .clients
                .iter()
                .map(|client| (client.mac.to_string(), ClientJson { client, v4_prefix: self.v4_prefix }));
            map.serialize_entry("clientlist", &Map(list))?;
        }
        map.end()
    }
}

impl Serialize for PrefixesStatus {
    /// First the IPv4 prefix and fe80::, which the C daemon holds as prefixes of its own, then addresses without lengths;
    /// `client_prefixes` has the prefixes in full.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = [self.v4_prefix.address().to_string(), "fe80::".to_owned()];
        let configured = self.prefixes.iter().map(|p| self.v4_prefix.to_wire(p.address()).to_string());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("prefixes", &own.into_iter().chain(configured).collect::<Vec<_>>())?;
        let full: Vec<String> = self.prefixes.iter().map(Prefix::to_string).collect();
        map.serialize_entry("client_prefixes", &full)?;
        map.end()
    }
}

impl Serialize for MeshInterfacesStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.names.iter().map(InterfaceName::as_str).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mesh_interfaces", &names)?;
        map.end()
    }
}
