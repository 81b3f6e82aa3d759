//! What a command answers, and how the answer is written.

use crate::engine::{Command, CommandError};

use crate::openwrt::ubus::Table;

use super::json;
use super::status::{ClientsStatus, MeshInterfacesStatus, PrefixesStatus};

/// The answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// It makes no sense now; nothing was changed.
    Refused(CommandError),
    /// It could not be carried out for a reason outside the engine.
    Failed(&'static str),
    /// The clients.
    Clients(ClientsStatus),
    /// The client prefixes.
    Prefixes(PrefixesStatus),
    /// The mesh interfaces.
    MeshInterfaces(MeshInterfacesStatus),
    /// Whether a host route stands.
    HostRoute(bool),
    /// What was asked for is not there.
    NotFound,
    /// A table of names and values, as ubus has it too.
    Table(Table),
}

/// Which daemon's answers a request wants: the name it used tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// A name of the C daemon: its answers, to the byte.
    C,
    /// Our name: `OK`, `error: ...`, or what was asked for.
    Own,
}

/// Writes `reply` to `command`. `arguments` is the text behind the name, as it came: the C daemon repeats it.
pub fn write(style: Style, command: &Command, arguments: &str, reply: &Reply) -> String {
    match reply {
        Reply::Clients(status) => json::to_string(status),
        Reply::Prefixes(status) => json::to_string(status),
        Reply::MeshInterfaces(status) => json::to_string(status),
        Reply::HostRoute(stands) => {
            let address = arguments.split_ascii_whitespace().next().unwrap_or_default();
            let length = match command {
                Command::HasRoute(std::net::IpAddr::V4(_)) => 32,
                _ => 128,
            };
            format!("found route {address}/{length}: {}\n", if *stands { "YES" } else { "NO" })
        }
        Reply::Done => match (style, command) {
            (Style::C, Command::AddPrefix(_)) => format!("Added prefix: {arguments}"),
            (Style::C, Command::RemovePrefix(_)) => format!("Deleted prefix: {arguments}"),
            (
                Style::C,
                Command::AttachMeshInterface(_)
                | Command::DetachMeshInterface(_)
                | Command::Probe(..)
                | Command::SetLogLevel(_),
            ) => String::new(),
            // No line end, as the C daemon.
            (Style::C, _) => "OK".to_owned(),
            (Style::Own, _) => "OK\n".to_owned(),
        },
        Reply::Refused(refusal) => match (style, command, refusal) {
            (Style::C, Command::AddAddress(..), _) => "NOT OK".to_owned(),
            // It answers nothing for a client that it does not know, and OK for an address that the client does not have.
            (Style::C, Command::RemoveAddress(..), CommandError::UnknownClient(_)) => String::new(),
            (Style::C, Command::RemoveAddress(..), CommandError::UnknownAddress(_)) => "OK".to_owned(),
            // It confirms the removal of a prefix that it does not have.
            (Style::C, Command::RemovePrefix(_), CommandError::UnknownPrefix(_)) => {
                format!("Deleted prefix: {arguments}")
            }
            // Attaching twice, detaching what is not attached: silence.
            (Style::C, Command::DetachMeshInterface(_), CommandError::UnknownInterface(..)) => String::new(),
            _ => error(refusal),
        },
        Reply::NotFound => error(&"not found"),
        Reply::Table(table) => json::to_string(table),
        Reply::Failed(problem) => error(problem),
    }
}

/// The answer to what is no command or could not be carried out: one line.
pub fn error(problem: &dyn std::fmt::Display) -> String {
    let text = problem.to_string();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("error: {text}\n")
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
