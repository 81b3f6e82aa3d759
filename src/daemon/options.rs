//! The command line, read as getopt does (`-n5`, `-vvn5`, repeated options), and the help text.
//!
//! Every row of [`COMMANDS`] is a long option too (`--add-prefix 10.0.0.0/8`), so that what can be asked at run time can be
//! asked at the start. The order of options never matters.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::Arg;
use thiserror::Error;

use crate::engine::command::{Argument, COMMANDS, CommandSpec, LogLevel, client_prefix, table};
use crate::engine::config::{Config, V4Prefix};
use crate::engine::{Command, command::GrammarError};
use crate::net::{InterfaceName, InvalidValue, Prefix, is_host_address};

use super::command_file;
use super::reload::Wanted;

/// The metric of host routes where `--metric` says nothing: better than what routing daemons install (bird 32).
pub const DEFAULT_METRIC: u32 = 16;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// Run the daemon.
    Run(Box<Options>),
    /// Print [`usage`] and end.
    Help,
    /// Print [`VERSION`] and end.
    Version,
}

/// What `--version` prints.
pub const VERSION: &str = concat!("l3roamd ", env!("CARGO_PKG_VERSION"));

/// Everything the daemon is started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What the command line says of the engine's configuration, but for what its commands say.
    pub config: Config,
    /// Where the control socket is; none without `-s`.
    pub socket: Option<PathBuf>,
    /// The name of the capture TUN.
    pub tun: InterfaceName,
    /// The interface of the local translator; kept for those who ask.
    pub clat_interface: Option<InterfaceName>,
    /// The file of commands that SIGHUP reads again.
    pub command_file: Option<PathBuf>,
    /// What that file said at the start.
    pub file_commands: Vec<Command>,
    /// Commands given as long options, in their order.
    pub commands: Vec<Command>,
    /// How much is logged, as far as no command says.
    pub log_level: LogLevel,
    /// Whether logs show MACs and addresses of clients.
    pub log_addresses: bool,
    /// The metric of host routes.
    pub metric: u32,
    /// Whether the object is offered on ubus.
    pub ubus: bool,
    /// Where ubusd listens, where that is not the usual place.
    pub ubus_socket: Option<PathBuf>,
}

/// Why the command line is refused. Its text is one line.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OptionsError {
    /// The value of an option is wrong.
    #[error("option {option}: {error}")]
    BadValue {
        /// The option as it was written.
        option: String,
        /// The value and what was expected.
        error: InvalidValue,
    },
    /// An option that is a command has wrong arguments.
    #[error("option {option}: {error}")]
    BadCommand {
        /// The option as it was written.
        option: String,
        /// What is wrong.
        error: GrammarError,
    },
    /// An option that must be there is not.
    #[error("option {option}: missing, expected {expected}")]
    Missing {
        /// The option.
        option: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// An option that may be given once was given twice.
    #[error("option {option}: '{value}' given, expected at most one")]
    Repeated {
        /// The option.
        option: &'static str,
        /// The second value.
        value: String,
    },
    /// An interface cannot face nodes and clients at once.
    #[error("option -i: '{0}' is a mesh interface (-m) too, expected an interface in one role")]
    TwoRoles(InterfaceName),
    /// The command file cannot be used.
    #[error("option -c: {0}")]
    CommandFile(#[from] command_file::FileError),
    /// There is no such option, a value is missing, or one is too many.
    #[error("{0}, see --help")]
    Syntax(String),
}

/// Reads the arguments of the process, the program's name not among them.
///
/// # Errors
/// Where an option is unknown, wrong or missing, or the command file is wrong.
pub fn parse<I>(arguments: I) -> Result<Parsed, OptionsError>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut draft = Draft::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|error| syntax(&error))? {
        let option = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Parsed::Version),
            Arg::Short(letter) => Name::Short(letter),
            Arg::Long(name) => match COMMANDS.iter().find(|spec| spec.name == name) {
                Some(spec) => Name::Command(spec),
                None => Name::Long(name.to_owned()),
            },
            Arg::Value(value) => {
                return Err(OptionsError::Syntax(format!(
                    "unexpected argument '{}', expected an option",
                    shown(&value.to_string_lossy())
                )));
            }
        };
        draft.take(&option, &mut parser)?;
    }
    draft.finish().map(|options| Parsed::Run(Box::new(options)))
}

