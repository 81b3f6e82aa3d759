//! Commands: what somebody configures or asks at run time.

use std::net::IpAddr;

use thiserror::Error;

use super::Engine;
use super::command::Command;
use super::config::Adjustable;
use super::interfaces::Role;
use super::output::{Action, HostRoute, LeaveReason};
use crate::net::{InterfaceName, Mac, Prefix};
use crate::time::Timestamp;

/// Client prefixes at most, and interfaces of each role.
const MAX_PREFIXES: usize = 64;
const MAX_INTERFACES: usize = 64;

/// Why a command was refused. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CommandError {
    /// The client is not served here.
    #[error("client {0} is not known here")]
    UnknownClient(Mac),
    /// The client does not have the address.
    #[error("address {0} is not known here")]
    UnknownAddress(IpAddr),
    /// The address lies in no client prefix.
    #[error("address {0} is in no client prefix")]
    OutsidePrefixes(IpAddr),
    /// The prefix is not served.
    #[error("prefix {0} is not among the client prefixes")]
    UnknownPrefix(Prefix),
    /// The interface is not attached in that role.
    #[error("interface {0} is not attached as {1} interface")]
    UnknownInterface(InterfaceName, &'static str),
    /// The interface is attached in the other role already.
    #[error("interface {0} is attached as {1} interface already")]
    OtherRole(InterfaceName, &'static str),
    /// No client interface exists at the moment.
    #[error("no client interface is usable")]
    NoClientInterface,
    /// A bound was reached.
    #[error("limit {0} is reached")]
    Limit(&'static str),
}

impl Engine {
    /// Carries out a command that changes something. Those that only ask, and the log level, are answered by whoever took the command
    /// in, from the read-only accessors; here they do nothing. Attaching or adding what is there already is success.
    ///
    /// # Errors
    /// Where the command makes no sense now: nothing is changed.
    pub fn command(&mut self, now: Timestamp, command: &Command) -> Result<(), CommandError> {
        if self.ended {
            return Ok(());
        }
        self.advance(now);
        match command {
            Command::AttachMeshInterface(name) => self.attach(Role::Mesh, name),
            Command::DetachMeshInterface(name) => self.detach(Role::Mesh, name),
            Command::AttachClientInterface(name) => self.attach(Role::Client, name),
            Command::DetachClientInterface(name) => self.detach(Role::Client, name),
            Command::AddPrefix(prefix) => self.add_prefix(*prefix),
            Command::RemovePrefix(prefix) => self.remove_prefix(*prefix),
            Command::SetExportTable(table) => {
                self.set_export_table(*table);
                Ok(())
            }
            Command::AddAddress(address, client) => self.add_address(*address, *client),
            Command::RemoveAddress(address, client) => self.remove_client_address(*address, *client),
            Command::Probe(address, client) => self.probe(*address, *client),
            Command::DropClient(client) => {
                self.clients.get(client).ok_or(CommandError::UnknownClient(*client))?;
                self.leave(*client, LeaveReason::Removed, None);
                Ok(())
            }
            Command::Seek(address, patience) => self.seek_for_operator(*address, *patience),
            Command::SetLogLevel(_)
            | Command::GetClients
            | Command::GetPrefixes
            | Command::GetMeshInterfaces
            | Command::HasRoute(_)
            | Command::Report(_)
            | Command::Reload => Ok(()),
        }
    }

    /// Changes what may change without a command. Nobody is dropped for it, not even where a limit is below what there is; timers that
    /// run already run out as they were set.
    pub fn adjust(&mut self, now: Timestamp, new: Adjustable) {
        if self.ended {
            return;
        }
        self.advance(now);
        let Adjustable { client_bridge, plat_prefix, node_prefixes, tunables } = new;
        self.config.plat_prefix = plat_prefix;
        self.config.node_prefixes = node_prefixes;
        self.config.tunables = tunables;
        if self.config.client_bridge != client_bridge {
            self.config.client_bridge = client_bridge;
            self.refresh_interfaces();
        }
    }

    fn names(&mut self, role: Role) -> &mut Vec<InterfaceName> {
        match role {
            Role::Mesh => &mut self.config.mesh_interfaces,
            Role::Client => &mut self.config.client_interfaces,
        }
    }

    fn attach(&mut self, role: Role, name: &InterfaceName) -> Result<(), CommandError> {
        let other = if role == Role::Mesh { Role::Client } else { Role::Mesh };
        if self.names(other).contains(name) {
            return Err(CommandError::OtherRole(name.clone(), other.name()));
        }
        let names = self.names(role);
        if names.contains(name) {
            return Ok(());
        }
        if names.len() >= MAX_INTERFACES {
            return Err(CommandError::Limit("interfaces"));
        }
        names.push(name.clone());
        self.refresh_interfaces();
        Ok(())
    }

    fn detach(&mut self, role: Role, name: &InterfaceName) -> Result<(), CommandError> {
        let names = self.names(role);
        let before = names.len();
        names.retain(|attached| attached != name);
        if names.len() == before {
            return Err(CommandError::UnknownInterface(name.clone(), role.name()));
        }
        self.refresh_interfaces();
        Ok(())
    }

    fn add_prefix(&mut self, prefix: Prefix) -> Result<(), CommandError> {
        if self.config.prefixes.contains(&prefix) {
            return Ok(());
        }
        if self.config.prefixes.len() >= MAX_PREFIXES {
            return Err(CommandError::Limit("prefixes"));
        }
        self.config.prefixes.push(prefix);
        self.act(Action::InstallPrefixRoute(prefix));
        // Clients that are here may have addresses in it already.
        self.act(Action::Rescan);
        Ok(())
    }

    fn remove_prefix(&mut self, prefix: Prefix) -> Result<(), CommandError> {
        let before = self.config.prefixes.len();
        self.config.prefixes.retain(|known| *known != prefix);
        if self.config.prefixes.len() == before {
            return Err(CommandError::UnknownPrefix(prefix));
        }
        self.act(Action::UninstallPrefixRoute(prefix));
        let held: Vec<(IpAddr, Mac)> = self.holders.iter().map(|(address, mac)| (*address, *mac)).collect();
        for (address, mac) in held {
            if prefix.contains(address) && !self.is_routable(address) {
                self.remove_address(mac, address);
            }
        }
        self.withdraw_all(Some(prefix));
        Ok(())
    }

    /// Moves all host routes. The new one first: the routing daemon must not see an address vanish.
    fn set_export_table(&mut self, table: u32) {
        if table == self.config.export_table {
            return;
        }
        let old = self.desired_state().routes;
        self.config.export_table = table;
        for route in old {
            self.act(Action::InstallRoute(HostRoute { table, ..route }));
            self.act(Action::UninstallRoute(route));
        }
    }

    fn add_address(&mut self, address: IpAddr, mac: Mac) -> Result<(), CommandError> {
        if !self.is_routable(address) {
            return Err(CommandError::OutsidePrefixes(address));
        }
        let interface = self.clients.get(&mac).map(|client| client.interface);
        let interface = interface.or_else(|| self.interfaces.clients().next());
        self.address_by_operator(mac, address, interface.ok_or(CommandError::NoClientInterface)?);
        let served = self.clients.get(&mac).is_some_and(|client| client.addresses.contains_key(&address));
        if served { Ok(()) } else { Err(CommandError::Limit("clients or addresses")) }
    }

    fn remove_client_address(&mut self, address: IpAddr, mac: Mac) -> Result<(), CommandError> {
        let client = self.clients.get(&mac).ok_or(CommandError::UnknownClient(mac))?;
        if !client.addresses.contains_key(&address) {
            return Err(CommandError::UnknownAddress(address));
        }
        self.remove_address(mac, address);
        Ok(())
    }

    fn probe(&mut self, address: IpAddr, mac: Mac) -> Result<(), CommandError> {
        let known = self.clients.get(&mac).map(|client| client.interface);
        let interfaces: Vec<_> =
            known.map_or_else(|| self.interfaces.clients().collect(), |interface| vec![interface]);
        if interfaces.is_empty() {
            return Err(CommandError::NoClientInterface);
        }
        for interface in interfaces {
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
        Ok(())
    }
}
