//! The loop itself.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::ask::Asker;
use super::bus::BusLink;
use super::clock::Clock;
use super::dispatch::{Answer, dispatch};
use super::failures::Failures;
use super::options::Options;
use super::resync::Resync;
use super::seeks::Seeks;
use super::signals::{Signal, Signals};
use super::wanted::{self, Wanted};
use super::{Event, Kernel, KernelError, notices};
use crate::control::{Reply, Request};
use crate::engine::{Action, Command, Engine, Input, Notice, Output, Report};
use crate::openwrt::netifd::Networks;
use crate::openwrt::object;
use crate::openwrt::ubus::Event as BusEvent;
use crate::time::Timestamp;

/// Events fed before the engine is drained: enough to keep up, few enough that the first one's answer does not wait.
const MAX_EVENTS: usize = 256;
/// Outputs carried out before signals, timers and requests have their turn again.
const MAX_OUTPUTS: usize = 4096;

/// How the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Leave nothing behind.
    Stop,
    /// Leave everything for adoption.
    Leave,
    /// Leave everything for adoption by this process, which starts itself anew: a setting asks for it that no running one can change.
    Restart,
    /// The kernel side is lost: leave everything for adoption by the instance that procd starts.
    Broken,
}

/// The engine, the world, and what stands between them.
pub struct Daemon {
    pub(super) engine: Engine,
    pub(super) kernel: Kernel,
    pub(super) clock: Clock,
    pub(super) started: Timestamp,
    failures: Failures,
    pub(super) resync: Resync,
    /// What was read last and was right.
    pub(super) options: Options,
    /// What follows from it with the networks as they are.
    pub(super) wanted: Wanted,
    pub(super) bus: BusLink,
    pub(super) networks: Networks,
    /// Who waits for an address to be found.
    pub(super) seeks: Seeks,
    /// Answers that go out when what was ordered is done.
    pub(super) answers: Vec<(Asker, Reply)>,
    /// How the loop is to end, when the answers are sent.
    pub(super) ending: Option<End>,
    /// The engine has more to say than one round took.
    unfinished: bool,
    /// Reading or comparing the kernel's state fails at present.
    pub(super) kernel_silent: bool,
}

/// What ended a wait.
enum Wake {
    Kernel(Event),
    Bus(BusEvent),
    Request(Request),
    Signal(Signal),
    Timer,
}

impl Daemon {
    /// A daemon whose engine has been told what the kernel holds.
    pub fn new(
        engine: Engine,
        kernel: Kernel,
        clock: Clock,
        options: Options,
        bus: BusLink,
        networks: Networks,
    ) -> Self {
        Self {
            wanted: wanted::wanted(&options, &networks),
            engine,
            kernel,
            started: clock.now(),
            clock,
            failures: Failures::default(),
            resync: Resync::default(),
            options,
            bus,
            networks,
            seeks: Seeks::default(),
            answers: Vec::new(),
            ending: None,
            unfinished: false,
            kernel_silent: false,
        }
    }

    /// Carries out what the engine wants at once and the orders of the command line and the command file. What else their
    /// commands say is in the engine's configuration already.
    pub async fn start(&mut self) {
        self.drain().await;
        let commands = self.options.commands.iter().chain(&self.options.file_commands);
        let orders: Vec<Command> = commands.filter(|command| wanted::is_order(command)).cloned().collect();
        self.obey(&orders).await;
        info!(version = env!("CARGO_PKG_VERSION"), "started");
    }

