//! Who is a node. Nothing is signed, and anybody whose datagram is routed here may write one; so it
//! is asked where it comes from.
//!
//! | rule | where |
//! |---|---|
//! | the source port is the intercom's: on a node no other program has it | all |
//! | neither the source nor `sender` is an address of a client or a node-client address | all |
//! | the source is `sender`; a claim that was passed on has the source of the node that passed it on | unicast |
//! | a host route over a mesh interface leads to `sender` (and to the source): nodes have one, hosts beyond the mesh do not | unicast, and a flooded CLAIM for a client that is known here |
//!
//! The kernel knows the routes, so the first datagram of a node waits here for its answer. An
//! answer holds for [`WAY_AGE`]; the next datagram then has the route looked up again and does not
//! wait for it. A node whose route has gone is believed for [`GRACE`] longer, for routing daemons
//! replace a route now and then by taking it away.
//!
//! Sources that a client of another node forges are kept out by that node's firewall, as README.md
//! says.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Engine;
use super::input::RouteLookup;
use super::output::Action;
use super::rate::TokenBucket;
use super::stats::Counter;
use crate::net::Mac;
use crate::time::Timestamp;
use crate::wire::intercom::{Body, Capabilities, Tail};

/// A route that leads to a node is looked up again after this time, by the next datagram of the
/// node.
const WAY_AGE: Duration = Duration::from_secs(10);
/// A node that was silent for longer than this is a stranger again.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// A node whose route has gone is believed for this long, and its route looked up each
/// [`DOUBT_AGE`].
const GRACE: Duration = Duration::from_secs(3);
const DOUBT_AGE: Duration = Duration::from_secs(1);
/// The route to a stranger is looked up again after this time: one that has just started waits for
/// its routes.
const STRANGER_AGE: Duration = Duration::from_millis(100);
/// The kernel answers at once. Where the answer is not there after this time, it is asked again,
/// and what waited is dropped: a claim is repeated.
const PATIENCE: Duration = Duration::from_secs(1);
/// Look-ups for strangers per second, and as many at once: for unicast, which comes from anywhere,
/// and for floods, which neighbours send.
const LOOKUP_RATE: u32 = 256;
/// Datagrams that wait, and the largest RELAY among them. A node relays nothing before other
/// packets of it have come.
const MAX_HELD: usize = 64;
const MAX_HELD_BYTES: usize = 2048;

/// What is known of the way to an address that sent datagrams.
#[derive(Clone, Copy, Default, Debug)]
struct Way {
    /// Asked, and not answered yet.
    asked: Option<Timestamp>,
    answered: Option<Timestamp>,
    /// What the answer was: whether the address is a node's; when it was that last, and since when
    /// it is no more.
    leads: bool,
    led: Option<Timestamp>,
    gone: Option<Timestamp>,
}

impl Way {
    /// When an answer is too old.
    fn age(&self, now: Timestamp) -> Duration {
        match (self.leads, self.believed(now)) {
            (true, _) => WAY_AGE,
            (false, true) => DOUBT_AGE,
            (false, false) => STRANGER_AGE,
        }
    }

    fn believed(&self, now: Timestamp) -> bool {
        let (since, age) = if self.leads { (self.led, KEPT_FOR) } else { (self.gone, GRACE) };
        since.is_some_and(|at| now.since(at) < age)
    }
}

/// Whether an address is a node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Node,
    Stranger,
    /// The kernel will say.
    Awaited,
    /// Too many are asked about.
    Unknown,
}

/// A datagram that waits until it is known whether a node has sent it.
#[derive(Clone, Debug)]
struct Held {
    since: Timestamp,
    sender: Ipv6Addr,
    source: Ipv6Addr,
    what: Waiting,
}

/// What it says.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// A unicast packet.
    Unicast(Capabilities, Body),
    /// A flooded claim, and its bytes, to be forwarded.
    Flooded { client: Mac, tail: Tail, datagram: Vec<u8> },
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::Unicast(_, Body::Relay { packet, .. }) => packet.len(),
            Self::Unicast(..) => 0,
            Self::Flooded { datagram, .. } => datagram.len(),
        }
    }
}

