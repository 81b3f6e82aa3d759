//! The engine decides. It performs no I/O, reads no clock and draws no randomness of its own.
//!
//! # Contract
//! - [`Engine::handle`] and [`Engine::command`] take facts and wishes in. Several calls before draining are fine.
//! - [`Engine::poll`] gives orders and news, in one queue whose order is part of the protocol.
//! - [`Engine::poll_timeout`] tells when [`Input::Timeout`] is wanted; a spurious one does nothing. Nothing that waits runs out without it:
//!   who was late tells first what else there is to tell.
//! - [`Engine::desired_state`] names at any time all that should stand in the kernel.
//!
//! `now` is an argument and never goes back. The same calls with the same seed give the same outputs, to the byte.
//!
//! # Rooms
//! | file | concept |
//! |---|---|
//! | `interfaces` | which links are towards clients, which towards the mesh |
//! | `presence`, `addresses` | a client is noticed, verified, lost; its addresses |
//! | `stations` | what access points say of clients |
//! | `foreign` | ports that lead to another node's clients |
//! | `handover` | a client comes: our CLAIM until INFO |
//! | `relinquish` | a client goes: their CLAIM, our INFO until ACK, memory of former clients |
//! | `history` | what became of recent handovers |
//! | `contest` | a client that is claimed elsewhere and still answers here |
//! | `drain`, `relay` | what still comes for a client that has gone is caught, and goes after it |
//! | `overlap` | for how long, and whose drained route ends first where a client walks on |
//! | `timing` | what took how long in handovers |
//! | `search` | packets that wait for an unknown address, local probes, SEEK |
//! | `intercom` | what a datagram is taken for, how one is sent |
//! | `nodes` | who is a node, and so believed |
//! | `adoption` | what an earlier run left |
//! | `repair` | what somebody else removed from the kernel |
//! | `apply` | commands |

#![forbid(unsafe_code)]

mod addresses;
mod adoption;
mod apply;
pub mod client;
pub mod command;
pub mod config;
mod contest;
mod drain;
mod flood;
mod foreign;
mod handover;
pub mod history;
pub mod input;
mod intercom;
mod interfaces;
mod nodes;
pub mod output;
mod overlap;
mod peers;
mod presence;
mod rate;
mod relay;
mod relinquish;
mod repair;
mod search;
mod small_map;
mod stations;
pub mod stats;
mod timers;
pub mod timing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::net::{IfIndex, InterfaceName, Mac, is_host_address, is_link_local};
use crate::time::Timestamp;
pub use apply::CommandError;
use client::Client;
pub use command::{Command, Report};
pub use config::Config;
pub use history::Handover;
pub use input::Input;
pub use interfaces::{InterfaceStatus, Role};
pub use output::{Action, DesiredState, Notice, Output};
use output::{HostRoute, Neighbour, RouteKind};
pub use peers::Peer;
use stats::{Counter, Counters};
use timers::{Deadlines, Timer};

/// More addresses of this node than this are not remembered: no router has them.
const MAX_OWN_ADDRESSES: usize = 4096;

/// An empty queue keeps the memory of this many outputs. A burst makes it a hundred times as long.
const KEPT_OUTPUTS: usize = 64;

/// The decisions of one node. See [`Engine::handle`] and [`Engine::poll`].
#[derive(Debug)]
pub struct Engine {
    config: Config,
    now: Timestamp,
    queue: VecDeque<Output>,
    timers: Deadlines<Timer>,
    random: rate::Random,
    counters: Counters,
    /// When each bound was last reported.
    limits_told: BTreeMap<&'static str, Timestamp>,
    interfaces: interfaces::Interfaces,
    /// The clients served here, and who of them holds an address. Boxed: a BTreeMap is half empty where keys come in order.
    clients: BTreeMap<Mac, Box<Client>>,
    holders: BTreeMap<IpAddr, Mac>,
    /// Other clients that want addresses that are held, while the holders are being asked.
    rivals: BTreeMap<IpAddr, Mac>,
    /// Stations that were not heard since they associated.
    arrivals: BTreeMap<Mac, stations::Arrival>,
    /// Clients that were here, and which of them had an address.
    former: BTreeMap<Mac, relinquish::Former>,
    former_holders: BTreeMap<IpAddr, Mac>,
    outgoing: BTreeMap<(Mac, Ipv6Addr), relinquish::Outgoing>,
    claims: handover::ClaimWindow,
    history: history::History,
    /// Drained host routes, and until when they stand.
    drained: BTreeMap<IpAddr, Timestamp>,
    /// Sources of packets that keep a drained route, with its address, while the kernel is asked
    /// where they are.
    drain_sources: BTreeSet<(IpAddr, IpAddr)>,
    /// When the kernel's state was last compared because somebody had removed a part of it.
    repaired: Option<Timestamp>,
    origins: relay::Origins,
    contests: contest::Contests,
    timings: timing::Timings,
    /// Addresses of this node itself that are neither link-local nor node-client addresses.
    own_addresses: BTreeSet<IpAddr>,
    searches: search::Searches,
    seen_floods: flood::SeenFloods,
    peers: peers::Peers,
    nodes: nodes::Nodes,
    foreign: foreign::Foreign,
    /// A dump is being told: its facts may be old.
    dumping: bool,
    /// Links changed in it that were not looked at yet.
    links_told: bool,
    /// [`Engine::shut_down`] was called: nothing is taken in any more.
    ended: bool,
}

