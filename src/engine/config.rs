//! The engine's configuration: what it serves, and every timer and bound with its default and reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::net::{InterfaceName, InvalidValue, Prefix, decimal, is_host_address};

/// What the engine is configured to do. Interfaces and prefixes may be changed at run time by commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The node address: source of everything this node says on the intercom (`-a`).
    pub node_address: Ipv6Addr,
    /// The prefix of node-client addresses (`-P`).
    pub node_client_prefix: Prefix,
    /// The /96 that maps IPv4 addresses into the intercom's address fields (`-4`).
    pub v4_prefix: V4Prefix,
    /// Prefixes that clients may have addresses in (`-p`).
    pub prefixes: Vec<Prefix>,
    /// Prefixes of node addresses that the mesh announces as a whole, without a host route to each
    /// node (`--node-prefix`).
    pub node_prefixes: Vec<Prefix>,
    /// Interfaces towards other nodes (`-m`).
    pub mesh_interfaces: Vec<InterfaceName>,
    /// Interfaces towards clients (`-i`).
    pub client_interfaces: Vec<InterfaceName>,
    /// The bridge that the clients of a client interface are on, where the interface itself is not that bridge (`-b`).
    pub client_bridge: Option<InterfaceName>,
    /// The routing table for host routes (`-t`).
    pub export_table: u32,
    /// The PLAT prefix this node announces in INFO (`-e`).
    pub plat_prefix: Option<Ipv6Addr>,
    /// Which sources of evidence are used.
    pub sources: Sources,
    /// Timers and bounds.
    pub tunables: Tunables,
}

impl Config {
    /// A configuration of defaults for a node.
    pub fn new(node_address: Ipv6Addr) -> Self {
        let fec0 = IpAddr::V6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0));
        Self {
            node_address,
            // 64 bits at fec0:: have no host bits.
            node_client_prefix: Prefix::new(fec0, 64).unwrap_or(Prefix::host(fec0)),
            v4_prefix: V4Prefix::default(),
            prefixes: Vec::new(),
            node_prefixes: Vec::new(),
            mesh_interfaces: Vec::new(),
            client_interfaces: Vec::new(),
            client_bridge: None,
            export_table: 254,
            plat_prefix: None,
            sources: Sources::default(),
            tunables: Tunables::default(),
        }
    }
}

/// What of the configuration may change while the engine runs and has no command: see
/// [`Engine::adjust`](super::Engine::adjust).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adjustable {
    /// As in [`Config`].
    pub client_bridge: Option<InterfaceName>,
    /// As in [`Config`].
    pub plat_prefix: Option<Ipv6Addr>,
    /// As in [`Config`].
    pub node_prefixes: Vec<Prefix>,
    /// As in [`Config`].
    pub tunables: Tunables,
}

/// The /96 by which IPv4 addresses travel in the intercom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V4Prefix(Ipv6Addr);

impl Default for V4Prefix {
    /// `::ffff:0:0/96`, as the C daemon.
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
    }
}

impl V4Prefix {
    /// The mapping by `prefix`.
    ///
    /// # Errors
    /// Where the prefix is not an IPv6 /96.
    pub fn new(prefix: Prefix) -> Result<Self, InvalidValue> {
        match (prefix.address(), prefix.length()) {
            (IpAddr::V6(address), 96) => Ok(Self(address)),
            _ => {
                Err(InvalidValue::new(&prefix.to_string(), "an IPv6 prefix of 96 bits such as ::ffff:0:0/96"))
            }
        }
    }

    /// The prefix's first address.
    pub const fn address(self) -> Ipv6Addr {
        self.0
    }

    /// The address as the intercom carries it.
    pub fn to_wire(self, address: IpAddr) -> Ipv6Addr {
        match address {
            IpAddr::V6(address) => address,
            IpAddr::V4(address) => Ipv6Addr::from_bits(self.0.to_bits() | u128::from(address.to_bits())),
        }
    }

    /// The address that the intercom's address field means.
    pub fn from_wire(self, address: Ipv6Addr) -> IpAddr {
        let bits = address.to_bits();
        if bits & !u128::from(u32::MAX) == self.0.to_bits() {
            // The low 32 bits, nothing is lost.
            IpAddr::V4(Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32))
        } else {
            IpAddr::V6(address)
        }
    }
}

/// Reads the address of a node.
///
/// # Errors
/// Where it is not the IPv6 address of a host.
pub fn node_address(text: &str) -> Result<Ipv6Addr, InvalidValue> {
    let address: Option<Ipv6Addr> = text.parse().ok();
    address
        .filter(|address| is_host_address(IpAddr::V6(*address)))
        .ok_or_else(|| InvalidValue::new(text, "the IPv6 address of this node such as 2001:db8::1"))
}

