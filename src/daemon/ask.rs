//! What somebody asks of the daemon, whichever way it came in, and the answer's way back.

use tokio::sync::oneshot;
use tracing::debug;

use super::dispatch::{Answer, dispatch};
use super::run::Daemon;
use crate::control::Reply;
use crate::engine::Command;
use crate::openwrt::object::{self, Facts, View};
use crate::openwrt::ubus::CallId;
use crate::time::Timestamp;

/// Where an answer goes.
#[derive(Debug)]
pub enum Asker {
    /// To a client of the control socket.
    Socket(oneshot::Sender<Reply>),
    /// To a caller on ubus.
    Bus(CallId),
}

impl Daemon {
    /// Carries out what somebody asks. The answer goes out when what was ordered is done.
    pub(super) async fn ask(&mut self, now: Timestamp, command: &Command, asker: Asker) {
        debug!(command = command.spec().name, "request");
        let reply = match dispatch(command, &mut self.engine, &mut self.kernel, now).await {
            Answer::Now(reply) => reply,
            Answer::Report(report) => self.view(now, |view| object::answer(report, view)),
            Answer::Reload => self.reload().await,
            Answer::Sought(address, patience) => {
                match self.seeks.begin(address, asker, now, patience) {
                    Ok(()) => {}
                    Err(answer) => self.answers.push(answer),
                }
                return;
            }
        };
        self.answers.push((asker, reply));
    }

    /// Sends the answers that are due: what was ordered is done, and who waited in vain has waited long enough.
    pub(super) fn answer(&mut self, now: Timestamp) {
        self.answers.extend(self.seeks.expired(now));
        for (asker, reply) in std::mem::take(&mut self.answers) {
            match asker {
                // A client that has gone away is none of our business.
                Asker::Socket(sender) => drop(sender.send(reply)),
                Asker::Bus(id) => self.bus.reply(id, object::outcome(reply)),
            }
        }
    }

    /// Looks at the daemon as it stands.
    pub(super) fn view<T>(&self, now: Timestamp, look: impl FnOnce(&View<'_>) -> T) -> T {
        let mut problems = Vec::new();
        if self.kernel_silent {
            problems.push("the kernel's state cannot be read or compared");
        }
        let facts = Facts { started: self.started, problems, ubus: self.bus.connection() };
        look(&View {
            engine: &self.engine,
            kernel: *self.kernel.counters(),
            options: &self.options,
            facts: &facts,
            now,
        })
    }
}
