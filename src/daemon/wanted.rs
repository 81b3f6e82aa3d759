//! What UCI, command line and command file describe together, and the difference between two such descriptions, as commands (SIGHUP).
//!
//! Commands that describe how things should be are folded into the configuration before the engine starts: what an earlier
//! instance left is adopted by what the configuration says then. Commands that order something are carried out afterwards.
//!
//! What was changed at run time by other ways in stays as it is: only what differs between what was read is touched.

use crate::engine::command::LogLevel;
use crate::engine::config::Adjustable;
use crate::engine::{Command, Config};
use crate::net::{InterfaceName, Prefix};
use crate::openwrt::uci::Networks;
use crate::openwrt::uci::settings::add;

use super::options::{Options, OptionsError};

/// What UCI, the command line over it, and a command file on top of both, want to be so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    adjustable: Adjustable,
    mesh_interfaces: Vec<InterfaceName>,
    client_interfaces: Vec<InterfaceName>,
    prefixes: Vec<Prefix>,
    export_table: u32,
    log_level: LogLevel,
}

impl Wanted {
    /// What UCI and the command line want, of interfaces by the devices that `networks` knows for them.
    pub fn new(options: &Options, networks: &dyn Networks) -> Self {
        let settings = &options.settings;
        let devices = settings.devices(networks);
        let wanted = Self {
            adjustable: Adjustable {
                client_bridge: devices.bridge,
                plat_prefix: settings.plat_prefix,
                node_prefixes: settings.node_prefixes.clone(),
                tunables: settings.tunables.clone(),
            },
            mesh_interfaces: devices.mesh,
            client_interfaces: devices.client,
            prefixes: settings.prefixes.clone(),
            export_table: settings.export_table,
            log_level: settings.log_level,
        };
        wanted.with(&options.commands)
    }

    /// Checks what no single option or line can be blamed for.
    ///
    /// # Errors
    /// Where an interface has two roles, or there is no client prefix.
    pub fn check(&self) -> Result<(), OptionsError> {
        if let Some(name) = self.client_interfaces.iter().find(|name| self.mesh_interfaces.contains(name)) {
            return Err(OptionsError::TwoRoles(name.clone()));
        }
        if self.prefixes.is_empty() {
            return Err(OptionsError::Missing {
                option: "-p",
                expected: "at least one client prefix such as -p 2001:db8::/64",
            });
        }
        Ok(())
    }

    /// `config` with what is wanted.
    pub fn applied_to(&self, config: &Config) -> Config {
        Config {
            mesh_interfaces: self.mesh_interfaces.clone(),
            client_interfaces: self.client_interfaces.clone(),
            prefixes: self.prefixes.clone(),
            client_bridge: self.adjustable.client_bridge.clone(),
            node_prefixes: self.adjustable.node_prefixes.clone(),
            export_table: self.export_table,
            ..config.clone()
        }
    }

    /// What changes without a command.
    pub const fn adjustable(&self) -> &Adjustable {
        &self.adjustable
    }

    /// How much is to be logged.
    pub const fn log_level(&self) -> LogLevel {
        self.log_level
    }

    /// What is wanted after these commands.
    pub fn with(&self, commands: &[Command]) -> Self {
        let mut wanted = self.clone();
        for command in commands {
            match command {
                Command::AttachMeshInterface(name) => add(&mut wanted.mesh_interfaces, name.clone()),
                Command::DetachMeshInterface(name) => wanted.mesh_interfaces.retain(|other| other != name),
                Command::AttachClientInterface(name) => add(&mut wanted.client_interfaces, name.clone()),
                Command::DetachClientInterface(name) => {
                    wanted.client_interfaces.retain(|other| other != name)
                }
                Command::AddPrefix(prefix) => add(&mut wanted.prefixes, *prefix),
                Command::RemovePrefix(prefix) => wanted.prefixes.retain(|other| other != prefix),
                Command::SetExportTable(table) => wanted.export_table = *table,
                Command::SetLogLevel(level) => wanted.log_level = *level,
                order => debug_assert!(is_order(order)),
            }
        }
        wanted
    }

    /// The commands that lead from `self` to `new`.
    ///
    /// Interfaces are detached before others are attached, for one may change its role; prefixes are added before others are
    /// removed, for an address may lie in both.
    pub fn difference(&self, new: &Self) -> Vec<Command> {
        let mut commands = Vec::new();
        let (mesh, client) = (&self.mesh_interfaces, &self.client_interfaces);
        commands.extend(only_in(mesh, &new.mesh_interfaces).map(Command::DetachMeshInterface));
        commands.extend(only_in(client, &new.client_interfaces).map(Command::DetachClientInterface));
        commands.extend(only_in(&new.prefixes, &self.prefixes).map(Command::AddPrefix));
        commands.extend(only_in(&self.prefixes, &new.prefixes).map(Command::RemovePrefix));
        if self.export_table != new.export_table {
            commands.push(Command::SetExportTable(new.export_table));
        }
        commands.extend(only_in(&new.mesh_interfaces, mesh).map(Command::AttachMeshInterface));
        commands.extend(only_in(&new.client_interfaces, client).map(Command::AttachClientInterface));
        if self.log_level != new.log_level {
            commands.push(Command::SetLogLevel(new.log_level));
        }
        commands
    }
}

