//! The one set of commands: everything that UCI, ubus, the control socket, the command line and a command file can ask.
//!
//! One grammar (`name argument...`, separated by blanks) and one table ([`COMMANDS`]) serve all of them, so that nothing is
//! configurable in one and impossible in another.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::net::{InterfaceName, InvalidValue, Mac, Prefix, decimal};

/// What can be asked of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Use an interface for the intercom. It may not exist yet.
    AttachMeshInterface(InterfaceName),
    /// Stop using an interface for the intercom.
    DetachMeshInterface(InterfaceName),
    /// Serve clients on an interface. It may not exist yet.
    AttachClientInterface(InterfaceName),
    /// Stop serving clients on an interface; its clients are dropped.
    DetachClientInterface(InterfaceName),
    /// Serve addresses of this prefix.
    AddPrefix(Prefix),
    /// Stop serving addresses of this prefix.
    RemovePrefix(Prefix),
    /// Put host routes into this routing table; those that stand move there.
    SetExportTable(u32),
    /// Treat an address as heard from a client.
    AddAddress(IpAddr, Mac),
    /// Forget an address of a client.
    RemoveAddress(IpAddr, Mac),
    /// Ask a client whether it has an address.
    Probe(IpAddr, Mac),
    /// Forget a client with all its addresses.
    DropClient(Mac),
    /// Log this much.
    SetLogLevel(LogLevel),
    /// Tell the clients served here.
    GetClients,
    /// Tell the client prefixes.
    GetPrefixes,
    /// Tell the mesh interfaces.
    GetMeshInterfaces,
    /// Tell whether a host route to an address stands.
    HasRoute(IpAddr),
    /// Look for an address, here and in the mesh, for so long.
    Seek(IpAddr, Duration),
    /// Tell something about the daemon.
    Report(Report),
    /// Read the configuration again and apply what changed in it.
    Reload,
}

/// What the daemon tells about itself as a table of names and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// The daemon in a few numbers.
    Status,
    /// The last handovers.
    Handovers,
    /// The configured interfaces and how they stand.
    Interfaces,
    /// The nodes that were heard.
    Peers,
    /// What was counted.
    Statistics,
    /// The configuration as it is in effect.
    Config,
}

impl Report {
    const ALL: [Self; 6] =
        [Self::Status, Self::Handovers, Self::Interfaces, Self::Peers, Self::Statistics, Self::Config];

    /// The name of the command that asks for it.
    const fn command(self) -> &'static str {
        match self {
            Self::Status => "get-status",
            Self::Handovers => "get-handovers",
            Self::Interfaces => "get-interfaces",
            Self::Peers => "get-peers",
            Self::Statistics => "get-statistics",
            Self::Config => "get-config",
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// A function of the daemon is lost.
    Error,
    /// An operator should look. The C daemon's `none`.
    Warn,
    /// Handovers and configuration.
    Info,
    /// State transitions. The C daemon's `verbose` and `debug` (its `-v` and `-d`).
    Debug,
    /// Every packet.
    Trace,
}

impl LogLevel {
    /// Our word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "error" => Ok(Self::Error),
            "warn" | "none" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" | "verbose" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(InvalidValue::new(
                text,
                "a log level: error, warn (none), info, debug (verbose) or trace",
            )),
        }
    }
}

/// What one argument of a command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// An interface name.
    Interface,
    /// A client prefix of either family.
    Prefix,
    /// A routing table, 1 to 4294967295.
    Table,
    /// An address of either family.
    Address,
    /// A MAC address.
    Client,
    /// A log level.
    LogLevel,
    /// How long to try, in milliseconds. May be left out.
    Timeout,
}

impl Argument {
    /// Whether it may be left out. Only the last argument of a command may.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Timeout)
    }
}

/// One row of the table of commands.
#[derive(Debug)]
pub struct CommandSpec {
    /// Our name.
    pub name: &'static str,
    /// The name that the C daemon's control socket has for it.
    pub c_name: Option<&'static str>,
    /// Its arguments in their order.
    pub arguments: &'static [Argument],
    /// What it does, for the help text.
    pub help: &'static str,
}