/// Reads the prefix of node-client addresses.
///
/// # Errors
/// Where it is no IPv6 prefix of at most 64 bits.
pub fn node_client_prefix(text: &str) -> Result<Prefix, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    // The interface identifier takes the low 64 bits.
    if prefix.address().is_ipv4() || prefix.length() > 64 || prefix.address().is_multicast() {
        return Err(InvalidValue::new(text, "an IPv6 prefix of at most 64 bits such as fec0::/64"));
    }
    Ok(prefix)
}

/// Reads a prefix of node addresses.
///
/// # Errors
/// Where it is no IPv6 prefix, or one of everything.
pub fn node_prefix(text: &str) -> Result<Prefix, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    if prefix.address().is_ipv4() || prefix.length() == 0 || !is_host_address(prefix.address()) {
        return Err(InvalidValue::new(text, "an IPv6 prefix of node addresses such as fd00:1::/64"));
    }
    Ok(prefix)
}

/// Reads the metric of a host route. From 65535 on it counts as none for a claimer (protocol.md, step 1).
///
/// # Errors
/// Where it is not from 1 to 65534.
pub fn route_metric(text: &str) -> Result<u32, InvalidValue> {
    let metric = decimal(text).filter(|metric| (1..=65_534).contains(metric));
    metric.ok_or_else(|| InvalidValue::new(text, "a route metric from 1 to 65534"))
}

/// Reads a PLAT prefix.
///
/// # Errors
/// Where it is no IPv6 prefix of 96 bits.
pub fn plat_prefix(text: &str) -> Result<Ipv6Addr, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    match (prefix.address(), prefix.length()) {
        (IpAddr::V6(address), 96) => Ok(address),
        _ => Err(InvalidValue::new(text, "an IPv6 prefix of 96 bits such as 64:ff9b::/96")),
    }
}

/// The numbers of the routing protocols that our routes carry (`rtm_protocol`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocols {
    /// Of host routes to clients that are served here.
    pub served: u8,
    /// Of drained host routes, which lead to the capture TUN.
    pub drained: u8,
    /// Of the prefix routes to the capture TUN.
    pub prefix: u8,
}

impl Default for Protocols {
    /// 158, 159 and 160.
    fn default() -> Self {
        Self { served: 158, drained: 159, prefix: 160 }
    }
}

impl Protocols {
    /// Those of host routes: one may take the place of the other.
    pub const fn of_hosts(self) -> [u8; 2] {
        [self.served, self.drained]
    }

    /// All of them.
    pub const fn all(self) -> [u8; 3] {
        [self.served, self.drained, self.prefix]
    }
}

impl FromStr for Protocols {
    type Err = InvalidValue;

    /// In the order of the fields, separated by commas. Numbers below 5 are the kernel's own.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let number = |word: &str| word.parse().ok().filter(|number: &u8| *number >= 5);
        let numbers: Option<Vec<u8>> = text.split(',').map(number).collect();
        match numbers.as_deref() {
            Some(&[served, drained, prefix])
                if served != drained && drained != prefix && prefix != served =>
            {
                Ok(Self { served, drained, prefix })
            }
            _ => Err(InvalidValue::new(
                text,
                "three different route protocol numbers from 5 to 255 such as 158,159,160",
            )),
        }
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{},{},{}", self.served, self.drained, self.prefix)
    }
}

/// Which sources of evidence are used. All by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The kernel's neighbour table and bridges' forwarding databases (`--no-netlink` switches off).
    pub netlink: bool,
    /// Neighbour discovery, ARP, MLD and IGMP heard on client ports (`--no-ndp`).
    pub ndp: bool,
    /// Stations of access points (`--no-nl80211`).
    pub nl80211: bool,
    /// What hostapd says of stations on ubus (`--no-hostapd`).
    pub hostapd: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self { netlink: true, ndp: true, nl80211: true, hostapd: true }
    }
}

