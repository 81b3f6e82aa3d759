//! One real client: a namespace with an interface whose carrier stays on while it roams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use l3roamd::net::{Mac, Prefix};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::frames;
use crate::lab::{GATEWAY, GATEWAY_MAC, GATEWAY4, Lab, NODE_CLIENT_PREFIX, ip_batch};
use crate::sys::{self, PacketSocket};

/// A port in the air that is moved from node to node.
pub struct Port {
    index: u32,
    air: Vec<u32>,
    netlink: Socket,
}

impl Port {
    /// The port of that name, which exists.
    pub fn new(lab: &Lab, name: &str) -> Self {
        let index = |name: String| sys::interface_index(&name).expect("it exists in the air");
        sys::inside("air", || {
            let mut netlink = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
            netlink.bind_auto().expect("bind");
            netlink.connect(&SocketAddr::new(0, 0)).expect("connect to the kernel");
            Self {
                index: index(name.to_owned()),
                air: lab.nodes.iter().map(|node| index(format!("air-{node}"))).collect(),
                netlink,
            }
        })
    }

    /// Puts the port to another node, or out of reach. Returns when the kernel has done it: the time.
    pub fn plug(&self, node: Option<usize>) -> Duration {
        let mut link = LinkMessage::default();
        link.header.index = self.index;
        link.attributes.push(LinkAttribute::Controller(node.map_or(0, |node| self.air[node])));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
        message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        message.finalize();
        let mut bytes = vec![0; message.header.length as usize];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0).expect("the kernel reads");
        let (answer, _) = self.netlink.recv_from_full().expect("the kernel answers");
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).expect("an answer");
        if let NetlinkPayload::Error(error) = answer.payload {
            assert!(error.code.is_none(), "plug a port: {error:?}");
        }
        sys::now()
    }
}

/// The client.
pub struct Client {
    /// Its namespace.
    pub namespace: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its address.
    pub v6: Ipv6Addr,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    port: Port,
    raw: PacketSocket,
}

impl Client {
    /// Makes client `number` (1 to 250), out of reach of any node.
    pub fn new(lab: &mut Lab, number: u8) -> Self {
        Self::with_mac(lab, number, Mac([2, 0xc1, 0, 0, 0, number]))
    }

    /// The same with another client's MAC.
    pub fn with_mac(lab: &mut Lab, number: u8, mac: Mac) -> Self {
        Self::wired(lab, number, mac, |namespace, port| {
            let link = format!("link add {port} type veth peer name eth0 netns {namespace}\n");
            ip_batch("air", &link);
        })
    }

    /// The same on a wire that `wire` makes between `eth0` in the client's namespace and a port in
    /// the air: it gets the names of namespace and port.
    pub fn wired(lab: &mut Lab, number: u8, mac: Mac, wire: impl FnOnce(&str, &str)) -> Self {
        let (namespace, port) = (format!("client{number}"), format!("sta{number}"));
        lab.add_namespace(&namespace);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 1, u16::from(number));
        let v4 = Ipv4Addr::new(10, 42, 1, number);
        wire(&namespace, &port);
        ip_batch("air", &format!("link set {port} up\n"));
        let gateway = GATEWAY_MAC.link_local();
        ip_batch(
            &namespace,
            &format!(
                "link set eth0 address {mac}\nlink set eth0 up\naddr add {v6}/64 dev eth0 nodad\naddr add {v4}/16 dev eth0\n\
                 neigh replace {gateway} lladdr {GATEWAY_MAC} dev eth0\n\
                 neigh replace {GATEWAY4} lladdr {GATEWAY_MAC} dev eth0\n\
                 route add default via {gateway} dev eth0\nroute add default via {GATEWAY4}\n"
            ),
        );
        let port = Port::new(lab, &port);
        let raw = PacketSocket::open(&namespace, "eth0");
        Self { namespace, mac, v6, v4, port, raw }
    }

    /// The address of a family.
    pub fn address(&self, v6: bool) -> IpAddr {
        if v6 { self.v6.into() } else { self.v4.into() }
    }

    /// Its node-client address.
    pub fn node_client(&self) -> Ipv6Addr {
        let prefix: Prefix = NODE_CLIENT_PREFIX.parse().expect("a prefix");
        prefix.node_client_address(self.mac)
    }

    /// Moves to another node, or out of reach. The time when it was there.
    pub fn roam(&self, node: Option<usize>) -> Duration {
        self.port.plug(node)
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        self.raw.send(frame);
    }

    /// Asks for its gateway, from its address of that family.
    pub fn ask_gateway(&self, v6: bool) {
        self.raw.send(&if v6 {
            frames::solicitation(self.mac, self.v6, GATEWAY)
        } else {
            frames::arp_request(self.mac, self.v4, GATEWAY4)
        });
    }

    /// Asks for its gateway from another address it has.
    pub fn ask_gateway_from(&self, address: Ipv6Addr) {
        self.raw.send(&frames::solicitation(self.mac, address, GATEWAY));
    }
}
