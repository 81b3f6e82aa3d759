//! Interfaces: from configured names and the kernel's links to "here clients may be" and "there the mesh is".

use std::collections::{BTreeMap, BTreeSet};

use super::config::Config;
use super::output::{Action, Notice};
use crate::engine::input::Link;
use crate::gather::gather;
use crate::net::{IfIndex, InterfaceName, Mac};

/// More links than this are ignored: no router has them.
const MAX_LINKS: usize = 4096;

/// More permanent entries of forwarding databases than this are ignored: a node has a few for each port and VLAN.
const MAX_FIXED: usize = 4096;

/// Which way an interface is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Towards other nodes.
    Mesh,
    /// Towards clients.
    Client,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Client => "client",
        }
    }
}

/// A configured interface and whether it can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceStatus {
    /// The configured name.
    pub name: InterfaceName,
    /// What for.
    pub role: Role,
    /// The kernel's number, where it exists.
    pub index: Option<IfIndex>,
    /// Why it cannot be used, or `None` where it can.
    pub problem: Option<&'static str>,
}

/// The links of the node and what they are used for.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    links: BTreeMap<IfIndex, Link>,
    /// The links that the dump being told does not have so far.
    unconfirmed: BTreeSet<IfIndex>,
    /// How many links have a MAC: ours, never a client's.
    own_macs: BTreeMap<Mac, usize>,
    /// MACs that bridges were told, not taught, with their ports: of what this node is itself (a VLAN on a bridge, a macvlan), or set
    /// by an administrator. Never a client's.
    fixed: BTreeSet<(Mac, IfIndex)>,
    mesh: BTreeSet<IfIndex>,
    clients: BTreeSet<IfIndex>,
    /// Where frames are listened for, and which client interface the sender is on.
    listening: BTreeMap<IfIndex, IfIndex>,
    /// Which client interface the clients of a bridge are on.
    bridges: BTreeMap<IfIndex, IfIndex>,
    /// The client interfaces and their ports that carry packets.
    running: BTreeSet<IfIndex>,
    problems: BTreeMap<(bool, InterfaceName), Option<&'static str>>,
}

/// What a change of links or configuration means.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) actions: Vec<Action>,
    pub(super) notices: Vec<Notice>,
    /// Client interfaces that are no more.
    pub(super) lost: Vec<IfIndex>,
    /// Whether a client interface or one of its ports is new, or the interface carries packets only now: what the kernel knows about its clients is worth reading.
    pub(super) gained: bool,
    /// Whether one of them carries packets only now: what was asked of its clients before did not reach them.
    pub(super) woken: bool,
}

impl Interfaces {
    /// Takes in what the kernel says of a link. `false` where nothing changed.
    pub(super) fn seen(&mut self, link: Link) -> bool {
        self.unconfirmed.remove(&link.index);
        if self.links.get(&link.index) == Some(&link) {
            return false;
        }
        if self.links.len() >= MAX_LINKS && !self.links.contains_key(&link.index) {
            return false;
        }
        self.forget_mac(link.index);
        if let Some(mac) = link.mac {
            *self.own_macs.entry(mac).or_insert(0) += 1;
        }
        self.links.insert(link.index, link);
        true
    }

    /// A dump follows: it tells every link there is.
    pub(super) fn dump_started(&mut self) {
        self.unconfirmed = self.links.keys().copied().collect();
        self.fixed.clear();
    }

    /// The dump is complete: links that it did not have went while events were lost. `false` where there are none.
    pub(super) fn dump_completed(&mut self) -> bool {
        let gone = std::mem::take(&mut self.unconfirmed);
        gone.iter().filter(|index| self.gone(**index)).count() > 0
    }

    /// Takes in that a link is gone. `false` where it was not known.
    pub(super) fn gone(&mut self, index: IfIndex) -> bool {
        self.forget_mac(index);
        self.fixed.retain(|(_, port)| *port != index);
        self.links.remove(&index).is_some()
    }

