//! What becomes of packets in a mesh by the routes of its kernels alone: an observer dumps the
//! routes of all nodes at short intervals and follows each address from each node, hop by hop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;

use crate::lab::Lab;
use crate::measure::eventually;
use crate::sys;
use crate::watch::{self, DRAINED, SERVED, TABLE_MAIN};

/// What a node does with packets for an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The client is here (158).
    Served,
    /// The client has left, its packets go to the daemon (159).
    Drained,
    /// They go on to this node.
    To(usize),
    /// There is no host route.
    Nowhere,
}

/// A time for which something was true of an address at a node, in looks one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The address.
    pub address: IpAddr,
    /// The node.
    pub node: usize,
    /// When it was seen first.
    pub from: Duration,
    /// When it was seen last.
    pub until: Duration,
}

impl Span {
    /// How long it was seen.
    pub fn length(&self) -> Duration {
        self.until - self.from
    }
}

/// What was seen.
#[derive(Clone, Default, Debug)]
pub struct Sights {
    /// How many times all nodes were looked at.
    pub rounds: usize,
    /// How many times a node was looked at for an address.
    pub looks: usize,
    /// How many of these found no host route.
    pub without_route: usize,
    /// When packets that were at a node came by it again, if it was seen twice at least.
    pub loops: Vec<Span>,
    /// When a node had no host route, if it was seen twice at least.
    pub holes: Vec<Span>,
}

impl Sights {
    /// The share of looks that found no host route, in percent.
    pub fn without_route_percent(&self) -> f64 {
        100.0 * self.without_route as f64 / self.looks.max(1) as f64
    }
}

/// A running observation.
pub struct Observer {
    sights: Arc<Mutex<Sights>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What one node is asked by.
struct Node {
    socket: Socket,
    /// The nodes behind its mesh interfaces.
    neighbours: BTreeMap<u32, usize>,
}

impl Observer {
    /// Begins to look at the routes of all nodes to these addresses.
    pub fn start(lab: &Lab, addresses: Vec<IpAddr>, interval: Duration) -> Self {
        let nodes = Node::all(lab);
        let (sights, stop) = (Arc::<Mutex<Sights>>::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (sights, stop) = (Arc::clone(&sights), Arc::clone(&stop));
            move || observe(&nodes, &addresses, interval, &sights, &stop)
        });
        Self { sights, stop, thread: Some(thread) }
    }

    /// Waits until every node has a host route to each of the addresses. Whether it became so.
    pub fn await_routes(lab: &Lab, addresses: &[IpAddr], timeout: Duration) -> bool {
        let nodes = Node::all(lab);
        eventually(timeout, || {
            std::thread::sleep(Duration::from_millis(200));
            nodes.iter().all(|node| {
                let table = node.table();
                addresses.iter().all(|address| table.get(address).is_some_and(|step| *step != Step::Nowhere))
            })
        })
    }

    /// Ends. What was seen.
    pub fn stop(mut self) -> Sights {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn observe(
    nodes: &[Node],
    addresses: &[IpAddr],
    interval: Duration,
    sights: &Mutex<Sights>,
    stop: &AtomicBool,
) {
    let (mut loops, mut holes) = (Spans::default(), Spans::default());
    let mut before = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let at = sys::now();
        let tables: Vec<BTreeMap<IpAddr, Step>> = nodes.iter().map(Node::table).collect();
        let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights.rounds += 1;
        for address in addresses {
            let steps: Vec<Step> =
                tables.iter().map(|table| table.get(address).copied().unwrap_or(Step::Nowhere)).collect();
            for (node, step) in steps.iter().enumerate() {
                sights.looks += 1;
                sights.without_route += usize::from(*step == Step::Nowhere);
                let key = (*address, node);
                sights.loops.extend(loops.note(key, comes_back(&steps, node), at, before));
                sights.holes.extend(holes.note(key, *step == Step::Nowhere, at, before));
            }
        }
        drop(sights);
        before = at;
        std::thread::sleep((at + interval).saturating_sub(sys::now()));
    }
    let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
    sights.loops.extend(loops.end(before));
    sights.holes.extend(holes.end(before));
}

/// Since when something is true of an address at a node.
#[derive(Default)]
struct Spans(BTreeMap<(IpAddr, usize), Duration>);

impl Spans {
    /// Notes whether it is true now. Gives the time that ended with the look before.
    fn note(&mut self, key: (IpAddr, usize), is_true: bool, at: Duration, before: Duration) -> Option<Span> {
        if is_true {
            self.0.entry(key).or_insert(at);
            return None;
        }
        let from = self.0.remove(&key)?;
        (from < before).then_some(Span { address: key.0, node: key.1, from, until: before })
    }

