//! What the engine is told: facts that somebody observed, in the past tense.
//!
//! Every fact is idempotent: telling it twice is telling it once. Dumps and events use the same facts, so a lost
//! event is healed by the next dump.

use std::net::{IpAddr, Ipv6Addr};

use super::output::{HostRoute, Neighbour};
use crate::net::{IfIndex, InterfaceName, Mac, Prefix};
use crate::wire::frame::FrameContent;
use crate::wire::intercom::{Packet, ParseError};

/// One fact. See the variants for who observes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A deadline may have passed. A spurious one does nothing.
    Timeout,
    /// A network interface exists or has changed (RTM_NEWLINK). A different name under a known index is a rename.
    LinkSeen(Link),
    /// A network interface is gone (RTM_DELLINK).
    LinkGone(IfIndex),
    /// A bridge knows a MAC behind one of its ports (RTM_NEWNEIGH, family AF_BRIDGE).
    FdbSeen(FdbEntry),
    /// A bridge forgot a MAC (RTM_DELNEIGH, family AF_BRIDGE).
    FdbGone(FdbEntry),
    /// The kernel's neighbour table says something about an address.
    NeighbourSeen(NeighbourFact),
    /// The kernel dropped a neighbour entry.
    NeighbourGone {
        /// The interface the entry was on.
        interface: IfIndex,
        /// The address it was about.
        address: IpAddr,
    },
    /// A host route (/32 or /128) to this address appeared or changed, made by anybody in any table. A hint:
    /// the engine looks the route up before it relies on it.
    HostRouteSeen(IpAddr),
    /// The answer to [`Action::LookupRoute`](super::Action::LookupRoute).
    RouteLookedUp {
        /// The address looked up.
        address: IpAddr,
        /// What the kernel would do with a packet to it.
        found: RouteLookup,
    },
    /// The kernel has acknowledged [`Action::InstallRoute`](super::Action::InstallRoute): the route stands.
    RouteInstalled(HostRoute),
    /// The kernel has acknowledged [`Action::InstallNeighbour`](super::Action::InstallNeighbour): the entry stands.
    NeighbourInstalled(Neighbour),
    /// This node has an address on one of its interfaces (RTM_NEWADDR).
    OwnAddressSeen(IpAddr),
    /// It has it no longer (RTM_DELADDR).
    OwnAddressGone(IpAddr),
    /// A host route of our own protocols was removed, by this daemon or by somebody else
    /// (RTM_DELROUTE).
    RouteGone(HostRoute),
    /// The same of a client prefix's route to the capture TUN.
    PrefixRouteGone(Prefix),
    /// A host route of our own protocol was found in a dump at start (left by a crash or an upgrade).
    RouteAdopted {
        /// The client's address.
        address: IpAddr,
        /// The client interface that the route points at.
        interface: IfIndex,
        /// The table it is in.
        table: u32,
        /// The MAC of the neighbour entry for the address, where there is one.
        client: Option<Mac>,
    },
    /// An address inside the node-client prefix was found on `lo` at start.
    NodeClientAddressAdopted(Ipv6Addr),
    /// A dump of the kernel's tables follows, all links first, then this node's addresses: one that it does not tell is gone. Its facts may be old: bridges remember a MAC for minutes after its client has
    /// moved to another node, so what only a dump says is asked after, not believed.
    DumpStarted,
    /// The dump is complete: what follows are events.
    DumpCompleted,
    /// Everything that an earlier run left has been told, after the first dump.
    AdoptionCompleted,
    /// A frame of a neighbour-discovery protocol was heard.
    FrameHeard(FrameHeard),
    /// A station associated with an access point (nl80211).
    StationAssociated {
        /// The access-point interface.
        interface: IfIndex,
        /// The station.
        client: Mac,
    },
    /// A station left an access point (nl80211).
    StationLeft {
        /// The access-point interface.
        interface: IfIndex,
        /// The station.
        client: Mac,
    },
    /// hostapd said something of a station. It knows more than the kernel, but what it says may have been on its way for long.
    StationReported {
        /// The access-point interface.
        interface: IfIndex,
        /// The station.
        client: Mac,
        /// What was said.
        report: StationReport,
    },
    /// An intercom datagram came.
    IntercomReceived(IntercomReceived),
    /// The kernel sent a packet into the capture TUN: nobody knows its destination. The bytes begin with the IP header.
    PacketForUnknown(Vec<u8>),
    /// An action could not be carried out.
    ActionFailed {
        /// What failed.
        action: Box<super::Action>,
        /// Whether trying again later may help (interface not there yet) or not (somebody else's route stands there).
        reason: FailureReason,
    },
}

