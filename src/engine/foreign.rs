//! Ports of a client bridge behind which another node's client bridge is. Wired together, two nodes hear each other's clients and would
//! claim them from each other for ever; so what is behind such a port is reported, and never a client.
//!
//! A node puts its address into the echo request that it sends to every new client. A node that hears another's request on a port of its
//! own client bridge knows what is behind the port, and says out of it, once, who it is itself: then both know. There are no ticks: a sign
//! that has not been renewed for a while is asked after when something is heard behind the port, and ends when nobody answers.
//!
//! A host on a wire can forge a sign, and so keep off those that share its port. It counts therefore only for nodes that the intercom has
//! heard of, and never on a port with associated stations: an access point is no wire to a node.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::Engine;
use super::output::{Action, LeaveReason, Notice};
use super::stats::Counter;
use crate::net::{IfIndex, Mac};
use crate::time::Timestamp;

/// A sign is believed for this long without renewal.
const FRESH: Duration = Duration::from_secs(60);
/// An answer to the question whether the node is still there is awaited for this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// We answer signs on a port this often at most.
const ANSWER_INTERVAL: Duration = Duration::from_secs(10);
/// Ports with other nodes behind them, and MACs behind those ports. What is beyond is not remembered.
const MAX_PORTS: usize = 64;
const MAX_MACS: usize = 4096;

/// The sign of another node behind a port.
#[derive(Clone, Copy, Debug)]
struct Sign {
    heard: Timestamp,
    answered: Timestamp,
    /// Since when we ask whether it is still there.
    asked: Option<Timestamp>,
}

/// All that is known of other nodes' client bridges.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    ports: BTreeMap<IfIndex, Sign>,
    /// What a bridge learned behind those ports: other evidence than frames does not name the port.
    macs: BTreeMap<Mac, IfIndex>,
}

impl Foreign {
    /// Forgets a port and what is behind it.
    fn forget_port(&mut self, port: IfIndex) {
        self.ports.remove(&port);
        self.macs.retain(|_, behind| *behind != port);
    }

    /// A bridge has forgotten a MAC.
    pub(super) fn forget_mac(&mut self, mac: Mac) {
        self.macs.remove(&mac);
    }
}

impl Engine {
    /// A node asked a client, or told who it is, on this port.
    pub(super) fn node_heard(&mut self, node: Ipv6Addr, port: IfIndex) {
        let Some(interface) = self.interfaces.client_interface_of(port) else { return };
        // Our own requests come back where a station or a loop reflects them.
        if node == self.config.node_address || !self.interfaces.is_client_port(port) {
            return;
        }
        let access_point = self.clients.values().any(|client| client.association == Some(port));
        if access_point || self.peers.get(node).is_none() {
            return self.counters.add(Counter::ForeignSignIgnored);
        }
        let now = self.now;
        let known = self.foreign.ports.get(&port).copied();
        if known.is_none() && self.foreign.ports.len() >= MAX_PORTS {
            return;
        }
        let answer = known.is_none_or(|sign| now.since(sign.answered) >= ANSWER_INTERVAL);
        let answered = known.filter(|_| !answer).map_or(now, |sign| sign.answered);
        self.foreign.ports.insert(port, Sign { heard: now, answered, asked: None });
        if answer {
            self.act(Action::Announce { interface, port });
        }
        if known.is_none() {
            if let Some(name) = self.interfaces.name(port).cloned() {
                self.tell(Notice::NodeBehindPort { port: name, node });
            }
            let behind = self.clients.values().filter(|client| client.port == Some(port));
            for client in behind.map(|client| client.mac).collect::<Vec<_>>() {
                self.leave(client, LeaveReason::Removed, None);
            }
            // The other way round, clients of ours may have been given to that node: they are asked to show themselves.
            self.act(Action::Rescan);
        }
    }

    /// Whether a MAC, heard on a port or elsewhere, is behind a port that leads to another node.
    pub(super) fn is_behind_other_node(&mut self, mac: Mac, port: Option<IfIndex>) -> bool {
        let behind = self.foreign.macs.get(&mac).copied();
        let Some(on) = port.or(behind) else { return false };
        let Some(sign) = self.foreign.ports.get_mut(&on) else {
            self.foreign.macs.remove(&mac);
            return false;
        };
        if self.now.since(sign.heard) >= FRESH {
            match sign.asked {
                None => {
                    sign.asked = Some(self.now);
                    if let Some(interface) = self.interfaces.client_interface_of(on) {
                        self.act(Action::Announce { interface, port: on });
                    }
                }
                Some(asked) if self.now.since(asked) < PATIENCE => {}
                Some(_) => {
                    self.foreign.forget_port(on);
                    return false;
                }
            }
        }
        if self.foreign.macs.len() < MAX_MACS {
            self.foreign.macs.insert(mac, on);
        }
        self.counters.add(Counter::EvidenceBehindNode);
        true
    }

    /// Ports that are none any more lead nowhere.
    pub(super) fn review_foreign_ports(&mut self) {
        let gone = self.foreign.ports.keys().filter(|port| !self.interfaces.is_client_port(**port));
        for port in gone.copied().collect::<Vec<_>>() {
            self.foreign.forget_port(port);
        }
    }
}