    /// What is still true with the last look.
    fn end(self, last: Duration) -> impl Iterator<Item = Span> {
        let spans = self.0.into_iter().filter(move |(_, from)| *from < last);
        spans.map(move |((address, node), from)| Span { address, node, from, until: last })
    }
}

/// The node that a packet is at after each step of its way, at most once around the mesh.
fn way(steps: &[Step], from: usize) -> impl Iterator<Item = usize> {
    let next = |node: &usize| match steps[*node] {
        Step::To(next) => Some(next),
        Step::Served | Step::Drained | Step::Nowhere => None,
    };
    std::iter::successors(Some(from), next).take(steps.len() + 1)
}

/// Whether packets that are at a node come by it again.
fn comes_back(steps: &[Step], node: usize) -> bool {
    way(steps, node).skip(1).any(|other| other == node)
}

impl Node {
    fn all(lab: &Lab) -> Vec<Self> {
        let node = |(node, name): (usize, &String)| {
            let links = lab.topology.links_of(node);
            let behind = |(link, other): &(usize, usize)| {
                Some((sys::interface_index(&format!("mesh{link}"))?, *other))
            };
            sys::inside(name, || Self {
                socket: watch::socket(0),
                neighbours: links.iter().filter_map(behind).collect(),
            })
        };
        lab.nodes.iter().enumerate().map(node).collect()
    }

    /// What the kernel of the node does with packets for each address to which it has a host route.
    fn table(&self) -> BTreeMap<IpAddr, Step> {
        let mut best: BTreeMap<IpAddr, (u32, Step)> = BTreeMap::new();
        for family in [AddressFamily::Inet6, AddressFamily::Inet] {
            self.dump(family, |route| {
                let Some((address, metric, step)) = self.read(route) else { return };
                let entry = best.entry(address).or_insert((metric, step));
                if metric < entry.0 {
                    *entry = (metric, step);
                }
            });
        }
        best.into_iter().map(|(address, (_, step))| (address, step)).collect()
    }

    /// The destination and metric of a route to a host, and what it does.
    fn read(&self, route: &RouteMessage) -> Option<(IpAddr, u32, Step)> {
        let (mut address, mut metric, mut interface) = (None, 0, None);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(host)) => address = Some(IpAddr::V4(*host)),
                RouteAttribute::Destination(RouteAddress::Inet6(host)) => address = Some(IpAddr::V6(*host)),
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::Oif(index) => interface = Some(*index),
                _ => {}
            }
        }
        let step = match u8::from(route.header.protocol) {
            _ if route.header.kind != RouteType::Unicast => Step::Nowhere,
            SERVED => Step::Served,
            DRAINED => Step::Drained,
            _ => interface
                .and_then(|index| self.neighbours.get(&index))
                .map_or(Step::Nowhere, |node| Step::To(*node)),
        };
        Some((address?, metric, step))
    }

    /// Calls `take` for each host route in the main table.
    fn dump(&self, family: AddressFamily, mut take: impl FnMut(&RouteMessage)) {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let mut message = NetlinkMessage::new(
            NetlinkHeader::default(),
            NetlinkPayload::from(RouteNetlinkMessage::GetRoute(request)),
        );
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).expect("the kernel reads");
        let mut buffer = vec![0; 1 << 16];
        loop {
            assert!(
                sys::readable(&[self.socket.as_raw_fd()], Duration::from_secs(10))[0],
                "the kernel does not answer"
            );
            let length = self.socket.recv(&mut &mut buffer[..], 0).expect("the kernel answers");
            let mut rest = &buffer[..length];
            while rest.len() >= 16 {
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) else { return };
                match &message.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route))
                        if watch::is_to_host(route) && route.header.table == TABLE_MAIN =>
                    {
                        take(route);
                    }
                    NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return,
                    _ => {}
                }
                rest = rest.get((message.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}
