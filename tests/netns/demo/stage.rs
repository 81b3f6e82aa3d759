//! The mesh of the demonstration: four nodes, their daemons on ubus, two clients with their traffic.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::broker::{Broker, Kind as BrokerKind};
use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::demo::journal::{Journal, Move, Outage, Part, Scene};
use crate::demo::screen::Screen;
use crate::demo::traffic::{Ports, SETTLED, Tally, Traffic};
use crate::lab::{Lab, Plan};
use crate::measure::eventually;
use crate::roam::served_by;
use crate::routing::{Routing, babeld_program};
use crate::watch::{Event, SERVED, What};
use crate::{frames, sys};

/// How many nodes.
pub const NODES: usize = 4;
/// The node that the correspondent is at.
pub const MIDDLE: usize = 1;
/// How long a client has for a handover.
const PATIENCE: Duration = crate::measure::LIMIT;

/// A client with a name.
pub struct Guest {
    /// What it is called.
    pub name: &'static str,
    /// Whether it says something by itself.
    pub talks: bool,
    /// The client.
    pub client: Client,
    /// Its packets.
    pub traffic: Traffic,
}

/// Everything.
pub struct Stage {
    /// The clients.
    pub guests: Vec<Guest>,
    /// One at each node; what was killed is still here.
    pub daemons: Mutex<Vec<Daemon>>,
    /// The brokers' sockets, one at each node.
    pub buses: Vec<PathBuf>,
    /// What happened.
    pub journal: Mutex<Journal>,
    /// Where it is shown.
    pub screen: Screen,
    /// The name of the routing daemon.
    pub routing: &'static str,
    _ports: Ports,
    _brokers: Vec<Broker>,
    /// The mesh: it goes last.
    pub lab: Lab,
}

/// The routing daemon to take, its name, or why there is none.
pub fn routing() -> Result<(Routing, &'static str), String> {
    let there = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if there("bird") {
        Ok((Routing::Bird, "bird"))
    } else if there(&babeld_program()) {
        Ok((Routing::Babeld, "babeld"))
    } else {
        Err("needs a routing daemon: bird2 or babeld".into())
    }
}

fn broker(socket: &std::path::Path) -> Broker {
    let kind = match std::env::var_os("L3ROAMD_UBUS_PREFIX") {
        Some(prefix) => BrokerKind::C(prefix.into()),
        None => BrokerKind::Crate,
    };
    Broker::start(kind, socket)
}

fn start(lab: &Lab, node: usize, bus: &std::path::Path) -> Daemon {
    let daemon = Daemon::spawn(lab, node, Kind::Ours, &["--ubus-socket", &bus.display().to_string()]);
    let answers = || daemon.ask("get_meshifs").is_some_and(|answer| !answer.is_empty());
    let up = eventually(PATIENCE, answers);
    assert!(up, "l3roamd at {} does not answer:\n{}", lab.nodes[node], daemon.log_end());
    daemon
}

