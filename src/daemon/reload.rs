//! Reading the configuration again while clients are served (SIGHUP, or a command).

use tracing::{error, info, warn};

use super::log;
use super::options::Options;
use super::run::{Daemon, End};
use super::wanted::{self, Wanted};
use crate::control::Reply;
use crate::engine::Action;

impl Daemon {
    /// Applies what changed in UCI and in the command file, and compares the kernel's state in any case. Where they are wrong, or part of
    /// them is, nothing changes. Says what became of it.
    pub(super) async fn reload(&mut self) -> Reply {
        self.resync.want("reload");
        self.networks.want(self.clock.now());
        if self.options.directories.is_none() && self.options.command_file.is_none() {
            return Reply::Done;
        }
        let new = match self.options.read_again() {
            Ok(new) => new,
            Err(problem) => {
                error!(error = %problem, "configuration refused, nothing is changed");
                return Reply::Failed("the configuration is refused, nothing is changed");
            }
        };
        new.problems.iter().for_each(|problem| warn!(problem = %problem, "configuration"));
        if let Some(option) = self.options.settings.restart_for(&new.settings) {
            info!(option, "restarting in place, the option asks for it");
            if new.settings.node_client_prefix != self.options.settings.node_client_prefix {
                self.withdraw_node_client_addresses().await;
            }
            self.ending = Some(End::Restart);
        } else {
            self.change_to(new).await;
        }
        Reply::Done
    }

    /// Makes what `new` wants of what is wanted now.
    async fn change_to(&mut self, new: Options) {
        let commands = wanted::difference(&self.options, &new, &self.networks);
        let wanted = wanted::wanted(&new, &self.networks);
        log::show_addresses(new.settings.log_addresses);
        self.options = new;
        let adjusted = self.adjust(&wanted).await;
        info!(commands = commands.len(), adjusted, "configuration read again");
        self.wanted = wanted;
        self.obey(&commands).await;
    }

    /// Makes of what has no command what is wanted of it. False where nothing of it changes.
    pub(super) async fn adjust(&mut self, wanted: &Wanted) -> bool {
        if self.wanted.adjustable() == wanted.adjustable() {
            return false;
        }
        self.engine.adjust(self.clock.now(), wanted.adjustable().clone());
        self.drain().await;
        true
    }

    /// Takes the node-client addresses back: whoever comes next has others, and would not know these as ours.
    async fn withdraw_node_client_addresses(&mut self) {
        for address in self.engine.desired_state().node_client_addresses {
            self.kernel.apply(Action::RemoveNodeClientAddress(address)).await;
        }
    }
}
