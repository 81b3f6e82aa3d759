//! netifd: which devices its networks have.
//!
//! Configurations name networks (`lan`, `mesh_vpn`), the kernel knows devices. What netifd notifies is taken as a hint only: everything
//! is read again (its method `dump`) and compared, for of several changes in a row only the last state can be seen.
//!
//! | netifd says | the network's device |
//! |---|---|
//! | it is up | `l3_device`. The lower `device` is another one for PPP and for aliases |
//! | it is down | the one it had last. The kernel tells by itself that a device is down or gone; while it is neither, clients behind it are served: `ifdown lan` leaves the device to `lan6`, which is on it too |
//! | it is down, and a network that is up has taken the device | none |
//! | it never was up | none |
//! | it is not there any more | the name is taken for that of a device |
//! | nothing: netifd is gone or starts anew | the one it had last |

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde_json::Value;

use super::ubus::{Event, Order, Status, Table, Ticket};
use crate::gather::gather;
use crate::net::{InterfaceName, is_host_address, is_link_local};
use crate::time::Timestamp;

/// The object of netifd that stands for all networks.
pub const OBJECT: &str = "network.interface";
/// Its method that tells them all.
const METHOD: &str = "dump";
/// The network whose address is the node's where none is configured.
pub const LOOPBACK: &str = "loopback";

/// Networks beyond these are ignored.
const MAX_NETWORKS: usize = 512;
/// A longer name of a network or protocol is none.
const MAX_NAME: usize = 64;
/// A dump that failed is asked for again after this time.
const RETRY: Duration = Duration::from_secs(2);

/// A network of netifd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The device that its packets take, or took last.
    pub device: Option<InterfaceName>,
    /// Whether it is up.
    pub up: bool,
    /// The protocol that sets it up, such as `static` or `gluon_mesh`.
    pub proto: String,
}

/// All networks, and when to ask for them. Whoever owns it passes on every event of the bus, sends what [`Networks::order`] wants, and
/// looks at [`Networks::take_changed`].
#[derive(Debug)]
pub struct Networks {
    ticket: Ticket,
    known: BTreeMap<String, Network>,
    loopback: Option<Ipv6Addr>,
    /// A dump was read.
    read: bool,
    connected: bool,
    /// netifd is there and will notify us.
    followed: bool,
    /// A dump is on its way.
    asked: bool,
    /// What is known may be old.
    wanted: bool,
    not_before: Timestamp,
    changed: bool,
}

impl Networks {
    /// Knows nothing yet. `ticket` is nobody else's.
    pub fn new(ticket: Ticket) -> Self {
        Self {
            ticket,
            known: BTreeMap::new(),
            loopback: None,
            read: false,
            connected: false,
            followed: false,
            asked: false,
            wanted: false,
            not_before: Timestamp::ZERO,
            changed: false,
        }
    }

    /// Takes in what the bus tells. False where it is about something else.
    pub fn handle(&mut self, now: Timestamp, event: &Event) -> bool {
        match event {
            Event::Connected => {
                self.connected = true;
                self.want(now);
                false
            }
            Event::Disconnected => {
                (self.connected, self.followed) = (false, false);
                false
            }
            Event::Object { path, present } if path == OBJECT => {
                self.followed = *present;
                if *present {
                    self.want(now);
                }
                true
            }
            Event::Notification { path, .. } if path == OBJECT => {
                self.want(now);
                true
            }
            Event::Reply { ticket, outcome } if *ticket == self.ticket => {
                self.asked = false;
                match outcome {
                    Ok(table) => self.dumped(table),
                    Err(status) => self.failed(now, *status),
                }
                true
            }
            _ => false,
        }
    }

    /// Somebody else knows that a network has changed (the hotplug script).
    pub fn want(&mut self, now: Timestamp) {
        self.wanted = true;
        self.not_before = now;
    }

    /// What to send now. Where it is lost, [`Networks::not_sent`] has to be told.
    pub fn order(&mut self, now: Timestamp) -> Option<Order> {
        if !self.is_due() || now < self.not_before {
            return None;
        }
        (self.wanted, self.asked) = (false, true);
        let arguments = Table::new();
        Some(Order::Call { ticket: self.ticket, path: OBJECT.to_owned(), method: METHOD, arguments })
    }

    /// The order was lost: it is given again, later.
    pub fn not_sent(&mut self, now: Timestamp) {
        self.asked = false;
        self.retry(now);
    }

