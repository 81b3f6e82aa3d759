//! The options of `/etc/config/l3roamd`: one row each. `uci/schema.md` and the default configuration `uci/l3roamd` are made of this table, and a
//! test says so; after a change `L3ROAMD_UPDATE=1 cargo test --lib uci` writes them again.
//!
//! A new timer or limit of the engine needs a field in [`Tunables`](crate::engine::config::Tunables) and a row here, nothing else.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::field::Field;
use super::settings::{InterfaceRef, Settings, add, path};
use crate::engine::command::{LogLevel, client_prefix};
use crate::engine::config::{
    V4Prefix, node_address, node_client_prefix, node_prefix, plat_prefix, route_metric,
};
use crate::net::InvalidValue;

/// The sections that there are: type and name.
pub const SECTIONS: &[(&str, &str)] = &[("l3roamd", "main"), ("timers", "timers"), ("limits", "limits")];

/// An option.
#[derive(Debug)]
pub struct Row {
    /// The name of its section.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is, and where it is kept.
    pub field: Field,
    /// What it means, in a line.
    pub help: &'static str,
    /// What stands for it where it is not set and has no default value.
    pub unset: &'static str,
    /// A value to learn from where there is no default value.
    pub example: &'static str,
    /// The daemon restarts in place where it changes.
    pub restarts: bool,
}

/// The names of protocol handlers are those of scripts.
fn proto(text: &str) -> Result<Box<str>, InvalidValue> {
    let good = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if good && (1..=63).contains(&text.len()) {
        return Ok(text.into());
    }
    Err(InvalidValue::new(text, "a protocol of netifd such as gluon_mesh"))
}

fn names(interfaces: &[InterfaceRef]) -> Vec<String> {
    interfaces.iter().map(|interface| interface.as_str().to_owned()).collect()
}

const INTERFACE: &str = "an interface of netifd or a device";
const INTERFACE_RANGE: &str = "letters, digits and `_`, or what the kernel accepts";

const fn row(section: &'static str, name: &'static str, field: Field, help: &'static str) -> Row {
    Row { section, name, field, help, unset: "", example: "", restarts: false }
}

const fn main(name: &'static str, field: Field, help: &'static str) -> Row {
    row("main", name, field, help)
}

/// The option has no default value.
const fn unset(row: Row, unset: &'static str, example: &'static str) -> Row {
    Row { unset, example, ..row }
}

/// A running process cannot change it.
const fn restarting(row: Row) -> Row {
    Row { restarts: true, ..row }
}

type At<T> = fn(&mut Settings) -> &mut T;

const fn timer(name: &'static str, range: RangeInclusive<u32>, at: At<Duration>, help: &'static str) -> Row {
    row("timers", name, Field::Millis(range, at), help)
}

const fn limit(name: &'static str, range: RangeInclusive<u32>, at: At<usize>, help: &'static str) -> Row {
    row("limits", name, Field::Count(range, at), help)
}

const fn rate(name: &'static str, range: RangeInclusive<u32>, at: At<u32>, help: &'static str) -> Row {
    row("limits", name, Field::Number(range, at), help)
}