/// An option as it was written.
enum Name {
    Short(char),
    Long(String),
    Command(&'static CommandSpec),
}

impl Name {
    fn text(&self) -> String {
        match self {
            Self::Short(letter) => format!("-{letter}"),
            Self::Long(name) => format!("--{name}"),
            Self::Command(spec) => format!("--{}", spec.name),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn syntax(error: &lexopt::Error) -> OptionsError {
    OptionsError::Syntax(error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect())
}

/// What has been read so far.
#[derive(Default)]
struct Draft {
    node_address: Option<Ipv6Addr>,
    node_client_prefix: Option<Prefix>,
    v4_prefix: V4Prefix,
    plat_prefix: Option<Ipv6Addr>,
    prefixes: Vec<Prefix>,
    mesh_interfaces: Vec<InterfaceName>,
    client_interfaces: Vec<InterfaceName>,
    client_bridge: Option<InterfaceName>,
    export_table: Option<u32>,
    socket: Option<PathBuf>,
    tun: Option<InterfaceName>,
    clat_interface: Option<InterfaceName>,
    command_file: Option<PathBuf>,
    commands: Vec<Command>,
    debug: bool,
    log_addresses: bool,
    without_netlink: bool,
    without_ndp: bool,
    without_nl80211: bool,
    without_hostapd: bool,
    seek_delay: Option<Duration>,
    metric: Option<u32>,
    without_ubus: bool,
    ubus_socket: Option<PathBuf>,
}

impl Draft {
    fn take(&mut self, name: &Name, parser: &mut lexopt::Parser) -> Result<(), OptionsError> {
        let option = name.text();
        let bad = |error| OptionsError::BadValue { option: option.clone(), error };
        let mut value = || -> Result<String, OptionsError> {
            let value = parser.value().map_err(|error| syntax(&error))?;
            value
                .into_string()
                .map_err(|value| bad(InvalidValue::new(&value.to_string_lossy(), "text in UTF-8")))
        };
        match name {
            Name::Short('a') => {
                let text = value()?;
                let address = node_address(&text).map_err(bad)?;
                if self.node_address.replace(address).is_some() {
                    return Err(OptionsError::Repeated { option: "-a", value: shown(&text) });
                }
            }
            Name::Short('b') => self.client_bridge = Some(value()?.parse().map_err(bad)?),
            Name::Short('c') => self.command_file = Some(path(&value()?).map_err(bad)?),
            Name::Short('d' | 'v') => self.debug = true,
            Name::Short('e') => self.plat_prefix = Some(plat_prefix(&value()?).map_err(bad)?),
            Name::Short('i') => add(&mut self.client_interfaces, value()?.parse().map_err(bad)?),
            Name::Short('m') => add(&mut self.mesh_interfaces, value()?.parse().map_err(bad)?),
            Name::Short('n') => self.clat_interface = Some(value()?.parse().map_err(bad)?),
            Name::Short('p') => add(&mut self.prefixes, client_prefix(&value()?).map_err(bad)?),
            Name::Short('P') => self.node_client_prefix = Some(node_client_prefix(&value()?).map_err(bad)?),
            Name::Short('s') => self.socket = Some(path(&value()?).map_err(bad)?),
            Name::Short('t') => self.export_table = Some(table(&value()?).map_err(bad)?),
            Name::Short('4') => self.v4_prefix = v4_prefix(&value()?).map_err(bad)?,
            Name::Short('D') => self.tun = Some(value()?.parse().map_err(bad)?),
            Name::Long(long) => match long.as_str() {
                "no-netlink" => self.without_netlink = true,
                "no-ndp" => self.without_ndp = true,
                "no-nl80211" => self.without_nl80211 = true,
                "no-hostapd" => self.without_hostapd = true,
                "no-ubus" => self.without_ubus = true,
                "ubus-socket" => self.ubus_socket = Some(path(&value()?).map_err(bad)?),
                "log-addresses" => self.log_addresses = true,
                "seek-delay" => {
                    let expected = "a delay from 0 to 10000 milliseconds";
                    let millis = number(&value()?, 0..=10_000, expected).map_err(bad)?;
                    self.seek_delay = Some(Duration::from_millis(u64::from(millis)));
                }
                "metric" => {
                    // From 65535 on a host route counts as none for a claimer (protocol.md, step 1).
                    let expected = "a route metric from 1 to 65534";
                    self.metric = Some(number(&value()?, 1..=65_534, expected).map_err(bad)?);
                }
                _ => return Err(OptionsError::Syntax(format!("unknown option '{}'", shown(&option)))),
            },
            Name::Short(_) => {
                return Err(OptionsError::Syntax(format!("unknown option '{}'", shown(&option))));
            }
            Name::Command(spec) => {
                let text = if spec.arguments.is_empty() { String::new() } else { value()? };
                let words: Vec<&str> = text.split_ascii_whitespace().take(8).collect();
                let command = Command::from_words(spec, &words)
                    .map_err(|error| OptionsError::BadCommand { option: option.clone(), error })?;
                self.commands.push(command);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Options, OptionsError> {
        let node_address = self.node_address.ok_or(OptionsError::Missing {
            option: "-a",
            expected: "the address of this node such as -a 2001:db8::1",
        })?;
        let file_commands = match &self.command_file {
            Some(path) => command_file::read(path)?,
            None => Vec::new(),
        };
        let mut config = Config::new(node_address);
        config.node_client_prefix = self.node_client_prefix.unwrap_or(config.node_client_prefix);
        config.v4_prefix = self.v4_prefix;
        config.plat_prefix = self.plat_prefix;
        config.prefixes = self.prefixes;
        config.mesh_interfaces = self.mesh_interfaces;
        config.client_interfaces = self.client_interfaces;
        config.client_bridge = self.client_bridge;
        config.export_table = self.export_table.unwrap_or(config.export_table);
        config.sources.netlink = !self.without_netlink;
        config.sources.ndp = !self.without_ndp;
        config.sources.nl80211 = !self.without_nl80211;
        config.sources.hostapd = !self.without_hostapd;
        config.tunables.seek_delay = self.seek_delay.unwrap_or(config.tunables.seek_delay);
        let tun = match self.tun {
            Some(tun) => tun,
            None => "l3roam0"
                .parse()
                .map_err(|error| OptionsError::BadValue { option: "-D".to_owned(), error })?,
        };
        let options = Options {
            config,
            socket: self.socket,
            tun,
            clat_interface: self.clat_interface,
            command_file: self.command_file,
            file_commands,
            commands: self.commands,
            log_level: if self.debug { LogLevel::Debug } else { LogLevel::Info },
            log_addresses: self.log_addresses,
            metric: self.metric.unwrap_or(DEFAULT_METRIC),
            ubus: !self.without_ubus,
            ubus_socket: self.ubus_socket,
        };
        // As a whole, commands included: the order of options does not matter, and prefixes may come from the file.
        Wanted::new(&options).with(&options.file_commands).check()?;
        Ok(options)
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn path(text: &str) -> Result<PathBuf, InvalidValue> {
    if text.is_empty() || text.contains('\0') {
        return Err(InvalidValue::new(text, "a path such as /var/run/l3roamd.sock"));
    }
    Ok(Path::new(text).to_owned())
}

fn number(
    text: &str,
    range: std::ops::RangeInclusive<u32>,
    expected: &'static str,
) -> Result<u32, InvalidValue> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.filter(|n| range.contains(n)).ok_or_else(|| InvalidValue::new(text, expected))
}

fn node_address(text: &str) -> Result<Ipv6Addr, InvalidValue> {
    let address: Option<Ipv6Addr> = text.parse().ok();
    address
        .filter(|address| is_host_address(IpAddr::V6(*address)))
        .ok_or_else(|| InvalidValue::new(text, "the IPv6 address of this node such as 2001:db8::1"))
}

fn node_client_prefix(text: &str) -> Result<Prefix, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    // The interface identifier takes the low 64 bits.
    if prefix.address().is_ipv4() || prefix.length() > 64 || prefix.address().is_multicast() {
        return Err(InvalidValue::new(text, "an IPv6 prefix of at most 64 bits such as fec0::/64"));
    }
    Ok(prefix)
}

fn plat_prefix(text: &str) -> Result<Ipv6Addr, InvalidValue> {
    let prefix: Prefix = text.parse()?;
    match (prefix.address(), prefix.length()) {
        (IpAddr::V6(address), 96) => Ok(address),
        _ => Err(InvalidValue::new(text, "an IPv6 prefix of 96 bits such as 64:ff9b::/96")),
    }
}

fn v4_prefix(text: &str) -> Result<V4Prefix, InvalidValue> {
    V4Prefix::new(text.parse()?)
}

const OPTIONS_HELP: &str = "\
Usage: l3roamd -a <address> -p <prefix> [option]...

  -a <address>         IPv6 address of this node (mandatory)
  -b <bridge>          bridge that the clients are on, where -i is not that bridge
  -c <file>            commands, one on each line, '#' begins a comment; SIGHUP applies what changed in it
  -d, -v               log state transitions
  -e <prefix>          PLAT prefix that this node announces, a /96
  -i <interface>       client interface (may be repeated)
  -m <interface>       mesh interface (may be repeated)
  -n <interface>       CLAT interface
  -p <prefix>          client prefix of either family (mandatory, may be repeated)
  -P <prefix>          node-client prefix, at most /64 (default fec0::/64)
  -s <path>            control socket
  -t <table>           routing table for host routes (default 254)
  -4 <prefix>          prefix that stands for IPv4 between nodes, a /96 (default ::ffff:0:0/96)
  -D <name>            name of the capture TUN (default l3roam0)
  -h, --help           this text
  -V, --version        the version
  --log-addresses      show MACs and addresses of clients in logs
  --metric <number>    metric of host routes (default 16)
  --no-hostapd         do not learn clients from what hostapd says on ubus
  --no-ndp             do not learn clients from neighbour discovery and ARP
  --no-netlink         do not learn clients from neighbour tables and forwarding databases
  --no-nl80211         do not learn clients from access points
  --no-ubus            do not offer the object l3roamd on ubus
  --seek-delay <ms>    how long an unknown address is looked for here before the mesh is asked
  --ubus-socket <path> where ubusd listens, where that is not the usual place

Commands, each an option --<name> \"<arguments>\" too, a line of the command file and a request on the control socket:
";

/// The help text.
pub fn usage() -> String {
    let mut text = OPTIONS_HELP.to_owned();
    for spec in COMMANDS {
        let mut left = spec.name.to_owned();
        for argument in spec.arguments {
            left.push_str(match argument {
                Argument::Interface => " <interface>",
                Argument::Prefix => " <prefix>",
                Argument::Table => " <table>",
                Argument::Address => " <address>",
                Argument::Client => " <mac>",
                Argument::LogLevel => " <level>",
                Argument::Timeout => " [<ms>]",
            });
        }
        // Writing to a String does not fail.
        let _ = write!(text, "  {left:<38} {}", spec.help);
        if let Some(c_name) = spec.c_name.filter(|c_name| *c_name != spec.name) {
            let _ = write!(text, " ({c_name})");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
