//! Everything the daemon can be told to do, with its defaults: what UCI says, and the command line over it.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::parser::{Package, Section, Value};
use super::problem::{Problem, shown};
use super::table::{self, ROWS, SECTIONS};
use crate::engine::Config;
use crate::engine::command::LogLevel;
use crate::engine::config::{Protocols, Sources, Tunables, V4Prefix};
use crate::net::{InterfaceName, InvalidValue, Prefix};

/// Where the control socket is unless said: where the scripts of the C daemon look for it.
const CONTROL_SOCKET: &str = "/var/run/l3roamd.sock";

/// An interface as a configuration names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum InterfaceRef {
    /// A device of the kernel (`-i`, `-m`, `-b`).
    Device(InterfaceName),
    /// An interface of netifd, or a device where netifd knows none of that name: 1 to 63 letters, digits and `_`, or a device's name.
    Named(Box<str>),
}

impl InterfaceRef {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Device(name) => name.as_str(),
            Self::Named(name) => name,
        }
    }

    /// The device it means now, if there is one.
    pub fn device(&self, networks: &dyn Networks) -> Option<InterfaceName> {
        match self {
            Self::Device(name) => Some(name.clone()),
            Self::Named(name) => match networks.find(name) {
                Network::Unknown => name.parse().ok(),
                Network::Down => None,
                Network::Up(device) => Some(device),
            },
        }
    }
}

impl FromStr for InterfaceRef {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let logical = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if (logical && text.len() <= 63) || text.parse::<InterfaceName>().is_ok() {
            return Ok(Self::Named(text.into()));
        }
        Err(InvalidValue::new(text, "the name of a network interface such as lan or br-lan"))
    }
}

/// What netifd says of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    /// It has no such interface.
    Unknown,
    /// It has, without a device at present.
    Down,
    /// It has, on this device.
    Up(InterfaceName),
}

/// Somebody who knows netifd's interfaces.
pub trait Networks {
    /// What is known of the interface of this name.
    fn find(&self, name: &str) -> Network;
    /// The devices of all interfaces of this protocol that are up, in an order that stays.
    fn of_proto(&self, proto: &str) -> Vec<InterfaceName>;
}

/// Where there is no netifd: names are those of devices.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoNetworks;

impl Networks for NoNetworks {
    fn find(&self, _: &str) -> Network {
        Network::Unknown
    }

    fn of_proto(&self, _: &str) -> Vec<InterfaceName> {
        Vec::new()
    }
}

/// The devices that a configuration means at some time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Devices {
    /// Towards other nodes.
    pub mesh: Vec<InterfaceName>,
    /// Towards clients. What is in `mesh` is none of them.
    pub client: Vec<InterfaceName>,
    /// The bridge that clients are on.
    pub bridge: Option<InterfaceName>,
}

/// Everything the daemon can be told to do. [`ROWS`] says what each option means.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the fields are the options of the table, which explains them")]
pub struct Settings {
    pub enabled: bool,
    pub node_address: Option<Ipv6Addr>,
    pub node_client_prefix: Prefix,
    pub v4_prefix: V4Prefix,
    pub prefixes: Vec<Prefix>,
    pub node_prefixes: Vec<Prefix>,
    pub client_interfaces: Vec<InterfaceRef>,
    pub client_bridge: Option<InterfaceRef>,
    pub mesh_interfaces: Vec<InterfaceRef>,
    pub mesh_proto: Option<Box<str>>,
    pub export_table: u32,
    pub metric: u32,
    pub drain_metric: Option<u32>,
    pub protocols: Protocols,
    pub plat_prefix: Option<Ipv6Addr>,
    pub clat_interface: Option<InterfaceRef>,
    pub sources: Sources,
    pub capture_device: InterfaceName,
    pub control_socket: Option<PathBuf>,
    pub ubus: bool,
    pub log_level: LogLevel,
    pub log_addresses: bool,
    pub tunables: Tunables,
}

impl Settings {
    /// The metric of host routes unless said: better than what routing daemons install (bird 32).
    pub const METRIC: u32 = 16;

    /// The defaults of a daemon that the command line alone describes: those of the C daemon, without a control socket and without drained
    /// routes, for which the routing daemons of its meshes are not prepared.
    pub fn of_command_line() -> Self {
        let config = Config::new(Ipv6Addr::UNSPECIFIED);
        Self {
            enabled: true,
            node_address: None,
            node_client_prefix: config.node_client_prefix,
            v4_prefix: config.v4_prefix,
            prefixes: config.prefixes,
            node_prefixes: config.node_prefixes,
            client_interfaces: Vec::new(),
            client_bridge: None,
            mesh_interfaces: Vec::new(),
            mesh_proto: None,
            export_table: config.export_table,
            metric: Self::METRIC,
            drain_metric: None,
            protocols: Protocols::default(),
            plat_prefix: config.plat_prefix,
            clat_interface: None,
            sources: config.sources,
            capture_device: InterfaceName::capture(),
            control_socket: None,
            ubus: true,
            log_level: LogLevel::Info,
            log_addresses: false,
            tunables: Tunables { overlap: Duration::ZERO, ..config.tunables },
        }
    }

