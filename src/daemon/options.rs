//! The command line, read as getopt does (`-n5`, `-vvn5`, repeated options).
//!
//! Every row of [`COMMANDS`] is a long option too (`--add-prefix 10.0.0.0/8`), so that what can be asked at run time can be
//! asked at the start. The order of options never matters.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;
use thiserror::Error;

use crate::engine::command::{COMMANDS, CommandSpec, LogLevel, client_prefix, table};
use crate::engine::config::{
    Config, Protocols, V4Prefix, node_address, node_client_prefix, node_prefix, plat_prefix, route_metric,
};
use crate::engine::{Command, command::GrammarError};
use crate::net::{InterfaceName, InvalidValue, Prefix, decimal};
use crate::openwrt::uci::settings::{add, path};
use crate::openwrt::uci::{Directories, InterfaceRef, NoNetworks, Problem, Settings};

use super::command_file;
use super::wanted::Wanted;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// Run the daemon.
    Run(Box<Options>),
    /// Print [`usage`](super::help::usage) and end.
    Help,
    /// Print [`VERSION`] and end.
    Version,
}

/// What `--version` prints.
pub const VERSION: &str = concat!("l3roamd ", env!("CARGO_PKG_VERSION"));

/// Everything the daemon is started with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What UCI says, if it is read, and the command line over it, but for what its commands say.
    pub settings: Settings,
    /// The engine's configuration that follows.
    pub config: Config,
    /// Where configuration files are, with `--uci`.
    pub directories: Option<Directories>,
    /// What was wrong with them.
    pub problems: Vec<Problem>,
    /// The file of commands that SIGHUP reads again.
    pub command_file: Option<PathBuf>,
    /// What that file said when it was read last.
    pub file_commands: Vec<Command>,
    /// Commands given as long options, in their order.
    pub commands: Vec<Command>,
    /// Where ubusd listens, where that is not the usual place.
    pub ubus_socket: Option<PathBuf>,
    /// The command line itself, to put it over what UCI says later.
    draft: Draft,
}