/// Every command there is.
pub const COMMANDS: &[CommandSpec] = &[
    spec(
        "attach-mesh-interface",
        Some("add_meshif"),
        &[Argument::Interface],
        "use an interface for the intercom",
    ),
    spec("detach-mesh-interface", Some("del_meshif"), &[Argument::Interface], "stop using it"),
    spec("attach-client-interface", None, &[Argument::Interface], "serve clients on an interface"),
    spec("detach-client-interface", None, &[Argument::Interface], "stop serving them"),
    spec("add-prefix", Some("add_prefix"), &[Argument::Prefix], "serve addresses of a prefix"),
    spec("remove-prefix", Some("del_prefix"), &[Argument::Prefix], "stop serving them"),
    spec("set-export-table", None, &[Argument::Table], "routing table for host routes"),
    spec(
        "add-address",
        Some("add_address"),
        &[Argument::Address, Argument::Client],
        "treat an address as heard from a client",
    ),
    spec(
        "remove-address",
        Some("del_address"),
        &[Argument::Address, Argument::Client],
        "forget an address of a client",
    ),
    spec(
        "probe",
        Some("probe"),
        &[Argument::Address, Argument::Client],
        "ask a client whether it has an address",
    ),
    spec("drop-client", None, &[Argument::Client], "forget a client"),
    spec("set-log-level", Some("verbosity"), &[Argument::LogLevel], "error, warn, info, debug or trace"),
    spec("get-clients", Some("get_clients"), &[], "the clients served here"),
    spec("get-prefixes", Some("get_prefixes"), &[], "the client prefixes"),
    spec("get-mesh-interfaces", Some("get_meshifs"), &[], "the mesh interfaces"),
    spec("has-route", Some("has_route"), &[Argument::Address], "whether a host route to an address stands"),
    spec("seek", None, &[Argument::Address, Argument::Timeout], "look for an address, here and in the mesh"),
    spec("get-status", None, &[], "the daemon in a few numbers"),
    spec("get-handovers", None, &[], "the last handovers"),
    spec("get-interfaces", None, &[], "the configured interfaces and how they stand"),
    spec("get-peers", None, &[], "the nodes that were heard"),
    spec("get-statistics", None, &[], "what was counted"),
    spec("get-config", None, &[], "the configuration as it is in effect"),
    spec("reload", None, &[], "read the configuration again and apply what changed in it"),
];

const fn spec(
    name: &'static str,
    c_name: Option<&'static str>,
    arguments: &'static [Argument],
    help: &'static str,
) -> CommandSpec {
    CommandSpec { name, c_name, arguments, help }
}

/// Why a text is no command.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum GrammarError {
    /// There is no command of that name.
    #[error("unknown command '{0}'")]
    UnknownCommand(String),
    /// An argument is missing.
    #[error("'{command}' needs {needed} argument(s), {given} given")]
    WrongCount {
        /// The command.
        command: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many there were.
        given: usize,
    },
    /// An argument is not what it should be.
    #[error("'{command}': {error}")]
    BadArgument {
        /// The command.
        command: &'static str,
        /// The argument and what was expected.
        error: InvalidValue,
    },
}

impl FromStr for Command {
    type Err = GrammarError;

    /// Reads `name argument...`, by either name of the command.
    fn from_str(line: &str) -> Result<Self, GrammarError> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let spec = COMMANDS.iter().find(|spec| spec.name == name || spec.c_name == Some(name));
        let spec = spec.ok_or_else(|| GrammarError::UnknownCommand(name.chars().take(64).collect()))?;
        let arguments: Vec<&str> = words.take(8).collect();
        Self::from_words(spec, &arguments)
    }
}

impl Command {
    /// The command of the row `spec` with these arguments.
    ///
    /// # Errors
    /// Where the number of arguments or one of them is wrong.
    pub fn from_words(spec: &CommandSpec, words: &[&str]) -> Result<Self, GrammarError> {
        let needed = spec.arguments.iter().filter(|argument| !argument.is_optional()).count();
        if words.len() < needed || words.len() > spec.arguments.len() {
            return Err(GrammarError::WrongCount { command: spec.name, needed, given: words.len() });
        }
        build(spec.name, words).map_err(|error| GrammarError::BadArgument { command: spec.name, error })
    }

    /// The row of the table that this command belongs to.
    pub fn spec(&self) -> &'static CommandSpec {
        let name = match self {
            Self::AttachMeshInterface(_) => "attach-mesh-interface",
            Self::DetachMeshInterface(_) => "detach-mesh-interface",
            Self::AttachClientInterface(_) => "attach-client-interface",
            Self::DetachClientInterface(_) => "detach-client-interface",
            Self::AddPrefix(_) => "add-prefix",
            Self::RemovePrefix(_) => "remove-prefix",
            Self::SetExportTable(_) => "set-export-table",
            Self::AddAddress(..) => "add-address",
            Self::RemoveAddress(..) => "remove-address",
            Self::Probe(..) => "probe",
            Self::DropClient(_) => "drop-client",
            Self::SetLogLevel(_) => "set-log-level",
            Self::GetClients => "get-clients",
            Self::GetPrefixes => "get-prefixes",
            Self::GetMeshInterfaces => "get-mesh-interfaces",
            Self::HasRoute(_) => "has-route",
            Self::Seek(..) => "seek",
            Self::Report(report) => report.command(),
            Self::Reload => "reload",
        };
        // The table is constant and a test walks it: every name above is in it.
        COMMANDS.iter().find(|spec| spec.name == name).unwrap_or(&COMMANDS[0])
    }
}

