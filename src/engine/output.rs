//! What the engine says: orders to the world ([`Action`]) and news for people ([`Notice`]), in one ordered queue.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::client::AddressState;
use crate::net::{IfIndex, Mac, Prefix};

/// One entry of the engine's queue of outputs. Their order is part of the protocol and must be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Something to do.
    Action(Action),
    /// Something to tell.
    Notice(Notice),
}

/// An order to the world. All are idempotent: doing one twice is doing it once, undoing what is not there is success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Create the host route, or replace one of ours, of either kind, in one message: the address is never without a route, for
    /// routing daemons take a deletion for the end of the address. Never replace one of another protocol. Answered by
    /// [`Input::RouteInstalled`](super::Input::RouteInstalled).
    InstallRoute(HostRoute),
    /// Remove the host route where it is ours and of this kind.
    UninstallRoute(HostRoute),
    /// Create or replace a neighbour entry that survives the kernel's garbage collection (NTF_EXT_LEARNED).
    InstallNeighbour(Neighbour),
    /// Remove a neighbour entry.
    UninstallNeighbour(Neighbour),
    /// Put a node-client address (/128) on `lo`.
    AddNodeClientAddress(Ipv6Addr),
    /// Take a node-client address off `lo`.
    RemoveNodeClientAddress(Ipv6Addr),
    /// Route a client prefix to the capture TUN (protocol 160).
    InstallPrefixRoute(Prefix),
    /// Remove a client prefix's route to the capture TUN.
    UninstallPrefixRoute(Prefix),
    /// Join the intercom group on a mesh interface.
    JoinMesh(IfIndex),
    /// Leave the intercom group on a mesh interface. The interface may be gone.
    LeaveMesh(IfIndex),
    /// Listen for neighbour-discovery frames on an interface.
    Listen(IfIndex),
    /// Stop listening on an interface. It may be gone.
    StopListening(IfIndex),
    /// Ask the kernel where a packet to the address would go; answered by
    /// [`Input::RouteLookedUp`](super::Input::RouteLookedUp).
    LookupRoute(IpAddr),
    /// Send an intercom datagram.
    SendIntercom {
        /// Where to.
        destination: IntercomDestination,
        /// The datagram, header included.
        datagram: Vec<u8>,
    },
    /// Ask on a client interface whether somebody has an address: a neighbour solicitation or an ARP request
    /// through a packet socket.
    Probe {
        /// The client interface.
        interface: IfIndex,
        /// The address asked for.
        address: IpAddr,
        /// The client asked, whose MAC becomes the Ethernet destination (RFC 6085); without one, everybody: ff02::1
        /// or the Ethernet broadcast address.
        client: Option<Mac>,
    },
    /// Ask a client for all it has: unicast-framed general queries of MLD and IGMP, and echo requests to ff02::1, from a link-local address and from
    /// what addresses the interface has beyond it, which tell which node asks.
    QueryClient {
        /// The client interface.
        interface: IfIndex,
        /// The client.
        client: Mac,
    },
    /// Say out of a port of a client bridge which node this is: another node's client bridge seems to be behind it.
    Announce {
        /// The client interface, as which we speak.
        interface: IfIndex,
        /// The port.
        port: IfIndex,
    },
    /// Make a bridge forget behind which port it learned the MAC of a client that has left, so that its next frame here, whatever it
    /// says, is news. It may have forgotten it already.
    Unlearn {
        /// The port of the bridge.
        port: IfIndex,
        /// The client.
        client: Mac,
    },
    /// Tell a client that came from another node that the gateway is here: an unsolicited neighbour advertisement and a gratuitous ARP
    /// for each address of the client interface, framed to the client. Where all nodes share the gateway's MAC it says nothing new.
    Advertise {
        /// The client interface.
        interface: IfIndex,
        /// The client.
        client: Mac,
    },
    /// Give a waiting packet back to the kernel, through the capture TUN.
    ReleasePacket(Vec<u8>),
    /// Tell the sender of a packet that its destination cannot be reached (ICMP host unreachable, ICMPv6 address unreachable).
    SendUnreachable {
        /// The sender.
        to: IpAddr,
        /// The packet that could not be delivered, from its IP header on.
        packet: Vec<u8>,
    },
    /// Dump links, forwarding databases and neighbour tables and tell them again.
    Rescan,
    /// Compare the kernel with [`Engine::desired_state`](super::Engine::desired_state) and repair.
    Reconcile,
}

/// Where an intercom datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntercomDestination {
    /// To a node address or a node-client address, port 5523.
    Unicast(Ipv6Addr),
    /// To ff02::5523 on one mesh interface.
    Mesh(IfIndex),
}