/// What is known of who is a node, bounded: what is no node makes room first.
#[derive(Debug)]
pub(super) struct Nodes {
    ways: BTreeMap<Ipv6Addr, Way>,
    held: VecDeque<Held>,
    unicast: TokenBucket,
    floods: TokenBucket,
}

impl Nodes {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            ways: BTreeMap::new(),
            held: VecDeque::new(),
            unicast: TokenBucket::new(now),
            floods: TokenBucket::new(now),
        }
    }

    /// Whether packets of clients may go to the address: the last answer was that a node is there.
    pub(super) fn leads(&self, node: Ipv6Addr) -> bool {
        self.ways.get(&node).is_some_and(|way| way.leads)
    }

    /// Whether the address is a node's, and whether the kernel is to be asked.
    fn standing(&mut self, now: Timestamp, node: Ipv6Addr, flooded: bool, limit: usize) -> (Standing, bool) {
        let way = self.ways.get(&node).copied().unwrap_or_default();
        let due = way.answered.is_none_or(|at| now.since(at) >= way.age(now));
        let asked = way.asked.is_some_and(|at| now.since(at) < PATIENCE);
        if way.believed(now) {
            let ask = due && !asked;
            if ask {
                self.asked(now, node, limit);
            }
            return (Standing::Node, ask);
        }
        if !due {
            return (Standing::Stranger, false);
        }
        if asked {
            return (Standing::Awaited, false);
        }
        let bucket = if flooded { &mut self.floods } else { &mut self.unicast };
        if !bucket.take(now, LOOKUP_RATE) {
            return (Standing::Unknown, false);
        }
        self.asked(now, node, limit);
        (Standing::Awaited, true)
    }

    fn asked(&mut self, now: Timestamp, node: Ipv6Addr, limit: usize) {
        if self.ways.len() >= limit.max(1) && !self.ways.contains_key(&node) {
            let oldest =
                self.ways.iter().min_by_key(|(_, way)| (way.leads, way.led, way.answered.max(way.asked)));
            oldest.map(|(node, _)| *node).and_then(|oldest| self.ways.remove(&oldest));
        }
        self.ways.entry(node).or_default().asked = Some(now);
    }

    /// The kernel has answered. `None` where nobody asked, else whether the address was a node's
    /// before.
    fn answered(&mut self, now: Timestamp, node: Ipv6Addr, leads: bool) -> Option<bool> {
        let way = self.ways.get_mut(&node)?;
        let led = way.leads;
        if leads {
            way.led = Some(now);
        } else if led {
            way.gone = Some(now).filter(|_| way.believed(now));
        }
        (way.asked, way.answered, way.leads) = (None, Some(now), leads);
        Some(led)
    }

    /// Keeps a datagram; `false` where there is no room for it. Gives also how many were dropped
    /// because no answer came.
    fn hold(&mut self, held: Held) -> (bool, usize) {
        let before = self.held.len();
        self.held.retain(|other| held.since.since(other.since) < PATIENCE);
        let dropped = before - self.held.len();
        let room = self.held.len() < MAX_HELD && held.what.bytes() <= MAX_HELD_BYTES;
        if room {
            self.held.push_back(held);
        }
        (room, dropped)
    }

    /// The datagrams that wait for an answer about the address, in their order.
    fn take_held(&mut self, node: Ipv6Addr) -> Vec<Held> {
        let (taken, left) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.sender == node || held.source == node);
        self.held = left;
        VecDeque::into(taken)
    }
}

impl Engine {
    /// Whether the address is a client's or a node-client address, and so no node's. Where the
    /// nodes have their addresses inside a client prefix (this one has, or `node_prefix` says so),
    /// that prefix does not tell.
    pub(super) fn is_of_client(&self, address: Ipv6Addr) -> bool {
        let (ip, own) = (IpAddr::V6(address), IpAddr::V6(self.config.node_address));
        let of_nodes = self.config.node_prefixes.iter().any(|prefix| prefix.contains(ip));
        let mut prefixes = self.config.prefixes.iter().filter(|prefix| prefix.contains(ip));
        self.config.node_client_prefix.contains(ip)
            || prefixes.any(|prefix| !of_nodes && !prefix.contains(own))
    }