    /// Runs until a signal ends it.
    pub async fn run(&mut self, mut requests: mpsc::Receiver<Request>, signals: &mut Signals) -> End {
        for event in self.bus.kept() {
            self.bus_event(self.clock.now(), event).await;
        }
        loop {
            let delay = self.delay();
            let wake = tokio::select! {
                event = self.kernel.next() => Wake::Kernel(event),
                event = self.bus.next() => Wake::Bus(event),
                Some(request) = requests.recv() => Wake::Request(request),
                signal = signals.next() => Wake::Signal(signal),
                () = wait(delay) => Wake::Timer,
            };
            let now = self.clock.now();
            match wake {
                Wake::Kernel(event) => {
                    if let Err(problem) = self.feed(now, event) {
                        error!(error = %problem, "the kernel cannot be talked to any more");
                        return End::Broken;
                    }
                }
                Wake::Bus(event) => self.bus_events(now, event).await,
                Wake::Request(Request { command, reply }) => {
                    self.ask(now, &command, Asker::Socket(reply)).await;
                }
                Wake::Signal(Signal::Stop) => return End::Stop,
                Wake::Signal(Signal::Leave) => return End::Leave,
                Wake::Signal(Signal::Reload) => drop(self.reload().await),
                Wake::Timer => {}
            }
            if self.engine.poll_timeout().is_some_and(|(due, _)| due <= now) {
                self.engine.handle(now, Input::Timeout);
            }
            self.drain().await;
            self.follow_networks(now).await;
            self.compare_if_due().await;
            // Only now: who is told OK finds it done.
            self.answer(now);
            if let Some(end) = self.ending {
                return end;
            }
        }
    }

    /// Tells what was counted: the first thing to read where a client was not served as it should.
    pub fn log_counters(&self) {
        for (counter, count) in self.engine.counters().iter().filter(|(_, count)| *count > 0) {
            debug!(counter, count, "counted");
        }
        debug!(kernel = ?self.kernel.counters(), "counted");
    }

    /// Takes everything back that this daemon put into the kernel.
    pub async fn shut_down(mut self) {
        self.engine.shut_down(self.clock.now());
        self.drain().await;
        while self.unfinished {
            // Lets the time limit of the caller strike.
            tokio::task::yield_now().await;
            self.drain().await;
        }
        self.reconcile().await;
        self.kernel.shut_down().await;
    }

    /// How long to wait at most; `None` is for ever.
    fn delay(&self) -> Option<Duration> {
        if self.unfinished {
            return Some(Duration::ZERO);
        }
        let timer = self.engine.poll_timeout().map(|(due, _)| due);
        let due = [timer, self.resync.deadline(), self.seeks.deadline(), self.networks.deadline()]
            .into_iter()
            .flatten()
            .min()?;
        Some(due.since(self.clock.now()))
    }

    /// Tells the engine what happened, and what else is there already.
    fn feed(&mut self, now: Timestamp, first: Event) -> Result<(), KernelError> {
        let mut next = Some(first);
        for more in (0..MAX_EVENTS).rev() {
            match next {
                Some(Event::Input(input)) => self.engine.handle(now, input),
                Some(Event::StateLost(reason)) => self.resync.want(reason),
                Some(Event::Broken(problem)) => return Err(problem),
                None => break,
            }
            // What is taken must be told: none is taken for a round that does not come.
            next = if more > 0 { self.kernel.try_next() } else { None };
        }
        Ok(())
    }