impl Stage {
    /// Builds the mesh; its clients are out of reach.
    pub fn new(screen: Screen, routing: (Routing, &'static str)) -> Self {
        let mut lab = Lab::new(Plan { nodes: NODES, routing: routing.0, ..Plan::default() });
        screen.say(&format!("The nodes {} have found each other by {}.", lab.nodes.join(", "), routing.1));
        let buses: Vec<PathBuf> = lab.nodes.iter().map(|name| lab.run.join(format!("{name}.ubus"))).collect();
        let brokers = buses.iter().map(|bus| broker(bus)).collect();
        let daemons = buses.iter().enumerate().map(|(node, bus)| start(&lab, node, bus)).collect();
        screen.say("l3roamd runs at every node, on a ubus socket.");
        let guests: Vec<Guest> = [("phone", true), ("printer", false)]
            .into_iter()
            .zip(0_u8..)
            .map(|((name, talks), index)| {
                let client = Client::new(&mut lab, index + 1);
                let traffic = Traffic::new(&client, u16::from(index), talks);
                Guest { name, talks, client, traffic }
            })
            .collect();
        Self {
            _ports: Ports::watch(&lab, guests.iter().map(|guest| &guest.traffic)),
            guests,
            daemons: Mutex::new(daemons),
            buses,
            journal: Mutex::default(),
            screen,
            routing: routing.1,
            _brokers: brokers,
            lab,
        }
    }

    /// What happened so far.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemons.
    pub fn daemons(&self) -> MutexGuard<'_, Vec<Daemon>> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays a scene: announces it, does it, counts. What was sent since the scene before is its own.
    pub fn scene(&self, title: &'static str, sentence: String, play: impl FnOnce()) {
        let (from, number) = {
            let mut journal = self.journal();
            let from = journal.scenes.last().and_then(|scene| scene.until).unwrap_or_else(sys::now);
            let (sentence, tallies) = (sentence.clone(), Vec::new());
            journal.scenes.push(Scene { title, sentence, from, until: None, tallies });
            (from, journal.scenes.len())
        };
        self.screen.headline(&format!("{number}. {sentence}"));
        play();
        let until = sys::now();
        std::thread::sleep(SETTLED);
        let tallies: Vec<Tally> = self.guests.iter().map(|guest| guest.traffic.tally(from, until)).collect();
        let mut journal = self.journal();
        if let Some(scene) = journal.scenes.last_mut() {
            scene.until = Some(until);
            scene.tallies = tallies;
        }
    }

    /// Moves a client to a node and waits until it is served there. How long that took; `None` if it never was.
    pub fn roam(&self, guest: usize, to: usize) -> Option<Duration> {
        let Guest { client, talks, name, .. } = &self.guests[guest];
        let from = self.journal().place(guest);
        let at = client.roam(Some(to));
        self.journal().moves.push(Move { client: guest, at, to, handover: None });
        if *talks {
            client.ask_gateway(true);
        } else {
            // What its access point sends in its name.
            client.send(&frames::layer_2_update(client.mac));
        }
        let over = eventually(PATIENCE, || served_by(&self.lab, client, true, to));
        let handover = over.then(|| self.settled(client, at, to).saturating_sub(at));
        if let Some(last) = self.journal().moves.last_mut() {
            last.handover = handover;
        }
        let way = match from {
            Some(from) => format!("{} to {}", self.lab.nodes[from], self.lab.nodes[to]),
            None => format!("nowhere to {}", self.lab.nodes[to]),
        };
        self.screen.say(&match handover {
            Some(took) => format!("The {name} went from {way}: handed over after {}.", milliseconds(took)),
            None => format!("The {name} went from {way}: NOT handed over within {} s.", PATIENCE.as_secs()),
        });
        handover
    }

    /// The last change after which the node alone served the client.
    fn settled(&self, client: &Client, since: Duration, to: usize) -> Duration {
        let counts = |event: &&Event| {
            let (ours, kind) = match event.what {
                What::Route(SERVED) => (event.address == client.v6, true),
                What::NodeClient => (event.address == client.node_client(), true),
                What::Route(_) => (false, false),
            };
            ours && kind && event.came == (event.node == to)
        };
        self.lab.watch.events(since).iter().filter(counts).map(|event| event.at).max().unwrap_or(since)
    }

    /// Whether something of a node is out of order.
    pub fn is_out(&self, node: usize, part: Part) -> bool {
        self.journal().is_out(node, part)
    }

    fn begin(&self, node: usize, part: Part) {
        self.journal().outages.push(Outage { node, part, from: sys::now(), until: None });
    }

    fn end(&self, node: usize, part: Part) {
        let mut journal = self.journal();
        for outage in journal.outages.iter_mut().filter(|one| one.node == node && one.part == part) {
            outage.until.get_or_insert(sys::now());
        }
    }

    /// Kills the daemon of a node.
    pub fn kill(&self, node: usize) {
        let mut daemons = self.daemons();
        daemons[node].signal(libc::SIGKILL);
        daemons[node].wait(Duration::from_secs(3));
        self.begin(node, Part::Daemon);
        self.screen.say(&format!("l3roamd at {} is dead.", self.lab.nodes[node]));
    }

    /// Starts the daemon of a node again; waits until it serves its clients.
    pub fn restart(&self, node: usize) {
        let begun = sys::now();
        let daemon = start(&self.lab, node, &self.buses[node]);
        let here: Vec<&Guest> = {
            let journal = self.journal();
            let here = |index: &usize| journal.place(*index) == Some(node);
            (0..self.guests.len()).filter(here).map(|index| &self.guests[index]).collect()
        };
        let served = || here.iter().all(|guest| daemon.manages(guest.client.mac, guest.client.v6.into()));
        let all = eventually(PATIENCE, served);
        let after = milliseconds(sys::now() - begun);
        self.daemons()[node] = daemon;
        self.end(node, Part::Daemon);
        let outcome = if all { "serves its clients again" } else { "does NOT know its clients again" };
        let name = &self.lab.nodes[node];
        self.screen.say(&format!("l3roamd at {name} is started and {outcome}, {after} later."));
    }

    /// Has the routing daemon of a node stand still.
    pub fn freeze(&self, node: usize) {
        self.lab.signal_routing_of(node, libc::SIGSTOP);
        self.begin(node, Part::Routing);
        self.screen.say(&format!("{} at {} stands still.", self.routing, self.lab.nodes[node]));
    }

    /// Has it go on.
    pub fn thaw(&self, node: usize) {
        self.lab.signal_routing_of(node, libc::SIGCONT);
        self.end(node, Part::Routing);
        self.screen.say(&format!("{} at {} goes on.", self.routing, self.lab.nodes[node]));
    }
}

/// A time for people.
pub fn milliseconds(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        short if short < 100.0 => format!("{short:.1} ms"),
        middle if middle < 1000.0 => format!("{middle:.0} ms"),
        long => format!("{:.1} s", long / 1e3),
    }
}