    /// Whether a datagram was sent by a node, and for one (`sender`) where it was passed on; else
    /// it waits, or is dropped for the reason given.
    pub(super) fn sent_by_node(
        &mut self,
        sender: Ipv6Addr,
        source: Ipv6Addr,
        what: Waiting,
    ) -> Result<Option<Waiting>, Counter> {
        let flooded = matches!(what, Waiting::Flooded { .. });
        // The source first: it is harder to forge, and decides whether anything is looked up for
        // what else is said.
        let by = self.standing(source, flooded);
        let standing = match by {
            Standing::Node if source != sender => self.standing(sender, flooded),
            by => by,
        };
        match standing {
            Standing::Node => Ok(Some(what)),
            Standing::Stranger => Err(Counter::DropNoHostRoute),
            Standing::Unknown => Err(Counter::DropSenderUnknown),
            Standing::Awaited => {
                let (room, dropped) = self.nodes.hold(Held { since: self.now, sender, source, what });
                (0..dropped).for_each(|_| self.counters.add(Counter::DropSenderUnknown));
                if room { Ok(None) } else { Err(Counter::DropSenderUnknown) }
            }
        }
    }

    fn standing(&mut self, node: Ipv6Addr, flooded: bool) -> Standing {
        let limit = self.config.tunables.max_peers;
        let (standing, ask) = self.nodes.standing(self.now, node, flooded, limit);
        if ask {
            self.act(Action::LookupRoute(IpAddr::V6(node)));
        }
        standing
    }

    /// The kernel has told where packets to an address go: perhaps to a node.
    pub(super) fn way_to_peer_found(&mut self, node: Ipv6Addr, found: RouteLookup) {
        let leads = match found {
            RouteLookup::HostRoute { interface, .. } => self.interfaces.is_mesh(interface),
            RouteLookup::Network(interface) => {
                let announced = &self.config.node_prefixes;
                self.interfaces.is_mesh(interface)
                    && announced.iter().any(|prefix| prefix.contains(IpAddr::V6(node)))
            }
            RouteLookup::Local | RouteLookup::Other => false,
        };
        let Some(led) = self.nodes.answered(self.now, node, leads) else { return };
        for held in self.nodes.take_held(node) {
            self.held_again(held);
        }
        if leads && !led {
            for address in self.searches.addresses() {
                self.relay_waiting(address);
            }
        }
    }

    /// A datagram that waited has its turn.
    fn held_again(&mut self, held: Held) {
        let Held { since, sender, source, what } = held;
        if self.now.since(since) >= PATIENCE {
            return self.counters.add(Counter::DropSenderUnknown);
        }
        // Who forwards a flood does not ask who began it.
        let forward = match &what {
            Waiting::Flooded { datagram, .. } => Some(datagram.clone()),
            Waiting::Unicast(..) => None,
        };
        let result = match self.sent_by_node(sender, source, what) {
            Ok(Some(what)) => self.believed(sender, what),
            Ok(None) => Ok(()),
            Err(reason) => {
                forward.into_iter().for_each(|datagram| self.forward_flood(datagram));
                Err(reason)
            }
        };
        if let Err(reason) = result {
            self.counters.add(reason);
        }
    }

    /// A client is about to be relayed to a node: is it still where it was?
    pub(super) fn look_up_peer(&mut self, node: Ipv6Addr) {
        if self.peers.accepts_relay(node) {
            self.standing(node, false);
        }
    }

    /// Whether packets of clients may be relayed to the node: it takes them in, and it is a node.
    pub(super) fn may_be_relayed_to(&self, node: Ipv6Addr) -> bool {
        self.nodes.leads(node) && self.peers.accepts_relay(node)
    }
}
