//! The world: nodes, clients, and one queue of events. Time is virtual and jumps to the next event.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use l3roamd::engine::config::Tunables;
use l3roamd::engine::{Action, Engine, Input, Output};
use l3roamd::net::Mac;
use l3roamd::time::Timestamp;
use l3roamd::wire::frame::FrameContent;

use crate::c_node::CNode;
use crate::clients::{ClientId, SimClient};
use crate::kernel::{Kernel, Way};
use crate::model::Audit;
use crate::node::{Brain, Node, NodeId, config, node_address};
use crate::packets::Traffic;
use crate::random::Random;
use crate::routing::Paths;

/// A range of durations.
pub type Range = (Duration, Duration);

/// A range of milliseconds.
pub const fn millis(from: u64, to: u64) -> Range {
    (Duration::from_millis(from), Duration::from_millis(to))
}

/// How fast and how well everything works. May be changed while the world runs.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Of one hop of a mesh link. A wide range reorders.
    pub latency: Range,
    /// Of intercom datagrams, per hop, in percent.
    pub loss: u32,
    /// The same.
    pub duplication: u32,
    /// From the host route at one node to its use at another.
    pub announce: Range,
    /// From the removal of the host route to its removal at another node.
    pub withdraw: Range,
    /// Until the kernel has answered a route lookup.
    pub lookup: Range,
    /// From a frame in the air or a request to a client to what the engine hears of it.
    pub air: Range,
    /// Answers of clients that are lost, in percent.
    pub air_loss: u32,
    /// How often the old access point notices that a station is gone, in percent.
    pub leave_notice: u32,
    /// How often a daemon is not run for a while before it reads or does one thing more, in per mille; and for how long.
    pub stalls: (usize, Range),
}

impl Default for Conditions {
    /// A quiet mesh with ideal routing.
    fn default() -> Self {
        Self {
            latency: (Duration::from_micros(800), Duration::from_micros(1500)),
            loss: 0,
            duplication: 0,
            announce: millis(0, 0),
            withdraw: millis(0, 0),
            lookup: (Duration::from_micros(50), Duration::from_micros(200)),
            air: millis(1, 4),
            air_loss: 0,
            leave_notice: 0,
            stalls: (0, millis(0, 0)),
        }
    }
}

/// What happens at a time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A fact reaches the daemon's run.
    Tell { node: NodeId, run: u32, input: Box<Input> },
    /// The kernel answers where an address leads.
    Lookup { node: NodeId, run: u32, address: IpAddr },
    /// The daemon reads neighbour tables and forwarding databases.
    Dump { node: NodeId, run: u32 },
    /// An intercom datagram reaches a node.
    Datagram {
        at: NodeId,
        from: Option<NodeId>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: Rc<[u8]>,
        hops: u8,
    },
    /// A client's packet reaches a node's kernel.
    Packet { at: NodeId, bytes: Rc<[u8]>, hops: u8 },
    /// A node's routing daemon hears of an address.
    Route { at: NodeId, address: IpAddr, origin: NodeId, serial: u64, way: Way },
    /// A frame of a client reaches the port that it was sent to.
    Frame { client: ClientId, stay: u32, content: FrameContent },
    /// The access point gives up a station.
    StationGone { node: NodeId, client: Mac, stay: u32 },
    /// The machine runs a daemon again.
    Resume { node: NodeId, run: u32 },
    /// A client that talks says something.
    Talk { client: ClientId },
}

/// Everything.
#[derive(Debug)]
pub struct World {
    pub now: Timestamp,
    pub seed: u64,
    pub random: Random,
    pub conditions: Conditions,
    pub nodes: Vec<Node>,
    pub clients: Vec<SimClient>,
    pub by_mac: BTreeMap<Mac, ClientId>,
    pub by_address: BTreeMap<IpAddr, ClientId>,
    pub paths: Paths,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    pub traffic: Traffic,
    /// How often each packet was relayed.
    pub relayed: BTreeMap<u64, u32>,
    pub tunables: Tunables,
    pub(crate) serial: u64,
    events: BTreeMap<(Timestamp, u64), Event>,
    order: u64,
    /// When each node's daemon wants a timeout, as far as the nodes are not `touched`.
    wakes: Vec<Option<Timestamp>>,
    touched: Vec<NodeId>,
    pub steps: u64,
    /// Print every input and output (`L3ROAMD_SIM_TRACE`).
    trace: bool,
}

