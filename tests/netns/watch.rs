//! Sees every host route and node-client address of every node the moment it changes, and, as "ideal routing",
//! copies them at once to the other nodes, so that the daemon alone is measured.
//!
//! An address that only one node has is routed to that node. Where several have it, every other node takes the
//! best by: protocol 158 before 159 (drained), then fewer hops, then the newer. A node that has a route of its own
//! gets no copy, as routing daemons do (an own exported route suppresses the learnt one). Copies carry protocol 42
//! and metric 32 and lead hop by hop along a shortest way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use l3roamd::net::Prefix;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::sys;

/// Protocol of a client's host route.
pub const SERVED: u8 = 158;
/// Protocol of a drained host route.
pub const DRAINED: u8 = 159;
const COPY: u8 = 42;
const COPY_METRIC: u32 = 32;
/// The table that the kernel goes by.
pub const TABLE_MAIN: u8 = 254;
/// Another table that routing looks at, for those who have their host routes moved there.
pub const TABLE_OTHER: u8 = 77;
const GROUPS: u32 = 0x40 | 0x400 | 0x100; // RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE, RTMGRP_IPV6_IFADDR

/// What a node can have for an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// A host route of this protocol.
    Route(u8),
    /// The node-client address itself, on an interface of the node.
    NodeClient,
}

/// One change that was seen.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// At which node.
    pub node: usize,
    /// Of what kind.
    pub what: What,
    /// For which address.
    pub address: IpAddr,
    /// Whether it came, as against went.
    pub came: bool,
}

/// The first hop of the way from a node to another.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The mesh link.
    pub link: usize,
    /// Index of the mesh interface.
    pub interface: u32,
    /// The neighbour's link-local address.
    pub v6: Ipv6Addr,
    /// The neighbour's IPv4 address on the link.
    pub v4: Ipv4Addr,
    /// How many hops the whole way has.
    pub distance: usize,
}

/// The first hop of a node's way to each node; none to itself.
pub type Hops = Vec<Option<Hop>>;

/// Table and metric of a route: with its destination they make its place.
type Place = (u8, u32);

#[derive(Clone, Copy)]
struct Held {
    since: Duration,
    place: Place,
}

#[derive(Default)]
struct State {
    present: Vec<BTreeMap<IpAddr, BTreeMap<What, Held>>>,
    copies: Vec<BTreeMap<IpAddr, usize>>,
    hops: Vec<Hops>,
    events: Vec<Event>,
    overrun: bool,
    stale: bool,
}

