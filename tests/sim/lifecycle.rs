//! Daemons start, crash, end in order; and tell what they find in the kernel.

use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::{FdbEntry, NeighbourFact, NeighbourState};
use l3roamd::engine::output::RouteKind;
use l3roamd::net::IfIndex;

use crate::kernel::BRIDGE;
use crate::model::Audit;
use crate::node::{Brain, NodeId};
use crate::world::World;

/// A bridge forgets a MAC after this.
const FDB_AGE: Duration = Duration::from_secs(300);

impl World {
    /// The daemon begins: it learns the links, what is known of clients, and what an earlier run left.
    pub fn start(&mut self, id: NodeId) {
        self.nodes[id].up = true;
        self.nodes[id].audit = Audit::starting();
        let links = self.nodes[id].links(id).into_iter().map(Input::LinkSeen);
        let mut facts = vec![Input::DumpStarted];
        facts.extend(links);
        facts.extend(self.known_clients(id));
        facts.push(Input::DumpCompleted);
        let node = &self.nodes[id];
        for ((table, address), kind) in &node.kernel.routes {
            let RouteKind::Served(interface) = kind else { continue };
            let client = node.kernel.neighbours.get(&(*interface, *address)).copied();
            let (address, interface, table) = (*address, *interface, *table);
            facts.push(Input::RouteAdopted { address, interface, table, client });
        }
        let held = node.kernel.node_client_addresses.iter();
        facts.extend(held.map(|address| Input::NodeClientAddressAdopted(*address)));
        facts.push(Input::AdoptionCompleted);
        for fact in facts {
            self.tell(id, fact);
        }
        self.nodes[id].audit.starting = false;
        let stations: Vec<_> = self.nodes[id].stations.iter().map(|(mac, (port, _))| (*mac, *port)).collect();
        for (client, interface) in stations {
            self.tell(id, Input::StationAssociated { interface, client });
        }
    }

    /// The daemon dies; its kernel state stays.
    pub fn crash(&mut self, id: NodeId) {
        let mesh = self.nodes[id].mesh.len();
        let brain = self.engine(id, mesh);
        self.touch(id);
        let node = &mut self.nodes[id];
        node.up = false;
        node.run += 1;
        node.stalled = None;
        node.brain = brain;
        // Sockets die with their process.
        node.kernel.joined.clear();
        node.kernel.listening.clear();
    }

    /// The daemon ends in order. (The old one is only known to crash.)
    pub fn stop(&mut self, id: NodeId) {
        let now = self.now;
        match &mut self.nodes[id].brain {
            Brain::Ours(engine) => engine.shut_down(now),
            Brain::Old(_) => return self.crash(id),
        }
        self.drain(id);
        self.check_step(id, false, 1);
        let left = self.nodes[id].kernel.state();
        assert_eq!(left, l3roamd::engine::DesiredState::default(), "an orderly end leaves nothing behind");
        self.crash(id);
    }

    /// An operator says something.
    pub fn command(&mut self, id: NodeId, line: &str) {
        let now = self.now;
        if let Brain::Ours(engine) = &mut self.nodes[id].brain {
            engine.command(now, &line.parse().unwrap()).unwrap();
        }
        self.drain(id);
        self.check_step(id, false, 1);
    }

    /// A netlink overrun: what happened is read from the tables.
    pub fn dump_if_up(&mut self, id: NodeId) {
        if self.nodes[id].up {
            self.dump(id);
        }
    }

    /// The daemon reads links, neighbour tables and forwarding databases again.
    pub fn dump(&mut self, id: NodeId) {
        self.tell(id, Input::DumpStarted);
        let links: Vec<Input> = self.nodes[id].links(id).into_iter().map(Input::LinkSeen).collect();
        for fact in links.into_iter().chain(self.known_clients(id)) {
            self.tell(id, fact);
        }
        self.tell(id, Input::DumpCompleted);
    }

    fn known_clients(&self, id: NodeId) -> Vec<Input> {
        let kernel = &self.nodes[id].kernel;
        let fresh = |seen| self.now.since(seen) < FDB_AGE;
        let fdb = kernel.fdb.iter().filter(|(_, (_, seen))| fresh(*seen));
        let mut facts: Vec<Input> = fdb
            .map(|(mac, (port, _))| {
                Input::FdbSeen(FdbEntry { bridge: BRIDGE, port: *port, mac: *mac, permanent: false })
            })
            .collect();
        facts.push(Input::FdbSeen(FdbEntry {
            bridge: BRIDGE,
            port: IfIndex(101),
            mac: self.nodes[id].links(id)[1].mac.unwrap(),
            permanent: true,
        }));
        for ((interface, address), mac) in &kernel.neighbours {
            facts.push(Input::NeighbourSeen(NeighbourFact {
                interface: *interface,
                address: *address,
                mac: Some(*mac),
                state: NeighbourState::Stale,
                ours: true,
            }));
        }
        facts
    }
}