    /// Carries out what the engine wants, in its order.
    pub(super) async fn drain(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.engine.poll() {
                None => {
                    self.unfinished = false;
                    return;
                }
                Some(Output::Notice(notice)) => self.tell(&notice),
                Some(Output::Action(Action::Rescan)) => {
                    self.dump("the engine asked for it").await;
                }
                Some(Output::Action(Action::Reconcile)) => {
                    self.reconcile().await;
                }
                Some(Output::Action(action)) => self.apply(action).await,
            }
        }
        self.unfinished = true;
    }

    /// Passes a piece of news on to everybody whom it concerns.
    fn tell(&mut self, notice: &Notice) {
        notices::log(notice);
        self.bus.notify(&self.engine, notice);
        if let Notice::AddressFound { address, place } = notice {
            self.answers.extend(self.seeks.found(&self.engine, *address, *place, self.clock.now()));
        }
    }

    async fn apply(&mut self, action: Action) {
        let watched = self.failures.watched(&action);
        let result = self.kernel.apply(action).await;
        match &result {
            Some(Input::ActionFailed { action, reason }) => self.failures.failed(action, *reason),
            _ => self.failures.succeeded(watched),
        }
        if let Some(input) = result {
            self.engine.handle(self.clock.now(), input);
        }
    }

    /// Tells the engine everything that the kernel holds. Where the kernel does not say,
    /// it is asked again later; false then.
    async fn dump(&mut self, reason: &'static str) -> bool {
        let now = self.clock.now();
        match self.kernel.dump().await {
            Ok(inputs) => {
                debug!(reason, facts = inputs.len(), "kernel state read");
                super::dump(inputs).for_each(|input| self.engine.handle(now, input));
                true
            }
            Err(problem) => self.kernel_failed(&problem, reason),
        }
    }

    /// Makes the kernel hold what the engine wants it to hold. Where that fails, it is tried again later; false then.
    async fn reconcile(&mut self) -> bool {
        match self.kernel.reconcile(&self.engine.desired_state()).await {
            Ok(repairs) => {
                let (added, removed, failed) = (repairs.added, repairs.removed, repairs.failed);
                if added + removed > 0 {
                    info!(added, removed, failed, "kernel state repaired");
                } else if failed > 0 {
                    // The engine tries what it wants again by itself and is told why it fails.
                    debug!(failed, "kernel state not repaired");
                }
                true
            }
            Err(problem) => self.kernel_failed(&problem, "comparison failed"),
        }
    }

    /// Tells of the first failure in a row, and tries again later.
    fn kernel_failed(&mut self, problem: &KernelError, reason: &'static str) -> bool {
        if !self.kernel_silent {
            warn!(reason, error = %problem, "kernel state cannot be read or compared, trying again");
        }
        self.kernel_silent = true;
        self.resync.failed(self.clock.now(), reason);
        false
    }

    async fn compare_if_due(&mut self) {
        if let Some(reason) = self.resync.take(self.clock.now()) {
            let read = self.dump(reason).await;
            self.drain().await;
            if self.reconcile().await && read {
                self.kernel_silent = false;
            }
        }
    }

    /// Carries out commands of which nobody reads the answer but the log's reader.
    pub(super) async fn obey(&mut self, commands: &[Command]) {
        for command in commands {
            let now = self.clock.now();
            let name = command.spec().name;
            let reply = match dispatch(command, &mut self.engine, &mut self.kernel, now).await {
                Answer::Now(reply) => reply,
                Answer::Report(report) => {
                    // The log is not where clients are named.
                    let answer = match report {
                        Report::Handovers => format!("{} handovers", self.engine.handovers().count()),
                        _ => Value::Object(self.view(now, |view| object::report(report, view))).to_string(),
                    };
                    info!(command = name, answer, "command answered");
                    continue;
                }
                // The log tells where the address is.
                Answer::Sought(..) => Reply::Done,
                // Who reads commands is just about to apply them all.
                Answer::Reload => continue,
            };
            match reply {
                Reply::Refused(refusal) => {
                    warn!(command = name, reason = refusal_name(&refusal), "command refused")
                }
                Reply::Failed(problem) => warn!(command = name, reason = problem, "command failed"),
                Reply::HostRoute(stands) => info!(command = name, stands, "command answered"),
                Reply::Clients(status) => {
                    info!(command = name, clients = status.clients.len(), "command answered")
                }
                Reply::Prefixes(status) => {
                    info!(command = name, prefixes = ?status.prefixes, "command answered")
                }
                Reply::MeshInterfaces(status) => {
                    info!(command = name, interfaces = ?status.names, "command answered")
                }
                Reply::NotFound | Reply::Table(_) | Reply::Done => {
                    debug!(command = name, "command carried out")
                }
            }
            self.drain().await;
        }
    }
}

/// The refusal without the client's data: it goes to the log.
fn refusal_name(refusal: &crate::engine::CommandError) -> &'static str {
    use crate::engine::CommandError as E;
    match refusal {
        E::UnknownClient(_) => "the client is not known here",
        E::UnknownAddress(_) => "the address is not known here",
        E::OutsidePrefixes(_) => "the address is in no client prefix",
        E::UnknownPrefix(_) => "the prefix is not among the client prefixes",
        E::UnknownInterface(..) => "the interface is not attached",
        E::OtherRole(..) => "the interface is attached in the other role",
        E::NoClientInterface => "no client interface is usable",
        E::Limit(_) => "a limit is reached",
    }
}

async fn wait(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}