/// The watching thread and what it knows.
pub struct Watch {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Sockets {
    listen: Vec<Socket>,
    write: Vec<Socket>,
    node_client: Prefix,
    copying: bool,
}

impl Watch {
    /// Starts watching `nodes` (names of namespaces, in their order).
    pub fn start(nodes: &[String], hops: Vec<Hops>, node_client: Prefix, copying: bool) -> Self {
        let state = State {
            present: vec![BTreeMap::new(); nodes.len()],
            copies: vec![BTreeMap::new(); nodes.len()],
            hops,
            ..State::default()
        };
        let open = |node: &String, groups| sys::inside(node, || socket(groups));
        let sockets = Sockets {
            listen: nodes.iter().map(|node| open(node, GROUPS)).collect(),
            write: nodes.iter().map(|node| open(node, 0)).collect(),
            node_client,
            copying,
        };
        let (state, stop) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
            move || sockets.run(&state, &stop)
        });
        Self { state, stop, thread: Some(thread) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `node` has `what` for the address now.
    pub fn has(&self, node: usize, what: What, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.state().present[node].get(&address).is_some_and(|held| held.contains_key(&what))
    }

    /// How many addresses `node` has `what` for.
    pub fn count(&self, node: usize, what: What) -> usize {
        self.state().present[node].values().filter(|held| held.contains_key(&what)).count()
    }

    /// The changes since `since`, in order.
    ///
    /// # Panics
    /// Where the kernel dropped events: the lab itself was too slow and nothing it says can be trusted.
    pub fn events(&self, since: Duration) -> Vec<Event> {
        let state = self.state();
        assert!(!state.overrun, "the lab lost route events");
        state.events.iter().filter(|event| event.at >= since).copied().collect()
    }

    /// The time of the first change since `since` of which all this is true.
    pub fn came(
        &self,
        since: Duration,
        node: usize,
        what: What,
        address: impl Into<IpAddr>,
    ) -> Option<Duration> {
        let address = address.into();
        let is_it = |event: &&Event| {
            event.came && event.node == node && event.what == what && event.address == address
        };
        self.events(since).iter().find(is_it).map(|event| event.at)
    }

    /// Tells of interfaces that were made anew; copies are installed again.
    pub fn set_hops(&self, hops: Vec<Hops>) {
        let mut state = self.state();
        state.hops = hops;
        for copies in &mut state.copies {
            copies.clear();
        }
        state.stale = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A socket to ask the kernel by, and to receive what it tells these groups.
pub fn socket(groups: u32) -> Socket {
    let mut socket = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
    sys::enlarge_receive_buffer(socket.as_raw_fd());
    socket.bind(&SocketAddr::new(0, groups)).expect("bind a netlink socket");
    socket.set_non_blocking(true).expect("non-blocking");
    socket
}

impl Sockets {
    fn run(&self, state: &Mutex<State>, stop: &AtomicBool) {
        let descriptors: Vec<i32> = self.listen.iter().chain(&self.write).map(AsRawFd::as_raw_fd).collect();
        let mut buffer = vec![0; 1 << 16];
        while !stop.load(Ordering::Relaxed) {
            let ready = sys::readable(&descriptors, Duration::from_millis(50));
            for node in (0..self.listen.len()).filter(|node| ready[*node]) {
                self.drain(node, &mut buffer, state);
            }
            if self.copying {
                self.copy_again(state);
            }
            for writer in &self.write {
                // Answers to copies: errors of routes that went in the meantime.
                while writer.recv(&mut &mut buffer[..], 0).is_ok() {}
            }
        }
    }

    fn drain(&self, node: usize, buffer: &mut [u8], state: &Mutex<State>) {
        loop {
            let length = match self.listen[node].recv(&mut &mut buffer[..], 0) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    state.lock().unwrap_or_else(PoisonError::into_inner).overrun = true;
                    return;
                }
            };
            let mut at = 0;
            while at < length {
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer[at..length])
                else {
                    return;
                };
                at += (message.header.length as usize).next_multiple_of(4).max(16);
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(address) = self.take(node, &message, &mut state).filter(|_| self.copying) {
                    self.copy(address, &mut state);
                }
            }
        }
    }

    /// Notes what a message says; the address whose presence changed.
    fn take(
        &self,
        node: usize,
        message: &NetlinkMessage<RouteNetlinkMessage>,
        state: &mut State,
    ) -> Option<IpAddr> {
        let NetlinkPayload::InnerMessage(inner) = &message.payload else { return None };
        let replaces = message.header.flags & NLM_F_REPLACE != 0;
        let (address, what, place) = match inner {
            RouteNetlinkMessage::NewRoute(route) => {
                let (address, protocol, place) = host_route(route)?;
                let ours = matches!(protocol, SERVED | DRAINED) && route.header.kind == RouteType::Unicast;
                let mut changed = false;
                if replaces {
                    // The route that was there is gone: replaced in place (the C daemon puts a throw route there).
                    for other in [SERVED, DRAINED].into_iter().filter(|other| !ours || *other != protocol) {
                        let held =
                            state.present[node].get(&address).and_then(|held| held.get(&What::Route(other)));
                        if held.is_some_and(|held| held.place == place) {
                            changed |= state.note(node, What::Route(other), address, None);
                        }
                    }
                }
                if ours {
                    changed |= state.note(node, What::Route(protocol), address, Some(place));
                }
                return changed.then_some(address);
            }
            RouteNetlinkMessage::DelRoute(route) => {
                let (address, protocol, place) = host_route(route)?;
                // One that was moved elsewhere before is there still.
                let held =
                    state.present[node].get(&address).and_then(|held| held.get(&What::Route(protocol)));
                if held.is_some_and(|held| held.place != place) {
                    return None;
                }
                (address, What::Route(protocol), None)
            }
            RouteNetlinkMessage::NewAddress(new) => {
                (self.node_client(&new.attributes)?, What::NodeClient, Some((0, 0)))
            }
            RouteNetlinkMessage::DelAddress(old) => {
                (self.node_client(&old.attributes)?, What::NodeClient, None)
            }
            _ => return None,
        };
        state.note(node, what, address, place).then_some(address)
    }

