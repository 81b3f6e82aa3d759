//! What all tests share: the mesh, the air, and the daemons of whichever kind.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::air::{Air, STATION};
use crate::daemon::{Daemon, Kind};
use crate::lab::{CORRESPONDENT, Lab, Plan, ip};
use crate::measure::{Outcome, eventually, must};
use crate::signs::Sign;
use crate::sys;
use crate::watch::{SERVED, What};

/// The laboratory.
pub struct Site {
    /// The mesh.
    pub lab: Lab,
    /// The radios.
    pub air: Air,
    /// What came of daemons that were there before the radios' modules.
    pub late: Outcome,
    kind: Kind,
    daemons: Vec<Daemon>,
}

impl Site {
    /// Builds everything. The daemons are there first, and radios come late.
    pub fn new() -> Self {
        let mut lab = Lab::new(Plan::default());
        // All that could tell of the station is switched off but nl80211.
        let only = ["--no-netlink", "--no-ndp"];
        let daemons: Vec<Daemon> =
            (0..lab.nodes.len()).map(|node| Daemon::spawn(&lab, node, Kind::Ours, &only)).collect();
        let up = |daemon: &Daemon| daemon.ask("get_meshifs").is_some_and(|answer| !answer.is_empty());
        eventually(Duration::from_secs(5), || daemons.iter().all(up));
        let air = Air::new(&mut lab);
        let since = sys::now();
        let entry = air.station.attach();
        let new = air.signs.first(since, Some(entry.node), Sign::New, air.station.mac);
        let named = || daemons[entry.node].clients()["clientlist"].get(air.station.mac.to_string()).is_some();
        let late = must(new.is_some(), "the kernel never told of the station").and_then(|()| {
            let known = eventually(Duration::from_secs(3), named);
            must(known, "the daemon does not know a station that only nl80211 can tell of")
        });
        air.station.leave();
        let mut site = Self { lab, air, late, kind: Kind::Ours, daemons };
        site.stop();
        site
    }

    /// The daemon of a node.
    pub fn daemon(&self, node: usize) -> &Daemon {
        &self.daemons[node]
    }

    /// Starts daemons that know nothing yet, while nobody is on the air.
    pub fn start(&mut self, kind: Kind) {
        self.stop();
        self.kind = kind;
        self.daemons = Daemon::start_all(&self.lab, kind);
        std::thread::sleep(Duration::from_millis(1500));
    }

    /// Ends the daemons and takes away what they leave.
    pub fn stop(&mut self) {
        for daemon in &self.daemons {
            daemon.signal(libc::SIGTERM);
        }
        for daemon in &mut self.daemons {
            daemon.wait(Duration::from_secs(3));
        }
        self.daemons.clear();
        for node in &self.lab.nodes {
            for family in ["-4", "-6"] {
                ip(node, &format!("{family} route flush proto 158"));
            }
        }
    }

    /// Every address of the station that the running daemons are to route: the C daemon learns none of IPv4.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let station = &self.air.station;
        let mut all: Vec<IpAddr> = vec![station.v6[0].into(), station.v6[1].into()];
        if self.kind == Kind::Ours {
            all.push(station.v4.into());
        }
        all
    }

    /// Whether a node serves every address and no other node any.
    pub fn served_by(&self, node: usize) -> bool {
        let holds = |other: usize, address: IpAddr| self.lab.watch.has(other, What::Route(SERVED), address);
        let nodes = 0..self.lab.nodes.len();
        self.addresses()
            .into_iter()
            .all(|address| nodes.clone().all(|other| holds(other, address) == (other == node)))
    }

    /// How long after `since` each address had its route at a node; waits for at most `patience`.
    pub fn routes(&self, since: Duration, node: usize, patience: Duration) -> Vec<Option<Duration>> {
        let came = |address: &IpAddr| self.lab.watch.came(since, node, What::Route(SERVED), *address);
        let addresses = self.addresses();
        eventually(patience, || addresses.iter().all(|address| came(address).is_some()));
        addresses.iter().map(came).collect()
    }

    /// Has the station heard of and searched for under each address until a node serves them all.
    pub fn introduce(&self, node: usize) -> bool {
        let addresses = self.addresses();
        for _ in 0..16 {
            for address in &addresses {
                let any: IpAddr = if address.is_ipv6() { [0u16; 8].into() } else { [0u8; 4].into() };
                let correspondent: IpAddr = match address {
                    IpAddr::V6(_) => "2001:db8:b::2".parse().expect("an address"),
                    IpAddr::V4(_) => "192.168.77.2".parse().expect("an address"),
                };
                let pairs = [(STATION, *address, correspondent), (CORRESPONDENT, any, *address)];
                for (namespace, from, to) in pairs {
                    let socket = sys::inside(namespace, || UdpSocket::bind((from, 0))).expect("bind");
                    let _ = socket.send_to(b"hello", (to, 9));
                }
            }
            if eventually(Duration::from_millis(500), || self.served_by(node)) {
                return true;
            }
        }
        println!(
            "log {:?}: not every address is served at node {node}: {:?}",
            self.kind,
            self.daemon(node).ask("get_clients")
        );
        false
    }
}

/// Prints what daemons and access points printed, for the file.
pub fn print_logs() {
    let labs = std::fs::read_dir(crate::isolate::RUN).into_iter().flatten().flatten();
    for file in labs.flat_map(|lab| std::fs::read_dir(lab.path())).flatten().flatten() {
        if file.path().extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read(file.path()).unwrap_or_default();
            println!("log -- {}", file.path().display());
            for line in String::from_utf8_lossy(&text).lines() {
                println!("log {line}");
            }
        }
    }
}
