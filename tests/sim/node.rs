//! One simulated node: its daemon (ours, or the model of the C daemon), its kernel, and where its mesh interfaces lead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use l3roamd::engine::input::Link;
use l3roamd::engine::{Config, Engine, Input, Output};
use l3roamd::net::{IfIndex, Mac};
use l3roamd::time::Timestamp;

use crate::c_node::CNode;
use crate::kernel::{BRIDGE, FIRST_MESH, Kernel, PORTS};
use crate::model::Audit;
use crate::routing::Rib;

/// The number of a node in its world.
pub type NodeId = usize;

/// Who decides.
#[derive(Debug)]
pub enum Brain {
    /// Our engine.
    Ours(Box<Engine>),
    /// The model of the C daemon.
    Old(Box<CNode>),
}

impl Brain {
    /// Tells a fact.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        match self {
            Self::Ours(engine) => engine.handle(now, input),
            Self::Old(old) => old.handle(now, input),
        }
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        match self {
            Self::Ours(engine) => engine.poll(),
            Self::Old(old) => old.poll(),
        }
    }

    /// When it wants a timeout.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::Ours(engine) => engine.poll_timeout().map(|(at, _)| at),
            Self::Old(old) => old.poll_timeout(),
        }
    }
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its node address.
    pub address: Ipv6Addr,
    /// Its daemon.
    pub brain: Brain,
    /// Whether the daemon runs. The kernel and the routing daemon go on without it.
    pub up: bool,
    /// Counts the runs of the daemon: facts on their way to an earlier run are lost.
    pub run: u32,
    /// What the daemon will read when the machine runs it again.
    pub stalled: Option<Vec<Input>>,
    /// Its kernel.
    pub kernel: Kernel,
    /// The neighbours behind each mesh interface.
    pub mesh: Vec<BTreeSet<NodeId>>,
    /// What its routing daemon knows.
    pub rib: Rib,
    /// The access point's stations, with the stay of each.
    pub stations: BTreeMap<Mac, (IfIndex, u32)>,
    /// What the invariants need to remember.
    pub audit: Audit,
}

impl Node {
    /// The links of the node as the kernel shows them.
    pub fn links(&self, id: NodeId) -> Vec<Link> {
        let link = |index: IfIndex, name: String| Link {
            index,
            mac: Some(own_mac(id, index)),
            name: name.parse().unwrap(),
            up: true,
            running: true,
            master: None,
            bridge: false,
            peer: None,
        };
        let mut links = vec![Link { bridge: true, ..link(BRIDGE, "br-client".into()) }];
        for (n, port) in PORTS.into_iter().enumerate() {
            links.push(Link { master: Some(BRIDGE), ..link(port, format!("port{n}")) });
        }
        for n in 0..self.mesh.len() {
            links.push(link(mesh_interface(n), format!("mesh{n}")));
        }
        links
    }

    /// The mesh interface that leads to a neighbour.
    pub fn interface_towards(&self, neighbour: NodeId) -> Option<IfIndex> {
        self.mesh.iter().position(|behind| behind.contains(&neighbour)).map(mesh_interface)
    }

    /// The neighbours behind a mesh interface.
    pub fn behind(&self, interface: IfIndex) -> Vec<NodeId> {
        let n = usize::try_from(interface.0 - FIRST_MESH).unwrap();
        self.mesh.get(n).map(|behind| behind.iter().copied().collect()).unwrap_or_default()
    }

    /// Our engine, where it is one.
    pub fn engine(&self) -> Option<&Engine> {
        match &self.brain {
            Brain::Ours(engine) => Some(engine),
            Brain::Old(_) => None,
        }
    }

    /// Whether the daemon serves the client.
    pub fn serves(&self, mac: Mac) -> bool {
        self.up
            && match &self.brain {
                Brain::Ours(engine) => engine.client(mac).is_some(),
                Brain::Old(old) => old.serves(mac),
            }
    }
}

/// The node address of a node.
pub fn node_address(id: NodeId) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::try_from(id + 1).unwrap())
}

/// The configuration of a node with so many mesh interfaces.
pub fn config(id: NodeId, mesh_interfaces: usize) -> Config {
    let mut config = Config::new(node_address(id));
    config.prefixes = vec!["2001:db8:1::/64".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    config.client_interfaces = vec!["br-client".parse().unwrap()];
    config.mesh_interfaces = (0..mesh_interfaces).map(|n| format!("mesh{n}").parse().unwrap()).collect();
    config
}

fn mesh_interface(n: usize) -> IfIndex {
    IfIndex(FIRST_MESH + u32::try_from(n).unwrap())
}

fn own_mac(id: NodeId, interface: IfIndex) -> Mac {
    Mac([2, 0xee, 0, u8::try_from(id).unwrap(), 0, u8::try_from(interface.0).unwrap()])
}