/// Every option there is, in the order of the default configuration.
pub const ROWS: &[Row] = &[
    main("enabled", Field::Flag(|s| &mut s.enabled), "Whether the init script starts the daemon."),
    restarting(unset(
        main(
            "node_address",
            Field::One {
                kind: "IPv6 address",
                range: "the address of a host",
                set: |s, text| node_address(text).map(|address| s.node_address = Some(address)),
                get: |s| s.node_address.map(|address| address.to_string()),
            },
            "Address of this node, which the mesh routes to it.",
        ),
        "the first ip6addr of interface loopback",
        "2001:db8::1",
    )),
    unset(
        main(
            "prefix",
            Field::Many {
                kind: "prefix",
                range: "IPv6 or IPv4, of routable unicast addresses",
                add: |s, text| client_prefix(text).map(|prefix| add(&mut s.prefixes, prefix)),
                get: |s| s.prefixes.iter().map(ToString::to_string).collect(),
            },
            "Prefixes that clients have their addresses in. Without any no client is served.",
        ),
        "none",
        "2001:db8:1::/64",
    ),
    unset(
        main(
            "client_interface",
            Field::Many {
                kind: INTERFACE,
                range: INTERFACE_RANGE,
                add: |s, text| text.parse().map(|interface| add(&mut s.client_interfaces, interface)),
                get: |s| names(&s.client_interfaces),
            },
            "Interfaces towards clients. They need not exist yet.",
        ),
        "none",
        "lan",
    ),
    unset(
        main(
            "client_bridge",
            Field::One {
                kind: INTERFACE,
                range: INTERFACE_RANGE,
                set: |s, text| text.parse().map(|interface| s.client_bridge = Some(interface)),
                get: |s| s.client_bridge.as_ref().map(|interface| interface.as_str().to_owned()),
            },
            "The bridge that the clients are on, where no client interface is that bridge or plugged into it.",
        ),
        "found by itself",
        "br-client",
    ),
    unset(
        main(
            "mesh_interface",
            Field::Many {
                kind: INTERFACE,
                range: INTERFACE_RANGE,
                add: |s, text| text.parse().map(|interface| add(&mut s.mesh_interfaces, interface)),
                get: |s| names(&s.mesh_interfaces),
            },
            "Interfaces towards other nodes. They need not exist yet.",
        ),
        "none",
        "mesh",
    ),
    unset(
        main(
            "node_prefix",
            Field::Many {
                kind: "prefix",
                range: "IPv6, without addresses of clients",
                add: |s, text| node_prefix(text).map(|prefix| add(&mut s.node_prefixes, prefix)),
                get: |s| s.node_prefixes.iter().map(ToString::to_string).collect(),
            },
            "Prefixes of node addresses that the mesh announces as a whole. Otherwise a node counts by its host route.",
        ),
        "none",
        "fd00:1::/64",
    ),
    unset(
        main(
            "mesh_proto",
            Field::One {
                kind: "netifd protocol",
                range: "letters, digits, `_`, `-` and `.`",
                set: |s, text| proto(text).map(|proto| s.mesh_proto = Some(proto)),
                get: |s| s.mesh_proto.as_deref().map(str::to_owned),
            },
            "All interfaces of netifd with this protocol are mesh interfaces too.",
        ),
        "none",
        "gluon_mesh",
    ),
    main(
        "export_table",
        Field::Number(1..=u32::MAX, |s| &mut s.export_table),
        "Routing table for host routes, from which the routing daemon takes them.",
    ),
    restarting(main(
        // From 65535 on a host route counts as none for a claimer (protocol.md, step 1).
        "metric",
        Field::Number(1..=65_534, |s| &mut s.metric),
        "Metric of host routes: better than what the routing daemon installs.",
    )),
    restarting(unset(
        main(
            "drain_metric",
            Field::One {
                kind: "number",
                range: "1 to 65534",
                set: |s, text| route_metric(text).map(|metric| s.drain_metric = Some(metric)),
                get: |s| s.drain_metric.map(|metric| metric.to_string()),
            },
            "Metric of a second drained route, for routing daemons that announce the kernel's metric.",
        ),
        "none",
        "4096",
    )),
    restarting(main(
        "protocols",
        Field::One {
            kind: "numbers",
            range: "5 to 255, three different ones, with commas",
            set: |s, text| text.parse().map(|protocols| s.protocols = protocols),
            get: |s| Some(s.protocols.to_string()),
        },
        "Protocol numbers of host routes, of drained host routes, and of client prefixes.",
    )),
    restarting(main(
        "node_client_prefix",
        Field::One {
            kind: "IPv6 prefix",
            range: "at most 64 bits",
            set: |s, text| node_client_prefix(text).map(|prefix| s.node_client_prefix = prefix),
            get: |s| Some(s.node_client_prefix.to_string()),
        },
        "Prefix of the addresses by which nodes find the node that has a client; the same on all nodes.",
    )),
    restarting(main(
        "v4_prefix",
        Field::One {
            kind: "IPv6 prefix",
            range: "96 bits",
            set: |s, text| text.parse().and_then(V4Prefix::new).map(|prefix| s.v4_prefix = prefix),
            get: |s| Some(format!("{}/96", s.v4_prefix.address())),
        },
        "Prefix that stands for IPv4 between nodes; the same on all nodes.",
    )),
    unset(
        main(
            "plat_prefix",
            Field::One {
                kind: "IPv6 prefix",
                range: "96 bits",
                set: |s, text| plat_prefix(text).map(|prefix| s.plat_prefix = Some(prefix)),
                get: |s| s.plat_prefix.map(|prefix| format!("{prefix}/96")),
            },
            "PLAT prefix that this node announces with its clients.",
        ),
        "none",
        "64:ff9b::/96",
    ),
    unset(
        main(
            "clat_interface",
            Field::One {
                kind: INTERFACE,
                range: INTERFACE_RANGE,
                set: |s, text| text.parse().map(|interface| s.clat_interface = Some(interface)),
                get: |s| s.clat_interface.as_ref().map(|interface| interface.as_str().to_owned()),
            },
            "Interface of the local translator; kept for those who ask.",
        ),
        "none",
        "clat",
    ),
    restarting(main(
        "source_netlink",
        Field::Flag(|s| &mut s.sources.netlink),
        "Learn clients from neighbour tables and bridges' forwarding databases.",
    )),
    restarting(main(
        "source_ndp",
        Field::Flag(|s| &mut s.sources.ndp),
        "Learn clients from neighbour discovery and ARP on client ports.",
    )),
    restarting(main(
        "source_nl80211",
        Field::Flag(|s| &mut s.sources.nl80211),
        "Learn clients from the access points' lists of stations.",
    )),
    main(
        "source_hostapd",
        Field::Flag(|s| &mut s.sources.hostapd),
        "Learn clients from what hostapd says on ubus.",
    ),
    restarting(main(
        "capture_device",
        Field::One {
            kind: "device",
            range: "what the kernel accepts",
            set: |s, text| text.parse().map(|name| s.capture_device = name),
            get: |s| Some(s.capture_device.as_str().to_owned()),
        },
        "Name of the TUN device that takes packets for unknown addresses.",
    )),
    restarting(main(
        "control_socket",
        Field::One {
            kind: "path",
            range: "or `none`",
            set: |s, text| match text {
                "none" => {
                    s.control_socket = None;
                    Ok(())
                }
                _ => path(text).map(|path| s.control_socket = Some(path)),
            },
            get: |s| {
                Some(s.control_socket.as_ref().map_or("none".to_owned(), |path| path.display().to_string()))
            },
        },
        "Control socket that scripts for the C daemon use.",
    )),
    restarting(main("ubus", Field::Flag(|s| &mut s.ubus), "Offer the object l3roamd on ubus.")),
    main(
        "log_level",
        Field::One {
            kind: "log level",
            range: "error, warn, info, debug or trace",
            set: |s, text| text.parse().map(|level| s.log_level = level),
            get: |s| Some(level_name(s.log_level).to_owned()),
        },
        "How much is logged.",
    ),
    main(
        "log_addresses",
        Field::Flag(|s| &mut s.log_addresses),
        "Show MACs and addresses of clients in logs.",
    ),
    timer(
        "probe_interval",
        1_000..=3_600_000,
        |s| &mut s.tunables.probe_interval,
        "A silent address is probed this long after its last sign of life.",
    ),
    timer(
        "probe_interval_associated",
        1_000..=86_400_000,
        |s| &mut s.tunables.probe_interval_associated,
        "The same while the access point says that the client is there: phones sleep.",
    ),
    row(
        "timers",
        "probe_schedule",
        Field::ManyMillis(20..=60_000, |s| &mut s.tunables.probe_schedule),
        "When an address that does not answer is probed again; after the last one it is given up.",
    ),
    timer(
        "client_age",
        1_000..=86_400_000,
        |s| &mut s.tunables.client_age,
        "A client without address and association is forgotten this long after its last sign of life.",
    ),
    timer(
        "former_age",
        1_000..=86_400_000,
        |s| &mut s.tunables.former_age,
        "How long a client that left is remembered.",
    ),
    timer(
        "adoption_age",
        1_000..=600_000,
        |s| &mut s.tunables.adoption_age,
        "How long after the start what an earlier run left must have been confirmed.",
    ),
    timer(
        "seek_delay",
        0..=10_000,
        |s| &mut s.tunables.seek_delay,
        "How long an unknown address is looked for here before the mesh is asked.",
    ),
    timer(
        "seek_interval",
        500..=60_000,
        |s| &mut s.tunables.seek_interval,
        "The mesh is asked again this often while packets wait.",
    ),
    timer(
        "seek_negative_age",
        0..=600_000,
        |s| &mut s.tunables.seek_negative_age,
        "An address that was sought in vain is not sought again for this time.",
    ),
    timer(
        "queue_age",
        100..=60_000,
        |s| &mut s.tunables.queue_age,
        "How long a packet for an unknown address waits.",
    ),
    timer(
        // Below 3000: a C daemon repeats its SEEK after 3 s with the same nonce.
        "seen_flood_age",
        100..=2_900,
        |s| &mut s.tunables.seen_flood_age,
        "How long a flooded packet is remembered as a duplicate.",
    ),
    timer(
        "overlap",
        0..=3_600_000,
        |s| &mut s.tunables.overlap,
        "How long a client's route stays, drained, after it went to another node. It stays longer if the client walks on, and up to a minute while the mesh still sends packets along it; 0: withdrawn at once.",
    ),
    timer(
        "overlap_without_relay",
        0..=3_600_000,
        |s| &mut s.tunables.overlap_without_relay,
        "The same where the other node runs the C daemon, unless a route to the client is seen sooner.",
    ),
    timer(
        "lost_age",
        0..=60_000,
        |s| &mut s.tunables.lost_age,
        "How long packets for a client that was lost wait for its return.",
    ),
    limit("max_clients", 1..=65_536, |s| &mut s.tunables.max_clients, "Clients served here."),
    // What fits one packet of 1280 bytes.
    limit("max_addresses", 1..=48, |s| &mut s.tunables.max_addresses, "Addresses of one client."),
    limit("max_former", 0..=65_536, |s| &mut s.tunables.max_former, "Clients remembered that left."),
    limit("max_drained", 0..=65_536, |s| &mut s.tunables.max_drained, "Drained routes."),
    limit("max_handovers", 0..=4_096, |s| &mut s.tunables.max_handovers, "Handovers remembered."),
    limit("max_peers", 1..=65_536, |s| &mut s.tunables.max_peers, "Nodes remembered."),
    limit(
        "max_searches",
        1..=65_536,
        |s| &mut s.tunables.max_searches,
        "Addresses looked for at the same time.",
    ),
    limit(
        "max_queue_per_address",
        1..=65_536,
        |s| &mut s.tunables.max_queue_per_address,
        "Packets that wait for one address.",
    ),
    limit(
        "max_queue_packets",
        1..=1_000_000,
        |s| &mut s.tunables.max_queue_packets,
        "Packets that wait in all.",
    ),
    limit(
        "max_queue_bytes",
        65_536..=1_073_741_824,
        |s| &mut s.tunables.max_queue_bytes,
        "Bytes of packets that wait in all.",
    ),
    limit(
        "max_unicast_copies",
        0..=8_192,
        |s| &mut s.tunables.max_unicast_copies,
        "Up to so many clients are asked one by one for an address; above, all at once by multicast.",
    ),
    limit(
        "max_claims_in_flight",
        1..=8_192,
        |s| &mut s.tunables.max_claims_in_flight,
        "Claims of clients that are unanswered at the same time.",
    ),
    limit(
        "max_seen_floods",
        1..=1_000_000,
        |s| &mut s.tunables.max_seen_floods,
        "Flooded packets remembered as duplicates.",
    ),
    rate("seek_rate", 1..=1_000_000, |s| &mut s.tunables.seek_rate, "Questions to the mesh per second."),
    rate(
        "flood_rate",
        1..=1_000_000,
        |s| &mut s.tunables.flood_rate,
        "Questions of another node that are forwarded and answered per second.",
    ),
    rate(
        "unreachable_rate",
        0..=1_000_000,
        |s| &mut s.tunables.unreachable_rate,
        "ICMP errors sent per second.",
    ),
];

const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