impl World {
    /// Nodes with the given neighbours behind their mesh interfaces; `old` ones run the model of the C daemon.
    pub fn new(seed: u64, mesh: Vec<Vec<BTreeSet<NodeId>>>, old: &[NodeId], tunables: Tunables) -> Self {
        let mut world = Self {
            now: Timestamp::from_millis(1_000_000),
            seed,
            random: Random::new(seed),
            conditions: Conditions::default(),
            nodes: Vec::new(),
            clients: Vec::new(),
            by_mac: BTreeMap::new(),
            by_address: BTreeMap::new(),
            paths: Paths::default(),
            cut: BTreeSet::new(),
            traffic: Traffic::default(),
            relayed: BTreeMap::new(),
            tunables,
            serial: 0,
            events: BTreeMap::new(),
            order: 0,
            wakes: Vec::new(),
            touched: Vec::new(),
            steps: 0,
            trace: std::env::var_os("L3ROAMD_SIM_TRACE").is_some(),
        };
        for (id, mesh) in mesh.into_iter().enumerate() {
            let brain = if old.contains(&id) {
                Brain::Old(Box::new(CNode::new(node_address(id), world.random.next())))
            } else {
                world.engine(id, mesh.len())
            };
            world.nodes.push(Node {
                address: node_address(id),
                brain,
                up: true,
                run: 0,
                stalled: None,
                kernel: Kernel::default(),
                mesh,
                rib: BTreeMap::new(),
                stations: BTreeMap::new(),
                audit: Audit::default(),
            });
        }
        world.find_paths();
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world.run_for(Duration::from_millis(10));
        world
    }

    /// Nodes in a row, wired: one mesh interface for each neighbour.
    pub fn chain(seed: u64, count: usize) -> Self {
        Self::chain_with(seed, count, &[], Tunables::default())
    }

    /// The same with old nodes and other bounds.
    pub fn chain_with(seed: u64, count: usize, old: &[NodeId], tunables: Tunables) -> Self {
        let neighbours = |n: usize| (0..count).filter(move |m| m.abs_diff(n) == 1);
        let mesh = (0..count).map(|n| neighbours(n).map(|m| BTreeSet::from([m])).collect()).collect();
        Self::new(seed, mesh, old, tunables)
    }

    /// Nodes in a ring, wired.
    pub fn ring(seed: u64, count: usize) -> Self {
        let sides = |n: usize| [(n + 1) % count, (n + count - 1) % count];
        let mesh = (0..count).map(|n| sides(n).into_iter().map(|m| BTreeSet::from([m])).collect()).collect();
        Self::new(seed, mesh, &[], Tunables::default())
    }

    /// A connected random graph on one radio channel: one mesh interface with all neighbours behind it.
    pub fn radio(seed: u64, count: usize) -> Self {
        Self::radio_with(seed, count, &[], Tunables::default())
    }