impl Options {
    /// Reads UCI and the command file again.
    ///
    /// # Errors
    /// Where anything in them is wrong.
    pub fn read_again(&self) -> Result<Self, OptionsError> {
        let new = self.draft.options()?;
        match new.problems.iter().find(|problem| !problem.is_warning()) {
            Some(problem) => Err(problem.clone().into()),
            None => Ok(new),
        }
    }
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
    /// UCI does not say what it must.
    #[error("option --uci: {0}")]
    Uci(#[from] Problem),
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
    let mut parser =
        lexopt::Parser::from_args(arguments.into_iter().flat_map(|argument| words(argument.into())));
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
    draft.options().map(|options| Parsed::Run(Box::new(options)))
}

/// The words of an argument that is an option with a blank before it, as a script quotes it that composes options as text: Gluon's init
/// script since 2025 passes ` -P PREFIX`. (The C daemon ignores it.)
fn words(argument: OsString) -> Vec<OsString> {
    match argument.to_str() {
        Some(text) if text.starts_with(" -") => text.split_ascii_whitespace().map(OsString::from).collect(),
        _ => vec![argument],
    }
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

/// What the command line says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Draft {
    directories: Option<Directories>,
    node_address: Option<Ipv6Addr>,
    node_client_prefix: Option<Prefix>,
    v4_prefix: Option<V4Prefix>,
    plat_prefix: Option<Ipv6Addr>,
    prefixes: Vec<Prefix>,
    node_prefixes: Vec<Prefix>,
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
    drain_metric: Option<u32>,
    protocols: Option<Protocols>,
    overlap: Option<Duration>,
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
            Name::Short('4') => self.v4_prefix = Some(v4_prefix(&value()?).map_err(bad)?),
            Name::Short('D') => self.tun = Some(value()?.parse().map_err(bad)?),
            Name::Long(long) => match long.as_str() {
                "uci" => {
                    let directory = parser.optional_value().map(PathBuf::from);
                    self.directories =
                        Some(directory.map_or_else(Directories::default, |path| Directories::only(&path)));
                }
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
                "metric" => self.metric = Some(route_metric(&value()?).map_err(bad)?),
                "drain-metric" => self.drain_metric = Some(route_metric(&value()?).map_err(bad)?),
                "overlap" => {
                    let expected = "an overlap from 0 to 3600 seconds";
                    let seconds = number(&value()?, 0..=3600, expected).map_err(bad)?;
                    self.overlap = Some(Duration::from_secs(u64::from(seconds)));
                }
                "node-prefix" => add(&mut self.node_prefixes, node_prefix(&value()?).map_err(bad)?),
                "protocols" => self.protocols = Some(value()?.parse().map_err(bad)?),
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

    /// What is wanted as a whole. Reads the files that the command line names.
    fn options(&self) -> Result<Options, OptionsError> {
        let (mut settings, mut problems) = match &self.directories {
            Some(directories) => directories.load(),
            None => (Settings::of_command_line(), Vec::new()),
        };
        self.put_over(&mut settings);
        let node_address = match (settings.node_address, &self.directories) {
            (Some(address), _) => address,
            // What is wrong with our own file is worth more than that it does not say the address.
            (None, Some(directories)) => directories.address_of_loopback().map_err(|problem| {
                problems.iter().find(|problem| !problem.is_warning()).cloned().unwrap_or(problem)
            })?,
            (None, None) => {
                return Err(OptionsError::Missing {
                    option: "-a",
                    expected: "the address of this node such as -a 2001:db8::1",
                });
            }
        };
        settings.node_address = Some(node_address);
        let file_commands = match &self.command_file {
            Some(path) => command_file::read(path)?,
            None => Vec::new(),
        };
        let mut options = Options {
            config: settings.config(node_address),
            settings,
            directories: self.directories.clone(),
            problems: Vec::new(),
            command_file: self.command_file.clone(),
            file_commands,
            commands: self.commands.clone(),
            ubus_socket: self.ubus_socket.clone(),
            draft: self.clone(),
        };
        // As a whole, commands included: the order of options does not matter, and prefixes may come from the file.
        let wanted = Wanted::new(&options, &NoNetworks).with(&options.file_commands);
        match (wanted.check(), &self.directories) {
            // Nothing can be served, and the interfaces can be prepared for the day when it can.
            (Err(OptionsError::Missing { .. }), Some(directories)) => problems.push(directories.no_prefix()),
            (checked, _) => checked?,
        }
        options.problems = problems;
        Ok(options)
    }

    /// Lists are added, everything else replaces what UCI says.
    fn put_over(&self, settings: &mut Settings) {
        fn replace<T: Clone>(old: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                old.clone_from(new);
            }
        }
        let device = |name: &InterfaceName| InterfaceRef::Device(name.clone());
        settings.node_address = self.node_address.or(settings.node_address);
        replace(&mut settings.node_client_prefix, &self.node_client_prefix);
        replace(&mut settings.v4_prefix, &self.v4_prefix);
        settings.plat_prefix = self.plat_prefix.or(settings.plat_prefix);
        self.prefixes.iter().for_each(|prefix| add(&mut settings.prefixes, *prefix));
        self.node_prefixes.iter().for_each(|prefix| add(&mut settings.node_prefixes, *prefix));
        self.mesh_interfaces.iter().for_each(|name| add(&mut settings.mesh_interfaces, device(name)));
        self.client_interfaces.iter().for_each(|name| add(&mut settings.client_interfaces, device(name)));
        settings.client_bridge = self.client_bridge.as_ref().map(device).or(settings.client_bridge.take());
        replace(&mut settings.export_table, &self.export_table);
        settings.control_socket = self.socket.clone().or(settings.control_socket.take());
        replace(&mut settings.capture_device, &self.tun);
        settings.clat_interface = self.clat_interface.as_ref().map(device).or(settings.clat_interface.take());
        settings.sources.netlink &= !self.without_netlink;
        settings.sources.ndp &= !self.without_ndp;
        settings.sources.nl80211 &= !self.without_nl80211;
        settings.sources.hostapd &= !self.without_hostapd;
        settings.ubus &= !self.without_ubus;
        replace(&mut settings.tunables.seek_delay, &self.seek_delay);
        replace(&mut settings.metric, &self.metric);
        settings.drain_metric = self.drain_metric.or(settings.drain_metric);
        replace(&mut settings.protocols, &self.protocols);
        replace(&mut settings.tunables.overlap, &self.overlap);
        settings.log_addresses |= self.log_addresses;
        if self.debug {
            settings.log_level = LogLevel::Debug;
        }
    }
}

fn number(
    text: &str,
    range: std::ops::RangeInclusive<u32>,
    expected: &'static str,
) -> Result<u32, InvalidValue> {
    decimal(text).filter(|n| range.contains(n)).ok_or_else(|| InvalidValue::new(text, expected))
}

fn v4_prefix(text: &str) -> Result<V4Prefix, InvalidValue> {
    V4Prefix::new(text.parse()?)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