    fn forget_mac(&mut self, index: IfIndex) {
        let Some(mac) = self.links.get(&index).and_then(|link| link.mac) else { return };
        match self.own_macs.get_mut(&mac) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.own_macs.remove(&mac);
            }
        }
    }

    /// Works out anew what the configuration means with the links as they are, and what follows from the difference.
    pub(super) fn refresh(&mut self, config: &Config) -> Change {
        let mut change = Change::default();
        let by_name: BTreeMap<&InterfaceName, &Link> = gather(self.links.values().map(|l| (&l.name, l)));
        let mut problems = BTreeMap::new();

        let mut mesh = BTreeSet::new();
        for name in &config.mesh_interfaces {
            let problem = usable(by_name.get(name).copied()).map(|link| mesh.insert(link.index)).err();
            problems.insert((false, name.clone()), problem);
        }
        let mut clients = BTreeSet::new();
        let mut listening = BTreeMap::new();
        let mut bridges = BTreeMap::new();
        for name in &config.client_interfaces {
            let link = usable(by_name.get(name).copied());
            problems.insert((true, name.clone()), link.as_ref().err().copied());
            let Ok(link) = link else { continue };
            clients.insert(link.index);
            let configured =
                config.client_bridge.as_ref().and_then(|name| by_name.get(name)).filter(|l| l.bridge);
            match bridge_of(link, configured.copied(), &self.links) {
                Some(bridge) => {
                    bridges.entry(bridge).or_insert(link.index);
                    let ports = self.links.values().filter(|port| port.master == Some(bridge) && port.up);
                    for port in ports.filter(|port| Some(port.index) != link.peer) {
                        listening.entry(port.index).or_insert(link.index);
                    }
                }
                None => {
                    listening.entry(link.index).or_insert(link.index);
                }
            }
        }

        let gone = |old: &BTreeSet<IfIndex>, new: &BTreeSet<IfIndex>| -> Vec<IfIndex> {
            old.difference(new).copied().collect()
        };
        change.actions.extend(gone(&self.mesh, &mesh).into_iter().map(Action::LeaveMesh));
        change.actions.extend(gone(&mesh, &self.mesh).into_iter().map(Action::JoinMesh));
        let stop = self.listening.keys().filter(|port| !listening.contains_key(*port));
        change.actions.extend(stop.map(|port| Action::StopListening(*port)));
        let start: Vec<IfIndex> =
            listening.keys().filter(|port| !self.listening.contains_key(*port)).copied().collect();
        change.gained = !start.is_empty() || !gone(&clients, &self.clients).is_empty();
        change.actions.extend(start.into_iter().map(Action::Listen));
        change.lost = gone(&self.clients, &clients);
        let carries = |index: &&IfIndex| self.links.get(index).is_some_and(|link| link.running);
        let running: BTreeSet<IfIndex> = gather(listening.keys().chain(&clients).filter(carries).copied());
        let woken = gone(&running, &self.running);
        change.woken = !woken.is_empty();
        change.gained |= woken.iter().any(|index| clients.contains(index));
        for ((role, name), problem) in &problems {
            let before = self.problems.get(&(*role, name.clone()));
            // An interface that works from the start is no news; one that does not is.
            if before.is_some_and(|before| before != problem) || (before.is_none() && problem.is_some()) {
                change.notices.push(Notice::InterfaceChanged { name: name.clone(), problem: *problem });
            }
        }
        self.mesh = mesh;
        self.clients = clients;
        self.listening = listening;
        self.bridges = bridges;
        self.running = running;
        self.problems = problems;
        change
    }

    /// Whether the MAC is of this node itself, or set by an administrator: never a client's.
    pub(super) fn is_own_mac(&self, mac: Mac) -> bool {
        let ports = (mac, IfIndex(0))..=(mac, IfIndex(u32::MAX));
        self.own_macs.contains_key(&mac) || self.fixed.range(ports).next().is_some()
    }

    /// A forwarding database has a permanent entry for the MAC.
    pub(super) fn fixed(&mut self, mac: Mac, port: IfIndex) {
        if self.fixed.len() < MAX_FIXED {
            self.fixed.insert((mac, port));
        }
    }

    /// The permanent entry is gone.
    pub(super) fn no_longer_fixed(&mut self, mac: Mac, port: IfIndex) {
        self.fixed.remove(&(mac, port));
    }

    /// Whether clients are behind this port of a bridge.
    pub(super) fn is_client_port(&self, port: IfIndex) -> bool {
        let bridge = self.links.get(&port).and_then(|link| link.master);
        self.listening.contains_key(&port) && bridge.is_some_and(|bridge| self.bridges.contains_key(&bridge))
    }

    /// Whether the intercom runs on the interface.
    pub(super) fn is_mesh(&self, index: IfIndex) -> bool {
        self.mesh.contains(&index)
    }

    /// The usable mesh interfaces.
    pub(super) fn mesh(&self) -> impl Iterator<Item = IfIndex> + '_ {
        self.mesh.iter().copied()
    }

    /// The usable client interfaces.
    pub(super) fn clients(&self) -> impl Iterator<Item = IfIndex> + '_ {
        self.clients.iter().copied()
    }

    /// Whether clients are served on the interface.
    pub(super) fn is_client(&self, index: IfIndex) -> bool {
        self.clients.contains(&index)
    }

    /// The client interface that the sender of a frame heard on `port` is on.
    pub(super) fn client_interface_of(&self, port: IfIndex) -> Option<IfIndex> {
        self.listening.get(&port).copied().or_else(|| self.clients.get(&port).copied())
    }

    /// The client interface that the clients behind the ports of `bridge` are on.
    pub(super) fn client_interface_of_bridge(&self, bridge: IfIndex) -> Option<IfIndex> {
        self.bridges.get(&bridge).copied()
    }

    /// Whether the interface is a bridge of which no port carries packets yet. The kernel drops whatever is sent to it, while frames are
    /// heard on its ports already.
    pub(super) fn is_asleep(&self, index: IfIndex) -> bool {
        self.links.get(&index).is_some_and(|link| link.bridge && !link.running)
    }

    /// The name of a link.
    pub(super) fn name(&self, index: IfIndex) -> Option<&InterfaceName> {
        self.links.get(&index).map(|link| &link.name)
    }

    /// The link of this name.
    pub(super) fn named(&self, name: &InterfaceName) -> Option<IfIndex> {
        self.links.values().find(|link| link.name == *name).map(|link| link.index)
    }

    /// Every configured interface and how it stands.
    pub(super) fn status(&self) -> impl Iterator<Item = InterfaceStatus> + '_ {
        self.problems.iter().map(|((client, name), problem)| InterfaceStatus {
            name: name.clone(),
            role: if *client { Role::Client } else { Role::Mesh },
            index: self.named(name),
            problem: *problem,
        })
    }
}