impl Engine {
    /// An engine that knows nothing yet but its configuration. `seed` feeds its only random generator.
    pub fn new(config: Config, seed: u64, now: Timestamp) -> Self {
        let mut engine = Self {
            now,
            queue: VecDeque::new(),
            timers: Deadlines::new(),
            random: rate::Random::new(seed),
            counters: Counters::default(),
            limits_told: BTreeMap::new(),
            interfaces: interfaces::Interfaces::default(),
            clients: BTreeMap::new(),
            holders: BTreeMap::new(),
            rivals: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            former: BTreeMap::new(),
            former_holders: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            claims: handover::ClaimWindow::default(),
            history: history::History::default(),
            drained: BTreeMap::new(),
            drain_sources: BTreeSet::new(),
            repaired: None,
            origins: relay::Origins::default(),
            contests: contest::Contests::default(),
            timings: timing::Timings::default(),
            own_addresses: BTreeSet::new(),
            searches: search::Searches::new(now),
            seen_floods: flood::SeenFloods::default(),
            peers: peers::Peers::default(),
            nodes: nodes::Nodes::new(now),
            foreign: foreign::Foreign::default(),
            dumping: false,
            links_told: false,
            ended: false,
            config,
        };
        for prefix in engine.config.prefixes.clone() {
            engine.act(Action::InstallPrefixRoute(prefix));
        }
        engine
    }