/// A host route to a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostRoute {
    /// The client's address; /32 or /128 follows from the family.
    pub address: IpAddr,
    /// Where it leads.
    pub kind: RouteKind,
    /// The export table.
    pub table: u32,
}

/// Where a host route leads, and so by which protocol number routing daemons know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RouteKind {
    /// To the client, on this client interface (protocol 158).
    Served(IfIndex),
    /// Into the capture TUN (protocol 159, exported at a worse metric): the client has gone, and what still comes for it goes after it.
    Drained,
}

/// A neighbour entry for a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Neighbour {
    /// The client interface.
    pub interface: IfIndex,
    /// The client's address.
    pub address: IpAddr,
    /// The client.
    pub client: Mac,
}

/// Everything that should stand in the kernel now. What carries our marks and is not in here is to be removed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DesiredState {
    /// Host routes, sorted.
    pub routes: Vec<HostRoute>,
    /// Neighbour entries, sorted.
    pub neighbours: Vec<Neighbour>,
    /// Node-client addresses on `lo`, sorted.
    pub node_client_addresses: Vec<Ipv6Addr>,
    /// Client prefixes routed to the capture TUN, sorted.
    pub prefixes: Vec<Prefix>,
}

/// News for logs, ubus subscribers and tests. None of it needs an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A client is here that was not.
    ClientArrived {
        /// Who.
        client: Mac,
        /// On which client interface.
        interface: IfIndex,
    },
    /// A client is no longer served here.
    ClientLeft {
        /// Who.
        client: Mac,
        /// Why.
        reason: LeaveReason,
    },
    /// A handover to or from this node was completed.
    ClientHandedOver {
        /// Who.
        client: Mac,
        /// To us, or from us.
        direction: Direction,
        /// The other node's address.
        peer: Ipv6Addr,
        /// How many addresses were handed over.
        addresses: usize,
        /// From the evidence (incoming) or the CLAIM (outgoing) to the end.
        duration: Duration,
    },
    /// An address changed its state. `None` stands for "not known".
    AddressChanged {
        /// Whose.
        client: Mac,
        /// Which.
        address: IpAddr,
        /// Before.
        from: Option<AddressState>,
        /// After.
        to: Option<AddressState>,
    },
    /// An address that an operator seeks is found. Told once for each [`Command::Seek`](super::Command::Seek) or more that waited for it.
    AddressFound {
        /// The address.
        address: IpAddr,
        /// Where it is.
        place: Place,
    },
    /// Two clients claim the same address, and the holder answers.
    AddressContested {
        /// The address.
        address: IpAddr,
        /// Who keeps it.
        holder: Mac,
        /// Who wanted it.
        rival: Mac,
    },
    /// A client that one node claims is alive at another: two devices use one MAC, or one pretends.
    ClientDuplicate {
        /// Who.
        client: Mac,
        /// The other node: we refused its claim, or it ours.
        peer: Ipv6Addr,
    },
    /// A configured interface became usable or ceased to be.
    InterfaceChanged {
        /// The configured name.
        name: crate::net::InterfaceName,
        /// Why it cannot be used, or `None` where it can.
        problem: Option<&'static str>,
    },
    /// Somebody else's route stands where a client's host route should go.
    RouteOccupied {
        /// The client's address.
        address: IpAddr,
    },
    /// Another node's client bridge is behind a port of ours: what is heard there is no client.
    NodeBehindPort {
        /// The port's name.
        port: crate::net::InterfaceName,
        /// The node.
        node: Ipv6Addr,
    },
    /// A bound was reached: something was refused. Told at most once a minute for each bound.
    LimitReached {
        /// The name of the bound in [`Tunables`](super::config::Tunables).
        limit: &'static str,
    },
}

/// Where an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At a client that is served here.
    Here {
        /// Who.
        client: Mac,
        /// On which client interface.
        interface: IfIndex,
    },
    /// At a client of the node that said so.
    Node(Ipv6Addr),
    /// Along a host route: at some node.
    Mesh,
}

/// Why a client left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaveReason {
    /// Another node claimed it.
    Claimed,
    /// It no longer answers.
    Silent,
    /// The access point says so.
    Disassociated,
    /// An operator or the loss of its interface.
    Removed,
    /// It was adopted at start and not confirmed.
    Unconfirmed,
}

impl LeaveReason {
    /// The word for it in logs and status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Silent => "silent",
            Self::Disassociated => "disassociated",
            Self::Removed => "removed",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Which way a handover went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The client came to this node.
    Incoming,
    /// The client went to another node.
    Outgoing,
}

impl Direction {
    /// The word for it in logs and status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}