fn usable(link: Option<&Link>) -> Result<&Link, &'static str> {
    let link = link.ok_or("does not exist")?;
    if link.up { Ok(link) } else { Err("is down") }
}

/// The bridge whose ports the clients of `link` are behind: itself; the one configured; or the one that its veth peer is
/// a port of (Gluon's local-node).
fn bridge_of(link: &Link, configured: Option<&Link>, links: &BTreeMap<IfIndex, Link>) -> Option<IfIndex> {
    if link.bridge {
        return Some(link.index);
    }
    let through_peer = link.peer.and_then(|peer| links.get(&peer)).and_then(|peer| peer.master);
    through_peer.or(configured.map(|bridge| bridge.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index: IfIndex(index),
            name: name.parse().unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
            up: true,
            running: true,
            master: None,
            bridge: false,
            peer: None,
        }
    }

    fn config(mesh: &[&str], client: &[&str]) -> Config {
        let names = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect();
        let mut config = Config::new("fd00::1".parse().unwrap());
        config.mesh_interfaces = names(mesh);
        config.client_interfaces = names(client);
        config
    }

    #[test]
    fn a_veth_in_a_bridge_is_listened_to_on_the_other_ports_of_that_bridge() {
        let mut interfaces = Interfaces::default();
        interfaces.seen(Link { peer: Some(IfIndex(2)), ..link(1, "local-node") });
        interfaces.seen(Link { master: Some(IfIndex(3)), ..link(2, "local-port") });
        interfaces.seen(Link { bridge: true, ..link(3, "br-client") });
        interfaces.seen(Link { master: Some(IfIndex(3)), ..link(4, "client0") });
        let change = interfaces.refresh(&config(&[], &["local-node"]));
        assert_eq!(change.actions, [Action::Listen(IfIndex(4))]);
        assert_eq!(interfaces.client_interface_of(IfIndex(4)), Some(IfIndex(1)));
        assert_eq!(interfaces.client_interface_of_bridge(IfIndex(3)), Some(IfIndex(1)));
        assert!(interfaces.is_own_mac(Mac([2, 0, 0, 0, 0, 4])));
    }

    #[test]
    fn an_interface_that_vanishes_and_returns_under_the_same_name_is_used_again() {
        let mut interfaces = Interfaces::default();
        let config = config(&["mesh0"], &["br-client"]);
        let change = interfaces.refresh(&config);
        assert_eq!(change.notices.len(), 2, "both are missing");
        interfaces.seen(link(1, "mesh0"));
        interfaces.seen(Link { bridge: true, ..link(2, "br-client") });
        assert_eq!(interfaces.refresh(&config).actions, [Action::JoinMesh(IfIndex(1))]);
        interfaces.gone(IfIndex(1));
        interfaces.gone(IfIndex(2));
        let change = interfaces.refresh(&config);
        assert_eq!(change.actions, [Action::LeaveMesh(IfIndex(1))]);
        assert_eq!(change.lost, [IfIndex(2)]);
        interfaces.seen(link(7, "mesh0"));
        assert_eq!(interfaces.refresh(&config).actions, [Action::JoinMesh(IfIndex(7))]);
    }

    #[test]
    fn a_link_that_is_down_is_no_use_and_says_so() {
        let mut interfaces = Interfaces::default();
        interfaces.seen(Link { up: false, ..link(1, "mesh0") });
        let change = interfaces.refresh(&config(&["mesh0"], &[]));
        assert!(change.actions.is_empty());
        assert_eq!(interfaces.status().next().unwrap().problem, Some("is down"));
    }
}