    /// When [`Networks::order`] will want something without having been told anything.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.is_due().then_some(self.not_before)
    }

    /// Whether something is known: netifd has answered once.
    pub fn is_known(&self) -> bool {
        self.read
    }

    /// Whether what is known has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The device meant by `name`: that of the network of this name, else the device of this name. `None` where the network has had none
    /// yet, or no device can have the name.
    pub fn resolve(&self, name: &str) -> Option<InterfaceName> {
        match self.known.get(name) {
            Some(network) => network.device.clone(),
            None => name.parse().ok(),
        }
    }

    /// The devices of all networks that this protocol sets up, each once.
    pub fn devices_of_proto(&self, proto: &str) -> Vec<InterfaceName> {
        let networks = self.known.values().filter(|network| network.proto == proto);
        let devices: BTreeSet<InterfaceName> = gather(networks.filter_map(|network| network.device.clone()));
        devices.into_iter().collect()
    }

    /// The address of [`LOOPBACK`] that others can reach, where it has one.
    pub fn loopback_address(&self) -> Option<Ipv6Addr> {
        self.loopback
    }

    /// A network by its name.
    pub fn get(&self, name: &str) -> Option<&Network> {
        self.known.get(name)
    }

    fn is_due(&self) -> bool {
        self.connected && self.wanted && !self.asked
    }

    fn retry(&mut self, now: Timestamp) {
        self.wanted = true;
        self.not_before = now + RETRY;
    }

    /// A netifd that is not there yet will be told of; one that is there but did not answer is asked again.
    fn failed(&mut self, now: Timestamp, status: Status) {
        if !self.wanted && (self.followed || status != Status::NotFound) {
            self.retry(now);
        }
    }

    fn dumped(&mut self, table: &Table) {
        let Some(Value::Array(all)) = table.get("interface") else { return };
        let told: Vec<(&str, Told)> = all.iter().filter_map(read).take(MAX_NETWORKS).collect();
        let taken: BTreeSet<&InterfaceName> = gather(told.iter().filter_map(|(_, told)| told.device()));
        let known: BTreeMap<String, Network> = gather(told.iter().map(|(name, told)| {
            let before = self.known.get(*name).and_then(|network| network.device.as_ref());
            let last =
                before.filter(|device| !taken.contains(device) || told.lower.as_ref() == Some(*device));
            let device = if told.up { told.device() } else { last };
            let network = Network { device: device.cloned(), up: told.up, proto: told.proto.to_owned() };
            ((*name).to_owned(), network)
        }));
        let loopback = all.iter().find(|one| text(one, "interface") == Some(LOOPBACK));
        // Of a loopback that is down for a moment the address is not told: the node keeps it.
        let loopback = loopback.and_then(reachable_address).or(self.loopback);
        if !self.read || known != self.known || loopback != self.loopback {
            self.changed = true;
        }
        (self.known, self.loopback, self.read) = (known, loopback, true);
    }
}

/// What a dump says of a network.
struct Told<'a> {
    up: bool,
    l3_device: Option<InterfaceName>,
    lower: Option<InterfaceName>,
    proto: &'a str,
}

impl Told<'_> {
    /// The device that it has now.
    fn device(&self) -> Option<&InterfaceName> {
        self.l3_device.as_ref().filter(|_| self.up)
    }
}

fn read(one: &Value) -> Option<(&str, Told<'_>)> {
    let device = |field| text(one, field).and_then(|name| name.parse().ok());
    let told = Told {
        up: one.get("up").and_then(Value::as_bool).unwrap_or(false),
        l3_device: device("l3_device"),
        lower: device("device"),
        proto: text(one, "proto").unwrap_or(""),
    };
    Some((text(one, "interface")?, told))
}

fn text<'a>(one: &'a Value, field: &str) -> Option<&'a str> {
    one.get(field).and_then(Value::as_str).filter(|text| text.len() <= MAX_NAME)
}

fn reachable_address(one: &Value) -> Option<Ipv6Addr> {
    let all = one.get("ipv6-address").and_then(Value::as_array)?;
    let addresses = all.iter().filter_map(|entry| text(entry, "address")?.parse::<Ipv6Addr>().ok());
    let mut reachable = addresses
        .filter(|address| is_host_address(IpAddr::V6(*address)) && !is_link_local(IpAddr::V6(*address)));
    reachable.find(|address| !address.is_loopback())
}

#[cfg(test)]
#[path = "netifd_tests.rs"]
mod tests;
