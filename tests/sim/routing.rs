//! The routing daemons: what each node knows of the host routes of others, and when it comes to know.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::RouteLookup;

use crate::kernel::{BRIDGE, Way};
use crate::node::NodeId;
use crate::world::{Event, World};

/// For every address the nodes that announced it, each with the number of the announcement, and what stands since.
pub type Rib = BTreeMap<IpAddr, BTreeMap<NodeId, (u64, Way)>>;

/// Distance and next hop between any two nodes, over the links that are not cut.
#[derive(Debug, Default)]
pub struct Paths(Vec<Vec<Option<(usize, NodeId)>>>);

impl Paths {
    /// Distance and next hop; `None` where no way leads there.
    pub fn get(&self, from: NodeId, to: NodeId) -> Option<(usize, NodeId)> {
        self.0[from][to]
    }
}

impl World {
    /// Whether a link works.
    pub fn linked(&self, a: NodeId, b: NodeId) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Cuts all links between the nodes named and the others.
    pub fn partition(&mut self, side: &[NodeId]) {
        for a in 0..self.nodes.len() {
            for b in self.nodes[a].mesh.iter().flatten() {
                if side.contains(&a) != side.contains(b) {
                    self.cut.insert((a.min(*b), a.max(*b)));
                }
            }
        }
        self.find_paths();
    }

    /// All links work again.
    pub fn merge(&mut self) {
        self.cut.clear();
        self.find_paths();
    }

    /// Finds the shortest ways anew.
    pub fn find_paths(&mut self) {
        let count = self.nodes.len();
        let mut paths = vec![vec![None; count]; count];
        for (to, _) in self.nodes.iter().enumerate() {
            // Backwards from the destination: the node that finds another is its next hop.
            let mut queue = VecDeque::from([(to, 0)]);
            while let Some((at, distance)) = queue.pop_front() {
                for next in self.nodes[at].mesh.iter().flatten().copied() {
                    if next != to && paths[next][to].is_none() && self.linked(at, next) {
                        paths[next][to] = Some((distance + 1, at));
                        queue.push_back((next, distance + 1));
                    }
                }
            }
            paths[to][to] = Some((0, to));
        }
        self.paths = Paths(paths);
    }

    /// A host route has appeared at a node or gone: the others hear of it, and the node's own daemon sees it.
    pub fn announce(&mut self, origin: NodeId, address: IpAddr, way: Way) {
        self.serial += 1;
        let serial = self.serial;
        if way == Way::Served {
            self.tell_after(Duration::from_micros(20), origin, Input::HostRouteSeen(address));
        }
        let range = if way == Way::Served { self.conditions.announce } else { self.conditions.withdraw };
        for at in (0..self.nodes.len()).filter(|at| *at != origin) {
            let delay = self.random.between(range);
            if delay.is_zero() {
                self.route_heard(at, address, origin, serial, way);
            } else {
                self.after(delay, Event::Route { at, address, origin, serial, way });
            }
        }
    }

    /// A node's routing daemon hears of an address.
    pub fn route_heard(&mut self, at: NodeId, address: IpAddr, origin: NodeId, serial: u64, way: Way) {
        let heard = self.nodes[at].rib.entry(address).or_default().entry(origin).or_insert((0, Way::None));
        if heard.0 > serial {
            return;
        }
        *heard = (serial, way);
        if way != Way::None {
            self.tell_after(Duration::from_micros(20), at, Input::HostRouteSeen(address));
        }
    }

    /// The nearest node that announces the address, as far as `at` knows; one that serves it rather than one that drains it.
    pub fn nearest(&self, at: NodeId, address: IpAddr) -> Option<NodeId> {
        let origins = self.nodes[at].rib.get(&address)?.iter().filter(|(_, (_, way))| *way != Way::None);
        let reachable = origins
            .filter_map(|(origin, (_, way))| Some((Reverse(*way), self.paths.get(at, *origin)?.0, *origin)));
        reachable.min().map(|(.., origin)| origin)
    }

    /// What the kernel of a node says of an address.
    pub fn look_up(&self, at: NodeId, address: IpAddr) -> RouteLookup {
        let node = &self.nodes[at];
        let own = IpAddr::V6(node.address) == address
            || matches!(address, IpAddr::V6(a) if node.kernel.node_client_addresses.contains(&a));
        if own {
            return RouteLookup::Local;
        }
        if let Some(interface) = node.kernel.host_route(address) {
            return RouteLookup::HostRoute { interface, protocol: 158 };
        }
        if node.kernel.drains(address) {
            return RouteLookup::Other;
        }
        let peer = self.nodes.iter().position(|other| IpAddr::V6(other.address) == address);
        if let Some((_, next)) = peer.and_then(|peer| self.paths.get(at, peer)) {
            return node
                .interface_towards(next)
                .map_or(RouteLookup::Other, |interface| RouteLookup::HostRoute { interface, protocol: 42 });
        }
        let towards = self.nearest(at, address).and_then(|origin| self.paths.get(at, origin));
        match towards.and_then(|(_, next)| node.interface_towards(next)) {
            Some(interface) if interface != BRIDGE => RouteLookup::HostRoute { interface, protocol: 42 },
            _ => RouteLookup::Other,
        }
    }
}