fn build(name: &str, words: &[&str]) -> Result<Command, InvalidValue> {
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    Ok(match name {
        "attach-mesh-interface" => Command::AttachMeshInterface(word(0).parse()?),
        "detach-mesh-interface" => Command::DetachMeshInterface(word(0).parse()?),
        "attach-client-interface" => Command::AttachClientInterface(word(0).parse()?),
        "detach-client-interface" => Command::DetachClientInterface(word(0).parse()?),
        "add-prefix" => Command::AddPrefix(client_prefix(word(0))?),
        "remove-prefix" => Command::RemovePrefix(word(0).parse()?),
        "set-export-table" => Command::SetExportTable(table(word(0))?),
        "add-address" => Command::AddAddress(host_address(word(0))?, client(word(1))?),
        "remove-address" => Command::RemoveAddress(host_address(word(0))?, client(word(1))?),
        "probe" => Command::Probe(host_address(word(0))?, client(word(1))?),
        "drop-client" => Command::DropClient(client(word(0))?),
        "set-log-level" => Command::SetLogLevel(word(0).parse()?),
        "get-clients" => Command::GetClients,
        "get-prefixes" => Command::GetPrefixes,
        "get-mesh-interfaces" => Command::GetMeshInterfaces,
        "has-route" => Command::HasRoute(host_address(word(0))?),
        "seek" => {
            Command::Seek(host_address(word(0))?, words.get(1).map_or(Ok(SEEK_TIMEOUT), |w| timeout(w))?)
        }
        "reload" => Command::Reload,
        _ => {
            let report = Report::ALL.into_iter().find(|report| report.command() == name);
            Command::Report(report.ok_or_else(|| InvalidValue::new(name, "a command of the table"))?)
        }
    })
}

/// Reads a prefix that clients may have addresses in.
///
/// # Errors
/// Where it is no prefix, or one that has link-local, loopback or multicast addresses: all of them would be routed to the capture TUN.
pub fn client_prefix(text: &str) -> Result<Prefix, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    let special = ["fe80::/10", "ff00::/8", "::/127", "224.0.0.0/4", "127.0.0.0/8", "169.254.0.0/16"];
    if special.iter().filter_map(|special| special.parse().ok()).any(|special| prefix.overlaps(&special)) {
        return Err(InvalidValue::new(
            text,
            "a prefix of routable unicast addresses such as 2001:db8::/64 or 10.0.0.0/8",
        ));
    }
    Ok(prefix)
}

/// Reads the number of a routing table.
///
/// # Errors
/// Where it is no number from 1 to 4294967295.
pub fn table(text: &str) -> Result<u32, InvalidValue> {
    decimal(text)
        .filter(|n| *n > 0)
        .ok_or_else(|| InvalidValue::new(text, "a routing table from 1 to 4294967295"))
}

/// How long an address is sought where nobody says: as long as a packet for it would wait.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// And at most: who asked over the control socket is told that the daemon is busy after ten seconds.
const MAX_SEEK_MILLIS: u64 = 9000;

fn timeout(text: &str) -> Result<Duration, InvalidValue> {
    let millis = decimal(text).filter(|n| (1..=MAX_SEEK_MILLIS).contains(n));
    let expected = "a time from 1 to 9000 milliseconds";
    millis.map(Duration::from_millis).ok_or_else(|| InvalidValue::new(text, expected))
}

fn host_address(text: &str) -> Result<IpAddr, InvalidValue> {
    let expected = "an IPv4 or IPv6 address of a host";
    let address: IpAddr = text.parse().map_err(|_| InvalidValue::new(text, expected))?;
    if crate::net::is_host_address(address) { Ok(address) } else { Err(InvalidValue::new(text, expected)) }
}

fn client(text: &str) -> Result<Mac, InvalidValue> {
    let mac: Mac = text.parse()?;
    if mac.is_unicast() {
        Ok(mac)
    } else {
        Err(InvalidValue::new(text, "the MAC address of a station (no group address)"))
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