    /// The same with old nodes and other bounds.
    pub fn radio_with(seed: u64, count: usize, old: &[NodeId], tunables: Tunables) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let mut mesh = vec![BTreeSet::new(); count];
        let mut join = |a: usize, b: usize| {
            if a != b {
                mesh[a].insert(b);
                mesh[b].insert(a);
            }
        };
        for node in 1..count {
            join(node, random.below(node));
            join(node, random.below(count));
        }
        Self::new(seed, mesh.into_iter().map(|behind| vec![behind]).collect(), old, tunables)
    }

    pub(crate) fn engine(&mut self, id: NodeId, mesh_interfaces: usize) -> Brain {
        let mut config = config(id, mesh_interfaces);
        config.tunables = self.tunables.clone();
        Brain::Ours(Box::new(Engine::new(config, self.random.next(), self.now)))
    }

    /// Something will happen after a while.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    /// A fact will reach the daemon after a while, if it still runs then.
    pub fn tell_after(&mut self, delay: Duration, node: NodeId, input: Input) {
        let run = self.nodes[node].run;
        self.after(delay, Event::Tell { node, run, input: Box::new(input) });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Does what is next, unless it is later than `end`.
    fn step(&mut self, end: Timestamp) -> bool {
        let wake = self.next_wake();
        let event = self.events.first_key_value().map(|(key, _)| key.0);
        let next = wake.map(|(at, _)| at).into_iter().chain(event).min();
        let Some(at) = next.filter(|at| *at <= end) else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        match wake {
            Some((due, node)) if event.is_none_or(|event| due < event) => {
                self.tell(node, Input::Timeout);
            }
            _ => {
                if let Some((_, event)) = self.events.pop_first() {
                    self.happen(event);
                }
            }
        }
        true
    }

    /// A node is not as it was: when it wants a timeout is asked anew.
    pub fn touch(&mut self, node: NodeId) {
        self.touched.push(node);
    }

    /// Which daemon wants a timeout next.
    fn next_wake(&mut self) -> Option<(Timestamp, NodeId)> {
        self.wakes.resize(self.nodes.len(), None);
        for id in self.touched.drain(..) {
            let node = &self.nodes[id];
            self.wakes[id] = node.brain.poll_timeout().filter(|_| node.up && node.stalled.is_none());
        }
        self.wakes.iter().enumerate().filter_map(|(id, wake)| Some(((*wake)?, id))).min()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tell { node, run, input } => {
                if self.runs(node, run) {
                    self.tell(node, *input);
                }
            }
            Event::Lookup { node, run, address } => {
                if self.runs(node, run) {
                    let found = self.look_up(node, address);
                    self.tell(node, Input::RouteLookedUp { address, found });
                }
            }
            Event::Dump { node, run } => {
                if self.runs(node, run) {
                    self.dump(node);
                }
            }
            Event::Datagram { at, from, source, destination, bytes, hops } => {
                self.datagram_at(at, from, source, destination, &bytes, hops);
            }
            Event::Packet { at, bytes, hops } => self.packet_at(at, &bytes, hops),
            Event::Route { at, address, origin, serial, way } => {
                self.route_heard(at, address, origin, serial, way);
            }
            Event::Frame { client, stay, content } => self.frame_sent(client, stay, content),
            Event::StationGone { node, client, stay } => self.station_gone(node, client, stay),
            Event::Resume { node, run } => {
                if self.runs(node, run) {
                    self.resume(node);
                }
            }
            Event::Talk { client } => self.talk(client),
        }
    }

    fn runs(&self, node: NodeId, run: u32) -> bool {
        self.nodes[node].up && self.nodes[node].run == run
    }

    /// Tells a fact now, carries out what follows, and checks the invariants.
    pub fn tell(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        self.tell_at(now, node, input);
    }

    /// The same with another idea of the time.
    pub fn tell_at(&mut self, now: Timestamp, node: NodeId, input: Input) {
        self.stall_perhaps(node);
        let quiet = input == Input::Timeout;
        if let Some(waiting) = &mut self.nodes[node].stalled {
            if !quiet {
                waiting.push(input);
            }
            return;
        }
        self.hand(now, node, input);
        self.finish_round(node, quiet);
    }

    /// Hands a fact to the daemon.
    pub fn hand(&mut self, now: Timestamp, node: NodeId, input: Input) {
        if self.trace && input != Input::Timeout {
            eprintln!("{} node {node} <- {input:?}", self.now);
        }
        self.audit_read(node, &input);
        self.nodes[node].brain.handle(now, input);
    }

    /// A daemon has read what there was: its timers have their turn, then it does what it wants.
    pub fn finish_round(&mut self, node: NodeId, quiet: bool) {
        if self.nodes[node].brain.poll_timeout().is_some_and(|due| due <= self.now) {
            self.nodes[node].brain.handle(self.now, Input::Timeout);
        }
        let outputs = self.drain(node);
        if self.nodes[node].stalled.is_none() {
            self.check_step(node, quiet, outputs);
        }
    }

    /// Carries out everything that a daemon has put out.
    pub fn drain(&mut self, node: NodeId) -> usize {
        self.touch(node);
        let mut count = 0;
        while self.nodes[node].stalled.is_none() {
            let Some(output) = self.nodes[node].brain.poll() else { break };
            count += 1;
            if self.trace {
                eprintln!("{} node {node} -> {output:?}", self.now);
            }
            self.audit(node, &output);
            if let Output::Action(action) = output {
                self.perform(node, action);
            }
            self.stall_perhaps(node);
        }
        count
    }

    fn perform(&mut self, node: NodeId, action: Action) {
        let run = self.nodes[node].run;
        match action {
            Action::LookupRoute(address) => {
                let delay = self.random.between(self.conditions.lookup);
                self.after(delay, Event::Lookup { node, run, address });
            }
            Action::SendIntercom { destination, datagram } => self.transmit(node, destination, datagram),
            Action::Probe { interface: _, address, client } => self.probed(node, address, client),
            Action::QueryClient { interface: _, client } => self.queried(node, client),
            Action::ReleasePacket(packet) => self.released(node, packet),
            Action::SendUnreachable { to: _, packet: _ } => self.traffic.unreachable += 1,
            Action::Rescan => self.after(Duration::from_micros(300), Event::Dump { node, run }),
            Action::Reconcile => self.reconcile(node),
            action => {
                if let Some((address, way)) = self.nodes[node].kernel.apply(&action) {
                    self.announce(node, address, way);
                }
                // The daemon has the kernel's answer before it carries out what is next.
                let answer = match action {
                    Action::InstallRoute(route) => Input::RouteInstalled(route),
                    Action::InstallNeighbour(entry) => Input::NeighbourInstalled(entry),
                    _ => return,
                };
                self.nodes[node].brain.handle(self.now, answer);
            }
        }
    }

    fn reconcile(&mut self, node: NodeId) {
        let Some(desired) = self.nodes[node].engine().map(Engine::desired_state) else { return };
        for action in self.nodes[node].kernel.reconcile(&desired) {
            self.perform(node, action);
        }
    }
}

/// Tells how to repeat a failed run.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("").to_owned();
            let seed = self.seed;
            eprintln!("failed at {} after {} steps with seed {seed}; repeat with:", self.now, self.steps);
            eprintln!("  L3ROAMD_SIM_SEED={seed} cargo test --test sim -- --exact {name}");
        }
    }
}
