//! The ubus object `l3roamd`: what its methods, their arguments and replies, and its notifications mean.
//!
//! | file | concept |
//! |---|---|
//! | `arguments` | what came with a call, read one by one |
//! | `clients` | `get_clients`, page by page |
//! | `report`, `config` | the other tables, which the control socket gives too |
//! | `notify` | the engine's news |
//!
//! A method that changes something is a [`Command`] of the one table of commands, under the same name in snake case. MACs are lower
//! case, ages milliseconds, lists arrays of tables. Arguments that a method does not have are ignored: LuCI adds one to every call.

mod arguments;
mod clients;
mod config;
mod notify;
mod report;

use crate::control::Reply;
use crate::daemon::options::Options;
use crate::engine::command::{Argument, COMMANDS, CommandSpec, Report};
use crate::engine::{Command, CommandError, Engine};
use crate::gather::gather;
use crate::kernel;
use crate::time::Timestamp;

use super::ubus::ArgumentType::{self, Boolean, Integer, String as Text};
use super::ubus::{MethodSpec, ObjectSpec, Status, Table};
use arguments::Arguments;
pub use clients::{Page, clients};
pub use notify::notification;
pub use report::{handovers, prefixes, report};

/// The object as it is advertised, following `watched` objects of others.
pub const fn spec(watched: &'static [&'static str]) -> ObjectSpec {
    ObjectSpec { name: "l3roamd", methods: &SPECS, watched }
}

/// What a table is made of: a read-only view of the daemon.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// What the kernel side counted.
    pub kernel: kernel::Counters,
    /// What the daemon was started with.
    pub options: &'a Options,
    /// The rest.
    pub facts: &'a Facts,
    /// Now: ages are reckoned from here.
    pub now: Timestamp,
}

/// What the daemon knows of itself, apart from the engine and the kernel side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// When it was started.
    pub started: Timestamp,
    /// What is wrong at present outside the engine, as one line each.
    pub problems: Vec<&'static str>,
    /// How the connection to ubus stands; `None` where it is switched off.
    pub ubus: Option<Connection>,
}

/// How the connection to ubus stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Connection {
    /// Whether the object is on the bus.
    pub connected: bool,
    /// Whether somebody is subscribed to it.
    pub subscribed: bool,
    /// How often it came to be on the bus.
    pub connects: u64,
    /// Calls taken.
    pub calls: u64,
    /// Notifications sent.
    pub notifications: u64,
    /// Orders lost, for the client of the bus was stuck.
    pub lost: u64,
}

/// What a call asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A command like any other.
    Command(Command),
    /// A page of the clients.
    Clients(Page),
    /// So many of the last handovers.
    Handovers(usize),
    /// The client prefixes.
    Prefixes,
}

/// A method: how it is advertised, and what reads its arguments.
struct Method {
    spec: MethodSpec,
    read: Read,
}

enum Read {
    /// The command of that name; the arguments are its own, in their order.
    Command(&'static str),
    Own(fn(Arguments<'_>) -> Result<Request, Status>),
}

const fn command(
    name: &'static str,
    command: &'static str,
    arguments: &'static [(&'static str, ArgumentType)],
) -> Method {
    Method { spec: MethodSpec { name, arguments }, read: Read::Command(command) }
}

const fn own(
    name: &'static str,
    arguments: &'static [(&'static str, ArgumentType)],
    read: fn(Arguments<'_>) -> Result<Request, Status>,
) -> Method {
    Method { spec: MethodSpec { name, arguments }, read: Read::Own(read) }
}

const INTERFACE: &[(&str, ArgumentType)] = &[("interface", Text)];
const PREFIX: &[(&str, ArgumentType)] = &[("prefix", Text)];
const ADDRESS_AND_MAC: &[(&str, ArgumentType)] = &[("address", Text), ("mac", Text)];

const METHODS: [Method; 24] = [
    command("get_status", "get-status", &[]),
    own("get_clients", Page::ARGUMENTS, |arguments| Page::read(arguments).map(Request::Clients)),
    own("get_handovers", &[("limit", Integer)], |arguments| {
        let limit = arguments.count("limit")?;
        Ok(Request::Handovers(limit.unwrap_or(usize::MAX)))
    }),
    command("get_interfaces", "get-interfaces", &[]),
    command("get_mesh_interfaces", "get-mesh-interfaces", &[]),
    own("get_prefixes", &[], |_| Ok(Request::Prefixes)),
    command("get_peers", "get-peers", &[]),
    command("get_statistics", "get-statistics", &[]),
    command("get_config", "get-config", &[]),
    command("has_route", "has-route", &[("address", Text)]),
    command("attach_mesh_interface", "attach-mesh-interface", INTERFACE),
    command("detach_mesh_interface", "detach-mesh-interface", INTERFACE),
    command("attach_client_interface", "attach-client-interface", INTERFACE),
    command("detach_client_interface", "detach-client-interface", INTERFACE),
    command("add_prefix", "add-prefix", PREFIX),
    command("remove_prefix", "remove-prefix", PREFIX),
    command("set_export_table", "set-export-table", &[("table", Integer)]),
    command("add_address", "add-address", ADDRESS_AND_MAC),
    command("remove_address", "remove-address", ADDRESS_AND_MAC),
    command("probe", "probe", ADDRESS_AND_MAC),
    command("seek", "seek", &[("address", Text), ("timeout", Integer)]),
    command("drop_client", "drop-client", &[("mac", Text)]),
    command("set_log_level", "set-log-level", &[("level", Text)]),
    command("reload", "reload", &[("networks", Boolean)]),
];