    fn node_client(&self, attributes: &[AddressAttribute]) -> Option<IpAddr> {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) if self.node_client.contains(*address) => Some(*address),
            _ => None,
        })
    }

    fn copy(&self, address: IpAddr, state: &mut State) {
        for node in 0..state.present.len() {
            let wanted = state.best(node, address);
            let had = state.copies[node].get(&address).copied();
            if wanted == had {
                continue;
            }
            let hop = |to: usize| state.hops[node][to];
            match wanted.and_then(|to| hop(to).map(|hop| (to, hop))) {
                Some((to, hop)) => {
                    self.send(node, RouteNetlinkMessage::NewRoute(copied(address, Some(hop))), NLM_F_CREATE);
                    state.copies[node].insert(address, to);
                }
                None => {
                    self.send(node, RouteNetlinkMessage::DelRoute(copied(address, None)), 0);
                    state.copies[node].remove(&address);
                }
            }
        }
    }

    /// After `set_hops`: everything once more.
    fn copy_again(&self, state: &Mutex<State>) {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.stale) {
            let all: BTreeSet<IpAddr> = state.present.iter().flat_map(|held| held.keys().copied()).collect();
            for address in all {
                self.copy(address, &mut state);
            }
        }
    }

    fn send(&self, node: usize, message: RouteNetlinkMessage, flags: u16) {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags | if flags == 0 { 0 } else { NLM_F_REPLACE };
        message.finalize();
        let mut bytes = vec![0; message.header.length as usize];
        message.serialize(&mut bytes);
        let _ = self.write[node].send(&bytes, 0);
    }
}

impl State {
    /// Notes that something came, with its place, or went. Whether that is news.
    fn note(&mut self, node: usize, what: What, address: IpAddr, place: Option<Place>) -> bool {
        let at = sys::now();
        let held = self.present[node].entry(address).or_default();
        let changed = match place {
            Some(place) => held.insert(what, Held { since: at, place }).is_none(),
            None => held.remove(&what).is_some(),
        };
        if held.is_empty() {
            self.present[node].remove(&address);
        }
        if changed {
            self.events.push(Event { at, node, what, address, came: place.is_some() });
        }
        changed
    }

    /// The node that `node` should send packets for the address to.
    fn best(&self, node: usize, address: IpAddr) -> Option<usize> {
        if self.present[node].contains_key(&address) {
            return None;
        }
        let holders = self.present.iter().enumerate().filter_map(|(holder, present)| {
            let held = present.get(&address)?;
            let (what, Held { since, .. }) = held.iter().next()?;
            let drained = *what == What::Route(DRAINED);
            let distance = self.hops[node][holder].map_or(0, |hop| hop.distance);
            Some((drained, distance, std::cmp::Reverse(*since), holder))
        });
        holders.min().map(|(.., holder)| holder)
    }
}

/// Whether the destination of a route is one address.
pub fn is_to_host(route: &RouteMessage) -> bool {
    let bits = if route.header.address_family == AddressFamily::Inet { 32 } else { 128 };
    route.header.destination_prefix_length == bits
}

/// The destination, protocol and place of a host route in one of the tables that is no copy.
fn host_route(route: &RouteMessage) -> Option<(IpAddr, u8, Place)> {
    let protocol = u8::from(route.header.protocol);
    if !is_to_host(route) || ![TABLE_MAIN, TABLE_OTHER].contains(&route.header.table) || protocol == COPY {
        return None;
    }
    let mut destination = None;
    let mut metric = 0;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                destination = Some(IpAddr::V4(*address))
            }
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                destination = Some(IpAddr::V6(*address))
            }
            RouteAttribute::Priority(priority) => metric = *priority,
            _ => {}
        }
    }
    Some((destination?, protocol, (route.header.table, metric)))
}

fn copied(address: IpAddr, hop: Option<Hop>) -> RouteMessage {
    let mut route = RouteMessage::default();
    let v4 = address.is_ipv4();
    route.header.address_family = if v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    route.header.destination_prefix_length = if v4 { 32 } else { 128 };
    route.header.table = TABLE_MAIN;
    route.header.protocol = RouteProtocol::Other(COPY);
    route.header.scope = RouteScope::Universe;
    route.attributes.push(RouteAttribute::Destination(address.into()));
    route.attributes.push(RouteAttribute::Priority(COPY_METRIC));
    if let Some(hop) = hop {
        route.header.kind = RouteType::Unicast;
        route.header.flags = RouteFlags::Onlink;
        let gateway = if v4 { IpAddr::V4(hop.v4) } else { IpAddr::V6(hop.v6) };
        route.attributes.push(RouteAttribute::Gateway(gateway.into()));
        route.attributes.push(RouteAttribute::Oif(hop.interface));
    }
    route
}