    /// Takes in one fact. Does not fail: what is bad is counted and dropped. Time never goes back: an earlier `now` than the last
    /// one counts as the last one.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.ended {
            return;
        }
        self.advance(now);
        if matches!(input, Input::Timeout) {
            self.run_timers();
        }
        if self.links_told && !matches!(input, Input::LinkSeen(_) | Input::LinkGone(_)) {
            // A dump tells the links first, one after the other; only together do they make sense.
            self.refresh_interfaces();
        }
        match input {
            Input::Timeout => {}
            Input::LinkSeen(link) => {
                if self.interfaces.seen(link) {
                    self.links_changed();
                }
            }
            Input::LinkGone(index) => {
                if self.interfaces.gone(index) {
                    self.links_changed();
                    self.stations_of_gone_links_left();
                }
            }
            Input::FdbSeen(entry) => self.fdb_seen(entry),
            Input::FdbGone(entry) => self.fdb_gone(entry),
            Input::NeighbourSeen(fact) => self.neighbour_seen(fact),
            Input::NeighbourGone { interface, address } => self.neighbour_gone(interface, address),
            Input::FrameHeard(frame) => self.frame_heard(frame),
            Input::StationAssociated { interface, client } => self.station_associated(interface, client),
            Input::StationLeft { interface, client } => self.station_left(interface, client),
            Input::StationReported { interface, client, report } => {
                self.station_reported(interface, client, report);
            }
            Input::RouteInstalled(route) => self.route_installed(route),
            Input::NeighbourInstalled(entry) => self.neighbour_installed(entry),
            Input::HostRouteSeen(address) => self.host_route_seen(address),
            Input::RouteLookedUp { address, found } => self.route_looked_up(address, found),
            Input::RouteAdopted { address, interface, table: _, client } => {
                self.route_adopted(address, interface, client);
            }
            Input::NodeClientAddressAdopted(address) => self.node_client_address_adopted(address),
            Input::OwnAddressSeen(address) => self.own_address_seen(address),
            Input::OwnAddressGone(address) => self.own_address_gone(address),
            Input::RouteGone(route) => self.route_gone(route),
            Input::PrefixRouteGone(prefix) => self.prefix_route_gone(prefix),
            Input::DumpStarted => {
                self.dumping = true;
                self.own_addresses.clear();
                self.interfaces.dump_started();
            }
            Input::DumpCompleted => {
                if self.interfaces.dump_completed() {
                    self.refresh_interfaces();
                    self.stations_of_gone_links_left();
                }
                self.dumping = false;
            }
            Input::AdoptionCompleted => self.act(Action::Reconcile),
            Input::IntercomReceived(received) => self.intercom_received(received),
            Input::PacketForUnknown(packet) => self.packet_for_unknown(packet),
            Input::ActionFailed { action, reason } => self.action_failed(*action, reason),
        }
    }

    /// The next output, in order; `None` where there is none now.
    pub fn poll(&mut self) -> Option<Output> {
        let next = self.queue.pop_front();
        if next.is_none() && self.queue.capacity() > KEPT_OUTPUTS {
            self.queue = VecDeque::new();
        }
        next
    }

    /// When [`Input::Timeout`] is wanted, and why. May change with every `handle` and `command`. Never after the end.
    pub fn poll_timeout(&self) -> Option<(Timestamp, &'static str)> {
        if self.ended {
            return None;
        }
        self.timers.next().map(|(at, timer)| (at, timer.reason()))
    }

    /// Everything that should stand in the kernel now.
    pub fn desired_state(&self) -> DesiredState {
        if self.ended {
            return DesiredState::default();
        }
        let mut state = DesiredState { prefixes: self.config.prefixes.clone(), ..DesiredState::default() };
        for client in self.clients.values() {
            for address in client.routed() {
                if !self.is_drained(address) {
                    state.routes.push(self.host_route(address, client.interface));
                }
                state.neighbours.push(Neighbour { interface: client.interface, address, client: client.mac });
            }
            if client.holds_node_client_address {
                state
                    .node_client_addresses
                    .push(self.config.node_client_prefix.node_client_address(client.mac));
            }
        }
        state.routes.extend(self.drained.keys().map(|address| self.drained_route(*address)));
        state.routes.sort_unstable();
        state.neighbours.sort_unstable();
        state.node_client_addresses.sort_unstable();
        state.prefixes.sort_unstable();
        state.prefixes.dedup();
        state
    }

    /// Ends: the queue then holds what an orderly end has to undo, and nothing is taken in any more.
    pub fn shut_down(&mut self, now: Timestamp) {
        self.advance(now);
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.leave(client, output::LeaveReason::Removed, None);
        }
        self.withdraw_all(None);
        for prefix in std::mem::take(&mut self.config.prefixes) {
            self.act(Action::UninstallPrefixRoute(prefix));
        }
        self.config.mesh_interfaces.clear();
        self.config.client_interfaces.clear();
        self.refresh_interfaces();
        self.ended = true;
    }

    /// The configuration as it stands now, changes at run time included.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The clients served here, by MAC.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = &Client> + '_ {
        self.clients.values().map(AsRef::as_ref)
    }

    /// One client.
    pub fn client(&self, mac: Mac) -> Option<&Client> {
        self.clients.get(&mac).map(AsRef::as_ref)
    }

    /// How many former clients are remembered.
    pub fn former_count(&self) -> usize {
        self.former.len()
    }

    /// The nodes that were heard, by address.
    pub fn peers(&self) -> impl Iterator<Item = (Ipv6Addr, &Peer)> + '_ {
        self.peers.iter()
    }

    /// Every configured interface and how it stands.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceStatus> + '_ {
        self.interfaces.status()
    }

    /// The name of an interface.
    pub fn interface_name(&self, index: IfIndex) -> Option<&InterfaceName> {
        self.interfaces.name(index)
    }

    /// The interface of this name, where it exists.
    pub fn interface_named(&self, name: &InterfaceName) -> Option<IfIndex> {
        self.interfaces.named(name)
    }

    /// The time of the last call.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many packets wait for unknown addresses, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        self.searches.waiting()
    }

    fn advance(&mut self, now: Timestamp) {
        if now < self.now {
            self.counters.add(Counter::TimeWentBack);
        }
        self.now = self.now.max(now);
    }

    /// What is due has its turn. Only behind what was there to be read: where this process was not run for a while, answers wait beside
    /// the deadlines that they were to keep.
    fn run_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Claim(client) => self.claim_due(client),
                Timer::Info(client, peer) => self.info_due(client, peer),
                Timer::Address(client, address) => self.address_due(client, address),
                Timer::Client(client) => self.client_due(client),
                Timer::Arrival(client) => self.arrival_due(client),
                Timer::Recheck(client) => self.recheck_due(client),
                Timer::Contest => self.contests_due(),
                Timer::Former(client) => self.former_due(client),
                Timer::Search(address) => self.search_due(address),
                Timer::Drain => self.drain_due(),
                Timer::Repair => self.repair_due(),
            }
        }
    }

    /// Sets a timer, never in the past: a due timer that sets itself again must not spin.
    fn set_timer(&mut self, timer: Timer, at: Timestamp) {
        self.timers.set(timer, at.max(self.now + Duration::from_micros(1)));
    }

    fn act(&mut self, action: Action) {
        self.queue.push_back(Output::Action(action));
    }

    fn tell(&mut self, notice: Notice) {
        self.queue.push_back(Output::Notice(notice));
    }

    /// Counts that a bound was reached and tells it, at most once a minute for each bound.
    fn limit_reached(&mut self, counter: Counter, limit: &'static str) {
        self.counters.add(counter);
        let told = self.limits_told.get(limit);
        if told.is_none_or(|at| self.now.since(*at) >= Duration::from_secs(60)) {
            self.limits_told.insert(limit, self.now);
            self.tell(Notice::LimitReached { limit });
        }
    }

    fn host_route(&self, address: IpAddr, interface: IfIndex) -> HostRoute {
        HostRoute { address, kind: RouteKind::Served(interface), table: self.config.export_table }
    }

    /// The client that has the address in use here.
    fn served_client(&self, address: IpAddr) -> Option<&Client> {
        let client = self.holders.get(&address).and_then(|mac| self.clients.get(mac))?;
        let in_use = client.addresses.get(&address).is_some_and(|entry| entry.state.in_use());
        in_use.then_some(client.as_ref())
    }

    /// Whether the address may have a host route: that of one host, in a client prefix, not the node's own and not link-local.
    fn is_routable(&self, address: IpAddr) -> bool {
        is_host_address(address)
            && !is_link_local(address)
            && address != IpAddr::V6(self.config.node_address)
            && !self.own_addresses.contains(&address)
            && self.config.prefixes.iter().any(|prefix| prefix.contains(address))
    }

    /// This node has an address: whoever says that it is theirs is no client with it.
    fn own_address_seen(&mut self, address: IpAddr) {
        let node_client =
            matches!(address, IpAddr::V6(v6) if self.config.node_client_prefix.client_of(v6).is_some());
        if is_link_local(address) || node_client || self.own_addresses.len() >= MAX_OWN_ADDRESSES {
            return;
        }
        self.own_addresses.insert(address);
        self.withdraw(address);
        if let Some(mac) = self.holders.get(&address).copied() {
            self.remove_address(mac, address);
        }
    }

    fn links_changed(&mut self) {
        if self.dumping {
            self.links_told = true;
        } else {
            self.refresh_interfaces();
        }
    }

    fn refresh_interfaces(&mut self) {
        self.links_told = false;
        let change = self.interfaces.refresh(&self.config);
        for client in change.lost.iter().flat_map(|lost| self.clients_on(*lost)).collect::<Vec<_>>() {
            self.leave(client, output::LeaveReason::Removed, None);
        }
        for action in change.actions {
            self.act(action);
        }
        for notice in change.notices {
            self.tell(notice);
        }
        self.review_foreign_ports();
        if change.gained || change.woken {
            self.search_again();
        }
        if change.gained && !self.dumping {
            self.act(Action::Rescan);
        }
    }

    fn clients_on(&self, interface: IfIndex) -> impl Iterator<Item = Mac> + '_ {
        self.clients.values().filter(move |client| client.interface == interface).map(|client| client.mac)
    }

    fn action_failed(&mut self, action: Action, reason: input::FailureReason) {
        self.counters.add(Counter::ActionFailed);
        match (action, reason) {
            (Action::LookupRoute(address), _) => self.route_looked_up(address, input::RouteLookup::Other),
            (Action::InstallRoute(route), reason) => {
                self.not_standing(route.address, true);
                if reason == input::FailureReason::Occupied {
                    self.tell(Notice::RouteOccupied { address: route.address });
                }
            }
            (Action::InstallNeighbour(entry), _) => self.not_standing(entry.address, false),
            _ => {}
        }
    }
}
