//! The options of `/etc/config/l3roamd`: one row each. `uci/schema.md` and the default configuration `uci/l3roamd` are made of this table, and a
//! test says so; after a change `L3ROAMD_UPDATE=1 cargo test --lib uci` writes them again.
//!
//! A new timer or limit of the engine needs a field in [`Tunables`](crate::engine::config::Tunables) and a row here, nothing else.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::{InterfaceRef, Settings, add, path};
use crate::engine::command::{LogLevel, client_prefix};
use crate::engine::config::{V4Prefix, node_address, node_client_prefix, plat_prefix, route_metric};
use crate::net::InvalidValue;

/// The sections that there are: type and name.
pub const SECTIONS: &[(&str, &str)] = &[("l3roamd", "main"), ("timers", "timers"), ("limits", "limits")];

/// Items of a list at most, as many as the engine takes.
const MAX_ITEMS: usize = 64;
/// Probes of one address at most.
const MAX_PROBES: usize = 8;

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

/// The type of an option, and where its value is kept.
#[derive(Clone, Debug)]
pub enum Field {
    /// A truth value.
    Flag(fn(&mut Settings) -> &mut bool),
    /// A number.
    Number(RangeInclusive<u32>, fn(&mut Settings) -> &mut u32),
    /// A number of things.
    Count(RangeInclusive<u32>, fn(&mut Settings) -> &mut usize),
    /// A time in milliseconds.
    Millis(RangeInclusive<u32>, fn(&mut Settings) -> &mut Duration),
    /// Times in milliseconds.
    ManyMillis(RangeInclusive<u32>, fn(&mut Settings) -> &mut Vec<Duration>),
    /// Something else.
    One {
        /// The type's name.
        kind: &'static str,
        /// What is accepted.
        range: &'static str,
        /// Reads and keeps it.
        set: fn(&mut Settings, &str) -> Result<(), InvalidValue>,
        /// Shows it, where it is set.
        get: fn(&Settings) -> Option<String>,
    },
    /// Many of something else.
    Many {
        /// The type's name of an item.
        kind: &'static str,
        /// What is accepted.
        range: &'static str,
        /// Reads and keeps one more.
        add: fn(&mut Settings, &str) -> Result<(), InvalidValue>,
        /// Shows them.
        get: fn(&Settings) -> Vec<String>,
    },
}

/// What is wrong: the value and what was expected.
pub type Bad = (String, String);

impl Field {
    /// The type's name, as the schema has it.
    pub fn kind(&self) -> String {
        match self {
            Self::Flag(_) => "boolean".to_owned(),
            Self::Number(..) | Self::Count(..) => "number".to_owned(),
            Self::Millis(..) => "milliseconds".to_owned(),
            Self::ManyMillis(..) => "list of milliseconds".to_owned(),
            Self::One { kind, .. } => (*kind).to_owned(),
            Self::Many { kind, .. } => format!("list of {kind}"),
        }
    }

    /// What is accepted, as the schema has it.
    pub fn range(&self) -> String {
        match self {
            Self::Flag(_) => "0 or 1".to_owned(),
            Self::Number(range, _) | Self::Count(range, _) | Self::Millis(range, _) => {
                format!("{} to {}", range.start(), range.end())
            }
            Self::ManyMillis(range, _) => {
                format!("1 to {MAX_PROBES} of {} to {}", range.start(), range.end())
            }
            Self::One { range, .. } => (*range).to_owned(),
            Self::Many { range, .. } => format!("at most {MAX_ITEMS}; {range}"),
        }
    }

    /// Whether several values are accepted.
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::ManyMillis(..) | Self::Many { .. })
    }

    /// The values as UCI has them; none where it is not set.
    pub fn show(&self, settings: &Settings) -> Vec<String> {
        let mut copy = settings.clone();
        match self {
            Self::Flag(at) => vec![u8::from(*at(&mut copy)).to_string()],
            Self::Number(_, at) => vec![at(&mut copy).to_string()],
            Self::Count(_, at) => vec![at(&mut copy).to_string()],
            Self::Millis(_, at) => vec![at(&mut copy).as_millis().to_string()],
            Self::ManyMillis(_, at) => {
                at(&mut copy).iter().map(|time| time.as_millis().to_string()).collect()
            }
            Self::One { get, .. } => get(settings).into_iter().collect(),
            Self::Many { get, .. } => get(settings),
        }
    }

    /// Sets the option to what is given. What is wrong is told and not taken; of a list what is right is.
    pub fn take(&self, settings: &mut Settings, texts: &[String]) -> Vec<Bad> {
        let taken = match self {
            Self::ManyMillis(range, at) => words(texts)
                .map(|word| millis(word, range))
                .collect::<Result<Vec<Duration>, Bad>>()
                .and_then(|times| match times.len() {
                    1..=MAX_PROBES => Ok(times),
                    _ => Err((texts.join(" "), format!("a list of 1 to {MAX_PROBES} times"))),
                })
                .map(|times| *at(settings) = times),
            Self::Many { add, get, .. } => {
                return words(texts)
                    .filter_map(|word| {
                        if get(settings).len() >= MAX_ITEMS {
                            return Some((
                                word.to_owned(),
                                format!("one of the first {MAX_ITEMS}, more are not used"),
                            ));
                        }
                        add(settings, word).map_err(bad).err()
                    })
                    .collect();
            }
            _ => match texts {
                [text] => self.take_one(settings, text),
                _ => Err((texts.join(" "), "a single value".to_owned())),
            },
        };
        taken.err().into_iter().collect()
    }

    fn take_one(&self, settings: &mut Settings, text: &str) -> Result<(), Bad> {
        match self {
            Self::Flag(at) => *at(settings) = boolean(text).map_err(bad)?,
            Self::Number(range, at) => *at(settings) = number(text, range, "a number")?,
            Self::Count(range, at) => {
                // At most 32 bits, and so wide is usize at least wherever Linux runs.
                *at(settings) = usize::try_from(number(text, range, "a number")?).unwrap_or(usize::MAX);
            }
            Self::Millis(range, at) => *at(settings) = millis(text, range)?,
            Self::One { set, .. } => set(settings, text).map_err(bad)?,
            Self::ManyMillis(..) | Self::Many { .. } => {}
        }
        Ok(())
    }
}

fn bad(error: InvalidValue) -> Bad {
    (error.value, error.expected.to_owned())
}

/// `option x 'a b'` and `list x` twice are the same.
fn words(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split_ascii_whitespace())
}

/// As `config_get_bool` of OpenWrt's functions.sh.
fn boolean(text: &str) -> Result<bool, InvalidValue> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Ok(true),
        "0" | "off" | "false" | "no" | "disabled" => Ok(false),
        _ => Err(InvalidValue::new(
            text,
            "a boolean: 1 (on, true, yes, enabled) or 0 (off, false, no, disabled)",
        )),
    }
}

fn number(text: &str, range: &RangeInclusive<u32>, what: &str) -> Result<u32, Bad> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u32> = digits.then(|| text.parse().ok()).flatten();
    let expected = || (text.to_owned(), format!("{what} from {} to {}", range.start(), range.end()));
    number.filter(|number| range.contains(number)).ok_or_else(expected)
}

fn millis(text: &str, range: &RangeInclusive<u32>) -> Result<Duration, Bad> {
    number(text, range, "a time in milliseconds").map(|millis| Duration::from_millis(u64::from(millis)))
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
        Field::Flag(|s| &mut s.source_hostapd),
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
        "How long a client's route stays, drained, after it went to another node; 0: withdrawn at once.",
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
