//! Carries out commands, whichever way they came in.

use std::net::IpAddr;
use std::time::Duration;

use super::{Kernel, log};
use crate::control::Reply;
use crate::control::status::{self, ClientsStatus, MeshInterfacesStatus, PrefixesStatus};
use crate::engine::config::V4Prefix;
use crate::engine::input::RouteLookup;
use crate::engine::{Action, Command, Engine, Input, Report};
use crate::time::Timestamp;

/// What a command leads to.
#[derive(Debug)]
pub enum Answer {
    /// This is the answer.
    Now(Reply),
    /// The daemon tells about itself.
    Report(Report),
    /// The daemon reads its configuration again.
    Reload,
    /// The address is sought for so long; the engine tells where it is.
    Sought(IpAddr, Duration),
}

/// Carries out `command` as far as engine and kernel go.
pub async fn dispatch(command: &Command, engine: &mut Engine, kernel: &mut Kernel, now: Timestamp) -> Answer {
    match begin(command, engine, now) {
        Step::Answer(answer) => answer,
        // The engine need not know what an operator looks up.
        Step::Lookup(address) => Answer::Now(match kernel.apply(Action::LookupRoute(address)).await {
            Some(Input::RouteLookedUp { found, .. }) => {
                Reply::HostRoute(matches!(found, RouteLookup::HostRoute { .. }))
            }
            _ => Reply::Failed("the kernel does not answer"),
        }),
    }
}

/// What is left to do when all that needs no kernel is done.
#[derive(Debug)]
enum Step {
    Answer(Answer),
    Lookup(IpAddr),
}

fn begin(command: &Command, engine: &mut Engine, now: Timestamp) -> Step {
    let v4_prefix = engine.config().v4_prefix;
    Step::Answer(Answer::Now(match command {
        Command::GetClients => Reply::Clients(ClientsStatus { clients: status::clients(engine), v4_prefix }),
        Command::GetPrefixes => {
            Reply::Prefixes(PrefixesStatus { prefixes: engine.config().prefixes.clone(), v4_prefix })
        }
        Command::GetMeshInterfaces => {
            Reply::MeshInterfaces(MeshInterfacesStatus { names: engine.config().mesh_interfaces.clone() })
        }
        Command::HasRoute(address) => return Step::Lookup(plain(v4_prefix, *address)),
        Command::Report(report) => return Step::Answer(Answer::Report(*report)),
        Command::Reload => return Step::Answer(Answer::Reload),
        Command::Seek(address, patience) => {
            let address = plain(v4_prefix, *address);
            match engine.command(now, &Command::Seek(address, *patience)) {
                Ok(()) => return Step::Answer(Answer::Sought(address, *patience)),
                Err(refusal) => Reply::Refused(refusal),
            }
        }
        Command::SetLogLevel(level) => {
            log::set_level(*level);
            Reply::Done
        }
        Command::AddAddress(..)
        | Command::RemoveAddress(..)
        | Command::Probe(..)
        | Command::AttachMeshInterface(_)
        | Command::DetachMeshInterface(_)
        | Command::AttachClientInterface(_)
        | Command::DetachClientInterface(_)
        | Command::AddPrefix(_)
        | Command::RemovePrefix(_)
        | Command::SetExportTable(_)
        | Command::DropClient(_) => match engine.command(now, &with_plain_address(command, v4_prefix)) {
            Ok(()) => Reply::Done,
            Err(refusal) => Reply::Refused(refusal),
        },
    }))
}

/// IPv4 addresses as they are: scripts hand back what `get_clients` printed, `::ffff:10.0.0.5`.
fn plain(v4_prefix: V4Prefix, address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => v4_prefix.from_wire(address),
        IpAddr::V4(_) => address,
    }
}

fn with_plain_address(command: &Command, v4_prefix: V4Prefix) -> Command {
    match command {
        Command::AddAddress(address, client) => Command::AddAddress(plain(v4_prefix, *address), *client),
        Command::RemoveAddress(address, client) => {
            Command::RemoveAddress(plain(v4_prefix, *address), *client)
        }
        Command::Probe(address, client) => Command::Probe(plain(v4_prefix, *address), *client),
        other => other.clone(),
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