/// Every timer and bound of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunables {
    /// Clients served here.
    pub max_clients: usize,
    /// Routable addresses of one client.
    pub max_addresses: usize,
    /// Former clients remembered.
    pub max_former: usize,
    /// How long a former client is remembered (the C daemon's `OLDCLIENTS_KEEP_SECONDS`).
    pub former_age: Duration,
    /// A silent address without association is probed this long after its last sign of life.
    pub probe_interval: Duration,
    /// The same while the access point says that the station is there (phones sleep).
    pub probe_interval_associated: Duration,
    /// When an address that does not answer is probed again; after the last one it is inactive.
    pub probe_schedule: Vec<Duration>,
    /// A client without address and association is forgotten this long after its last sign of life.
    pub client_age: Duration,
    /// How long after the start what was adopted must have been confirmed.
    pub adoption_age: Duration,
    /// How long a packet for an unknown address waits before SEEK is flooded: a local client answers sooner.
    pub seek_delay: Duration,
    /// SEEK is repeated this often while packets wait (the C daemon's `SEEK_INTERVAL`).
    pub seek_interval: Duration,
    /// An address that was sought in vain is not sought again for this time.
    pub seek_negative_age: Duration,
    /// SEEKs flooded per second by this node, and as many at once.
    pub seek_rate: u32,
    /// SEEKs answered by probing and floods forwarded per second for one sender.
    pub flood_rate: u32,
    /// Addresses searched for at the same time.
    pub max_searches: usize,
    /// Packets waiting for one address: two seconds, in which a routing daemon finds the new way, of 250 packets each.
    pub max_queue_per_address: usize,
    /// Packets waiting in total.
    pub max_queue_packets: usize,
    /// Bytes waiting in total.
    pub max_queue_bytes: usize,
    /// How long a packet waits (the C daemon's `PACKET_TIMEOUT`).
    pub queue_age: Duration,
    /// ICMP errors sent per second.
    pub unreachable_rate: u32,
    /// Local clients that are asked one by one for an address whose holder is unknown; above, ff02::1 is asked.
    pub max_unicast_copies: usize,
    /// Claims first sent within the last 100 ms and unanswered: further ones wait (a burst must not drown the old node).
    pub max_claims_in_flight: usize,
    /// Flooded packets remembered for duplicate suppression.
    pub max_seen_floods: usize,
    /// How long they are remembered: less than `seek_interval`, for a C daemon repeats its SEEK with the same nonce.
    pub seen_flood_age: Duration,
    /// Nodes remembered.
    pub max_peers: usize,
    /// Handovers remembered, for people.
    pub max_handovers: usize,
    /// How long the host routes of a client that was handed over stay, drained: the routing daemons of the mesh need as long to find
    /// the new way. Not longer than they need, for as long as we export the route we do not learn the new one.
    pub overlap: Duration,
    /// The same where the new node cannot be relayed to (a C daemon): what comes meanwhile waits.
    pub overlap_without_relay: Duration,
    /// How long the host routes of a client that was lost stay, drained, while packets for it wait.
    pub lost_age: Duration,
    /// Handovers whose times are kept.
    pub max_timings: usize,
    /// Drained host routes at once.
    pub max_drained: usize,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            max_clients: 8192,
            max_addresses: 16,
            max_former: 8192,
            former_age: Duration::from_secs(300),
            probe_interval: Duration::from_secs(30),
            probe_interval_associated: Duration::from_secs(300),
            probe_schedule: [300, 700, 1000].map(Duration::from_millis).to_vec(),
            client_age: Duration::from_secs(60),
            adoption_age: Duration::from_secs(30),
            seek_delay: Duration::from_millis(30),
            seek_interval: Duration::from_secs(3),
            seek_negative_age: Duration::from_secs(5),
            seek_rate: 50,
            flood_rate: 200,
            max_searches: 256,
            max_queue_per_address: 512,
            max_queue_packets: 2048,
            max_queue_bytes: 2 * 1024 * 1024,
            queue_age: Duration::from_secs(5),
            unreachable_rate: 100,
            max_unicast_copies: 32,
            max_claims_in_flight: 64,
            max_seen_floods: 2048,
            seen_flood_age: Duration::from_secs(2),
            max_peers: 1024,
            max_handovers: 128,
            overlap: Duration::from_secs(10),
            overlap_without_relay: Duration::from_secs(1),
            lost_age: Duration::from_secs(5),
            max_timings: 256,
            max_drained: 16384,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_travels_inside_the_v4_prefix_and_comes_back() {
        let v4: IpAddr = "10.1.2.3".parse().unwrap();
        for prefix in ["::ffff:0:0/96", "64:ff9b::/96"] {
            let prefix = V4Prefix::new(prefix.parse().unwrap()).unwrap();
            assert_eq!(prefix.from_wire(prefix.to_wire(v4)), v4);
        }
        let v6: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(V4Prefix::default().from_wire(v6), IpAddr::V6(v6));
        assert!(V4Prefix::new("2001:db8::/64".parse().unwrap()).is_err());
    }
}