static SPECS: [MethodSpec; METHODS.len()] = specs();

const fn specs() -> [MethodSpec; METHODS.len()] {
    let mut specs = [METHODS[0].spec; METHODS.len()];
    let mut at = 0;
    while at < METHODS.len() {
        specs[at] = METHODS[at].spec;
        at += 1;
    }
    specs
}

/// Whether a call asks for a look at the networks of netifd and nothing else: `reload {"networks":true}`, as the hotplug script says.
pub fn is_about_networks(method: usize, arguments: &Table) -> bool {
    let reload = METHODS.get(method).is_some_and(|method| method.spec.name == "reload");
    reload && arguments.get("networks").and_then(serde_json::Value::as_bool) == Some(true)
}

/// What a call asks for: `method` is its index in [`ObjectSpec::methods`].
///
/// # Errors
/// Where there is no such method, or an argument is missing, of the wrong type or out of range.
pub fn read_call(method: usize, arguments: &Table) -> Result<Request, Status> {
    let method = METHODS.get(method).ok_or(Status::MethodNotFound)?;
    let arguments = Arguments(arguments);
    arguments.check(method.spec.arguments)?;
    match method.read {
        Read::Own(read) => read(arguments),
        Read::Command(name) => {
            // A test walks the methods: every name is in the table.
            let spec = COMMANDS.iter().find(|spec| spec.name == name).ok_or(Status::MethodNotFound)?;
            read_command(spec, method.spec.arguments, arguments).map(Request::Command)
        }
    }
}

fn read_command(
    spec: &CommandSpec,
    names: &[(&'static str, ArgumentType)],
    arguments: Arguments<'_>,
) -> Result<Command, Status> {
    let mut words = Vec::new();
    for (argument, (name, kind)) in spec.arguments.iter().zip(names) {
        let word = match kind {
            Integer => arguments.integer(name)?.map(|number| number.to_string()),
            _ => arguments.text(name)?.map(str::to_owned),
        };
        match word {
            Some(word) => words.push(word),
            None if argument.is_optional() => {}
            None => return Err(Status::InvalidArgument),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Command::from_words(spec, &words).map_err(|problem| {
        tracing::debug!(method = spec.name, problem = %shown(spec, &problem), "ubus call refused");
        Status::InvalidArgument
    })
}

/// What is wrong, without what may name a client.
fn shown(spec: &CommandSpec, problem: &dyn std::fmt::Display) -> String {
    let names_client = spec.arguments.iter().any(|a| matches!(a, Argument::Address | Argument::Client));
    if names_client { "bad argument".to_owned() } else { problem.to_string() }
}

/// What a command answered, as ubus has it.
///
/// # Errors
/// Where it was refused or failed.
pub fn outcome(reply: Reply) -> Result<Table, Status> {
    match reply {
        Reply::Done => Ok(Table::new()),
        Reply::Table(table) => Ok(table),
        Reply::HostRoute(stands) => Ok(gather([("stands".to_owned(), stands.into())])),
        Reply::MeshInterfaces(status) => {
            let names = status.names.iter().map(|name| name.to_string().into()).collect();
            Ok(gather([("mesh_interfaces".to_owned(), serde_json::Value::Array(names))]))
        }
        Reply::NotFound => Err(Status::NotFound),
        Reply::Refused(refusal) => Err(match refusal {
            CommandError::UnknownClient(_)
            | CommandError::UnknownAddress(_)
            | CommandError::UnknownPrefix(_)
            | CommandError::UnknownInterface(..) => Status::NotFound,
            CommandError::OutsidePrefixes(_) | CommandError::OtherRole(..) => Status::InvalidArgument,
            CommandError::NoClientInterface => Status::NotSupported,
            CommandError::Limit(_) => Status::UnknownError,
        }),
        // The two last have methods of their own.
        Reply::Failed(_) | Reply::Clients(_) | Reply::Prefixes(_) => Err(Status::UnknownError),
    }
}

/// Answers what needs no more than a look; [`Request::Command`] needs the daemon.
///
/// # Errors
/// Where what was asked for is not known.
pub fn look(request: &Request, view: &View<'_>) -> Option<Result<Table, Status>> {
    match request {
        Request::Command(_) => None,
        Request::Clients(page) => Some(clients(view, page)),
        Request::Handovers(limit) => Some(Ok(handovers(view, *limit))),
        Request::Prefixes => Some(Ok(prefixes(view))),
    }
}

/// The command that asks for a report, answered.
pub fn answer(what: Report, view: &View<'_>) -> Reply {
    Reply::Table(report(what, view))
}

#[cfg(test)]
mod tests;