fn only_in<'a, T: Clone + PartialEq>(list: &'a [T], other: &'a [T]) -> impl Iterator<Item = T> + 'a {
    list.iter().filter(|item| !other.contains(item)).cloned()
}

/// Whether a command orders something to be done, rather than describing how things should be.
pub const fn is_order(command: &Command) -> bool {
    match command {
        Command::AddAddress(..)
        | Command::RemoveAddress(..)
        | Command::Probe(..)
        | Command::DropClient(_)
        | Command::GetClients
        | Command::GetPrefixes
        | Command::GetMeshInterfaces
        | Command::HasRoute(_)
        | Command::Seek(..)
        | Command::Report(_)
        | Command::Reload => true,
        Command::AttachMeshInterface(_)
        | Command::DetachMeshInterface(_)
        | Command::AttachClientInterface(_)
        | Command::DetachClientInterface(_)
        | Command::AddPrefix(_)
        | Command::RemovePrefix(_)
        | Command::SetExportTable(_)
        | Command::SetLogLevel(_) => false,
    }
}

/// The commands that lead from what `old` wanted to what `new` wants: the difference, then the orders of `new`'s command file that
/// `old`'s did not give.
pub fn difference(old: &Options, new: &Options, networks: &dyn Networks) -> Vec<Command> {
    let mut commands = wanted(old, networks).difference(&wanted(new, networks));
    commands.extend(only_in(&new.file_commands, &old.file_commands).filter(is_order));
    commands
}

/// What `options` want, command file included.
pub fn wanted(options: &Options, networks: &dyn Networks) -> Wanted {
    Wanted::new(options, networks).with(&options.file_commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::options::{Parsed, parse};
    use crate::openwrt::uci::NoNetworks;

    fn options() -> Options {
        let arguments = ["-a", "2001:db8::1", "-p", "10.0.0.0/8", "-m", "mesh0", "--set-export-table", "9"];
        match parse(arguments).unwrap() {
            Parsed::Run(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    fn base() -> Wanted {
        Wanted::new(&options(), &NoNetworks)
    }

    /// The commands that lead from one command file to another.
    fn between(old: &[Command], new: &[Command]) -> Vec<Command> {
        let with = |commands: &[Command]| {
            let mut options = options();
            options.file_commands = commands.to_vec();
            options
        };
        difference(&with(old), &with(new), &NoNetworks)
    }

    fn file(lines: &[&str]) -> Vec<Command> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let lines = file(&[
            "add-prefix 192.168.0.0/16",
            "attach-client-interface eth0",
            "probe 10.0.0.1 02:00:00:00:00:01",
        ]);
        assert_eq!(between(&lines, &lines), []);
    }

    #[test]
    fn what_is_no_longer_in_the_file_is_undone_but_not_what_the_command_line_wants() {
        let old = file(&[
            "add-prefix 192.168.0.0/16",
            "add-prefix 10.0.0.0/8",
            "attach-mesh-interface mesh0",
            "attach-mesh-interface mesh1",
            "set-export-table 10",
            "set-log-level trace",
        ]);
        let expected = file(&[
            "detach-mesh-interface mesh1",
            "remove-prefix 192.168.0.0/16",
            "set-export-table 9",
            "set-log-level info",
        ]);
        assert_eq!(between(&old, &[]), expected);
    }

    #[test]
    fn an_interface_that_changes_its_role_is_detached_first_and_orders_are_given_once() {
        let old = file(&["attach-mesh-interface eth0", "drop-client 02:00:00:00:00:01"]);
        let new = file(&[
            "attach-client-interface eth0",
            "drop-client 02:00:00:00:00:01",
            "drop-client 02:00:00:00:00:02",
        ]);
        let expected = file(&[
            "detach-mesh-interface eth0",
            "attach-client-interface eth0",
            "drop-client 02:00:00:00:00:02",
        ]);
        assert_eq!(between(&old, &new), expected);
    }

    #[test]
    fn what_is_described_becomes_configuration_and_is_checked_as_a_whole() {
        let wanted = base().with(&file(&["add-prefix 192.168.0.0/16", "detach-mesh-interface mesh0"]));
        let config = wanted.applied_to(&Config::new("2001:db8::1".parse().unwrap()));
        assert_eq!((config.prefixes.len(), config.mesh_interfaces.len(), config.export_table), (2, 0, 9));
        assert_eq!(wanted.check(), Ok(()));
        let two_roles = base().with(&file(&["attach-client-interface mesh0"])).check();
        assert!(two_roles.unwrap_err().to_string().contains("mesh0"));
        assert!(base().with(&file(&["remove-prefix 10.0.0.0/8"])).check().is_err());
    }

    #[test]
    fn a_difference_leads_from_one_to_the_other() {
        let old = base().with(&file(&["add-prefix 192.168.0.0/16", "detach-mesh-interface mesh0"]));
        let new = base().with(&file(&["remove-prefix 10.0.0.0/8", "attach-client-interface eth1"]));
        assert_eq!(old.with(&old.difference(&new)).difference(&new), []);
    }
}