/// What hostapd says of a station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StationReport {
    /// It asks to come in (`auth`, `assoc`), and may still be refused.
    Expected,
    /// It is in (`sta-authorized`).
    Authorized,
    /// It was sent away, or took its leave (`deauth` and kin).
    Left,
}

/// Why an action failed, as far as the engine cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureReason {
    /// A route that is not ours stands where ours should go.
    Occupied,
    /// Anything else: the interface is gone, a table is full, the kernel refused.
    Refused,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// The kernel's number.
    pub index: IfIndex,
    /// The name.
    pub name: InterfaceName,
    /// The hardware address, where it has one of six bytes.
    pub mac: Option<Mac>,
    /// Administratively up.
    pub up: bool,
    /// Able to carry packets: the kernel turns it on up to a second after the hardware is ready (IFF_RUNNING).
    pub running: bool,
    /// The bridge that this is a port of.
    pub master: Option<IfIndex>,
    /// Whether this is a bridge.
    pub bridge: bool,
    /// For a veth in the same namespace, its other end (IFLA_LINK without IFLA_LINK_NETNSID).
    pub peer: Option<IfIndex>,
}

/// A bridge's knowledge of one MAC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEntry {
    /// The bridge (NDA_MASTER).
    pub bridge: IfIndex,
    /// The port behind which the MAC is.
    pub port: IfIndex,
    /// The MAC.
    pub mac: Mac,
    /// Not learned but set: the bridge's own and static entries (NUD_PERMANENT, NUD_NOARP, NTF_SELF).
    pub permanent: bool,
}

/// What the kernel's neighbour table says of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighbourFact {
    /// The interface.
    pub interface: IfIndex,
    /// The address.
    pub address: IpAddr,
    /// The MAC, where known.
    pub mac: Option<Mac>,
    /// How sure the kernel is.
    pub state: NeighbourState,
    /// The entry carries NTF_EXT_LEARNED: this daemon made it, and its states other than
    /// Reachable, Probing and Failed say nothing about the client.
    pub ours: bool,
}

/// The state of a neighbour entry (NUD_*), reduced to what differs for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeighbourState {
    /// NUD_REACHABLE: the neighbour has just answered.
    Reachable,
    /// NUD_STALE: a MAC is known, its truth is not.
    Stale,
    /// NUD_DELAY: a packet was sent to a MAC whose truth is not known, and the kernel waits for a
    /// sign of life before it asks. It says nothing about the client.
    Delayed,
    /// NUD_PROBE: packets have been sent to that MAC for `delay_first_probe_time` (5 s), nothing has confirmed it since, and the kernel
    /// begins to ask by unicast: three times in as many seconds.
    Probing,
    /// NUD_FAILED: resolution or unicast probing failed.
    Failed,
    /// NUD_INCOMPLETE, NUD_NONE: nothing is known.
    Incomplete,
    /// NUD_PERMANENT, NUD_NOARP: set by an administrator or meaningless.
    Permanent,
}

/// The kernel's answer to "where would a packet to this address go?".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteLookup {
    /// Along a host route (/32, /128, metric below 65535) out of this interface.
    HostRoute {
        /// The outgoing interface.
        interface: IfIndex,
        /// The number of the routing protocol that installed it.
        protocol: u8,
    },
    /// The address is this node's own.
    Local,
    /// Along a shorter route out of this interface.
    Network(IfIndex),
    /// Into the capture TUN, or nowhere.
    Other,
}

/// A frame of a neighbour-discovery protocol, heard on a port of a client bridge or on a client interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameHeard {
    /// The interface it was heard on (a bridge port, or a client interface that is no bridge).
    pub interface: IfIndex,
    /// The Ethernet source.
    pub source: Mac,
    /// What it says.
    pub content: FrameContent,
}

/// An intercom datagram with everything that decides whether it is believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IntercomReceived {
    /// The interface it came in on (IPV6_PKTINFO).
    pub interface: IfIndex,
    /// The source address of the datagram.
    pub source: Ipv6Addr,
    /// The source port of the datagram.
    pub port: u16,
    /// The destination address of the datagram (IPV6_PKTINFO): a node, a node-client or the multicast address.
    pub destination: Ipv6Addr,
    /// What it says, or why it could not be read.
    pub packet: Result<Packet, ParseError>,
    /// The bytes of a multicast datagram as they came, opaque to the engine: a flooded packet is forwarded as it is, but for its ttl. Those
    /// of others are not kept.
    pub datagram: Vec<u8>,
}