    /// The defaults of a daemon that UCI describes: it has a control socket and drains routes.
    pub fn of_uci() -> Self {
        Self {
            control_socket: Some(Path::new(CONTROL_SOCKET).to_owned()),
            tunables: Tunables::default(),
            ..Self::of_command_line()
        }
    }

    /// Takes over what `package` says, which was read from `file`. Where an option is wrong nothing of it is taken over, of a list the
    /// rest is; all that is wrong or unknown is told.
    pub fn take(&mut self, package: &Package, file: &Path) -> Vec<Problem> {
        let mut problems = Vec::new();
        for section in &package.sections {
            if !SECTIONS.contains(&(section.kind.as_str(), section.name.as_str())) || section.anonymous {
                problems.push(Problem::UnknownSection {
                    file: file.to_owned(),
                    section: section.name.clone(),
                    kind: shown(&section.kind),
                });
                continue;
            }
            self.take_section(section, file, &mut problems);
        }
        self.separate_roles(file, &mut problems);
        problems
    }

    fn take_section(&mut self, section: &Section, file: &Path, problems: &mut Vec<Problem>) {
        for entry in &section.options {
            let row = ROWS.iter().find(|row| row.section == section.name && row.name == entry.name);
            let Some(row) = row else {
                problems.push(Problem::UnknownOption {
                    file: file.to_owned(),
                    section: section.name.clone(),
                    option: entry.name.clone(),
                });
                continue;
            };
            for (value, expected) in row.field.take(self, &texts(&entry.value)) {
                problems.push(bad_value(file, row, &value, expected));
            }
        }
    }

    /// An interface cannot face nodes and clients at once: the mesh keeps it.
    fn separate_roles(&mut self, file: &Path, problems: &mut Vec<Problem>) {
        let mesh: Vec<String> = self.mesh_interfaces.iter().map(|name| name.as_str().to_owned()).collect();
        let row = ROWS.iter().find(|row| row.name == "client_interface");
        self.client_interfaces.retain(|interface| {
            let twice = mesh.iter().any(|name| name == interface.as_str());
            if let Some(row) = row.filter(|_| twice) {
                let expected = "an interface in one role: it is a mesh_interface too".to_owned();
                problems.push(bad_value(file, row, interface.as_str(), expected));
            }
            !twice
        });
    }

    /// The engine's configuration as far as it does not depend on what netifd says, for a node of this address.
    pub fn config(&self, node_address: Ipv6Addr) -> Config {
        Config {
            node_address,
            node_client_prefix: self.node_client_prefix,
            v4_prefix: self.v4_prefix,
            prefixes: self.prefixes.clone(),
            node_prefixes: self.node_prefixes.clone(),
            mesh_interfaces: Vec::new(),
            client_interfaces: Vec::new(),
            client_bridge: None,
            export_table: self.export_table,
            plat_prefix: self.plat_prefix,
            sources: self.sources,
            tunables: self.tunables.clone(),
        }
    }

    /// Whether what is wanted depends on what netifd says.
    pub fn names_networks(&self) -> bool {
        let mut all = self.mesh_interfaces.iter().chain(&self.client_interfaces).chain(&self.client_bridge);
        self.mesh_proto.is_some() || all.any(|interface| matches!(interface, InterfaceRef::Named(_)))
    }

    /// The devices that the interfaces mean now.
    pub fn devices(&self, networks: &dyn Networks) -> Devices {
        let mut mesh = Vec::new();
        let of_proto = self.mesh_proto.as_deref().map(|proto| networks.of_proto(proto)).unwrap_or_default();
        let named = self.mesh_interfaces.iter().filter_map(|interface| interface.device(networks));
        named.chain(of_proto).for_each(|device| add(&mut mesh, device));
        let mut client = Vec::new();
        for interface in &self.client_interfaces {
            // Who says both on one command line is told so by whoever reads it.
            let said_twice =
                matches!(interface, InterfaceRef::Device(_)) && self.mesh_interfaces.contains(interface);
            let device = interface.device(networks).filter(|device| said_twice || !mesh.contains(device));
            device.into_iter().for_each(|device| add(&mut client, device));
        }
        let bridge = self.client_bridge.as_ref().and_then(|bridge| bridge.device(networks));
        Devices { mesh, client, bridge }
    }

    /// The first option that `new` sets otherwise and that no running process can change.
    pub fn restart_for(&self, new: &Self) -> Option<&'static str> {
        let row = ROWS.iter().find(|row| row.restarts && row.field.show(self) != row.field.show(new));
        row.map(|row| row.name)
    }
}

fn bad_value(file: &Path, row: &table::Row, value: &str, expected: String) -> Problem {
    Problem::BadValue {
        file: file.to_owned(),
        section: row.section.to_owned(),
        option: row.name.to_owned(),
        value: shown(value),
        expected,
    }
}

/// What an option is set to: `option x 'a b'` as one text, of a list each.
fn texts(value: &Value) -> Vec<String> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::One(bytes) => vec![text(bytes)],
        Value::Many(values) => values.iter().map(text).collect(),
    }
}

/// Adds what is not there yet.
pub(crate) fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// Reads a path.
///
/// # Errors
/// Where it is empty or can be none.
pub fn path(text: &str) -> Result<PathBuf, InvalidValue> {
    if text.is_empty() || text.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return Err(InvalidValue::new(text, "a path such as /var/run/l3roamd.sock"));
    }
    Ok(Path::new(text).to_owned())
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
