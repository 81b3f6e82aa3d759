//! A walking mesh: nodes in a grid with diagonals, a routing daemon and a daemon of ours at each,
//! clients that walk from node to node under traffic. All host routes of all nodes are watched the
//! whole time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::demo::traffic::{Ports, SETTLED, Tally, Traffic};
use crate::forwarding::{Observer, Sights};
use crate::lab::{GATEWAY, Lab, Plan};
use crate::measure::{Outcome, Trouble, bound, eventually, measure, must, percentile, say};
use crate::random::{Random, seed};
use crate::roam::served_by;
use crate::routing::Routing;
use crate::topology::Shape;
use crate::watch::{Event, SERVED, What};
use crate::{Needs, Test, frames, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] =
    &[("clients_that_walk_in_a_grid_are_served_by_one_node_each", Needs::Bird, || walk(Routing::Bird))];

/// The nodes of a row, and the rows.
const SIDE: usize = 3;
/// How many clients walk.
const CLIENTS: u8 = 12;
/// Between two packets of a direction.
const INTERVAL: Duration = Duration::from_millis(50);
/// Between two looks at the routes of all nodes.
const LOOK: Duration = Duration::from_millis(250);
/// What a slow machine and messages on their way excuse.
const GRACE: Duration = Duration::from_secs(1);

/// What is seen of a client that comes to a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// It announces its addresses.
    Announces,
    /// It asks for its gateway, from its link-local address.
    Asks,
    /// It only answers; its access point sends the update frame.
    Updated,
    /// It only answers.
    Silent,
}

impl Class {
    const ALL: [Self; 4] = [Self::Announces, Self::Asks, Self::Updated, Self::Silent];

    /// A third announces, a third asks, a sixth each is updated and silent.
    fn of(index: usize) -> Self {
        match index % 6 {
            0 | 1 => Self::Announces,
            2 | 3 => Self::Asks,
            4 => Self::Updated,
            _ => Self::Silent,
        }
    }

    /// Whether it sends packets of its own accord.
    fn talks(self) -> bool {
        matches!(self, Self::Announces | Self::Asks)
    }
}

/// A client on its way.
struct Walker {
    client: Client,
    class: Class,
    traffic: Traffic,
    due: Duration,
    /// The nodes that it came to, and when.
    stays: Vec<(usize, Duration)>,
}

impl Walker {
    /// Comes to a node.
    fn come(&mut self, node: usize) {
        let Self { client, class, .. } = &*self;
        // Its frames may be at the node before the call returns.
        let at = sys::now();
        client.roam(Some(node));
        match class {
            Class::Announces => {
                client.send(&frames::arp_request(client.mac, client.v4, client.v4));
                client.send(&frames::announcement(client.mac, client.v6));
            }
            Class::Asks => {
                client.send(&frames::solicitation(client.mac, client.mac.link_local(), GATEWAY));
                client.ask_gateway(false);
            }
            Class::Updated => client.send(&frames::layer_2_update(client.mac)),
            Class::Silent => {}
        }
        self.stays.push((node, at));
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.client.v6.into(), self.client.v4.into()]
    }

    /// Where it was at a time, and since when.
    fn place(&self, at: Duration) -> Option<(usize, Duration)> {
        self.stays.iter().rev().find(|stay| stay.1 <= at).copied()
    }

    /// Whether it was at the node at that time, or a moment before.
    fn was_at(&self, node: usize, at: Duration) -> bool {
        [at, at.saturating_sub(GRACE)].into_iter().any(|at| self.place(at).is_some_and(|stay| stay.0 == node))
    }

    /// Its stays, each with its end.
    fn spans(&self, until: Duration) -> impl Iterator<Item = (usize, Duration, Duration)> {
        let ends = self.stays.iter().skip(1).map(|stay| stay.1).chain([until]);
        self.stays.iter().zip(ends).map(|((node, from), end)| (*node, *from, end))
    }
}

/// The times in which a condition on the nodes that have something for an address was true.
fn times(
    events: &[Event],
    address: IpAddr,
    until: Duration,
    is_counted: impl Fn(u8) -> bool,
    condition: impl Fn(usize) -> bool,
) -> Vec<(Duration, Duration)> {
    let (mut here, mut open, mut times) = (BTreeMap::<(usize, u8), ()>::new(), None, Vec::new());
    for event in events.iter().filter(|event| event.address == address && event.at < until) {
        let What::Route(protocol) = event.what else { continue };
        if !is_counted(protocol) {
            continue;
        }
        if event.came {
            here.insert((event.node, protocol), ());
        } else {
            here.remove(&(event.node, protocol));
        }
        match (condition(here.len()), open) {
            (true, None) => open = Some(event.at),
            (false, Some(from)) => {
                times.push((from, event.at));
                open = None;
            }
            _ => {}
        }
    }
    times.extend(open.map(|from| (from, until)));
    times
}

/// What the routes of a walk came to.
#[derive(Default)]
struct Verdict {
    /// Nodes that took a client that was not there: client, node, when.
    false_arrivals: Vec<(u8, usize, Duration)>,
    /// Addresses that two nodes served: for how long, without the moments.
    doubles: Vec<(IpAddr, Duration)>,
    /// By class, for how long addresses had no route of ours at any node.
    absences: BTreeMap<Class, Vec<Duration>>,
    /// By class, how long after a client came its node served it; the whole stay where it never
    /// did.
    delays: BTreeMap<Class, Vec<Duration>>,
}

fn judge(lab: &Lab, walkers: &[Walker], begin: Duration, until: Duration) -> Verdict {
    let events = lab.watch.events(Duration::ZERO);
    let mut verdict = Verdict::default();
    for (walker, number) in walkers.iter().zip(1_u8..) {
        let own = |event: &&Event| match event.what {
            What::NodeClient => event.address == walker.client.node_client(),
            What::Route(SERVED) => walker.addresses().contains(&event.address),
            What::Route(_) => false,
        };
        for event in events.iter().filter(own).filter(|event| event.came && event.at < until) {
            let known = verdict
                .false_arrivals
                .iter()
                .any(|(client, node, at)| (*client, *node) == (number, event.node) && event.at < *at + GRACE);
            if !walker.was_at(event.node, event.at) && !known {
                verdict.false_arrivals.push((number, event.node, event.at));
            }
        }
        for address in walker.addresses() {
            let is_served = |protocol| protocol == SERVED;
            let double = times(&events, address, until, is_served, |count| count > 1);
            let long = double.into_iter().map(|(from, end)| (address, end - from));
            verdict.doubles.extend(long.filter(|double| double.1 > GRACE));
            let none = times(&events, address, until, |_| true, |count| count == 0);
            let lengths = none.into_iter().filter(|time| time.1 > begin).map(|(from, end)| end - from);
            verdict.absences.entry(walker.class).or_default().extend(lengths);
        }
        let address = walker.client.v6;
        for (node, from, end) in walker.spans(until).skip(1) {
            let came = lab.watch.came(from, node, What::Route(SERVED), address);
            let delay = came.unwrap_or(end).min(end) - from;
            verdict.delays.entry(walker.class).or_default().push(delay);
        }
    }
    verdict
}

/// The clients at their first nodes, served there, with their traffic.
fn gather(lab: &mut Lab, random: &mut Random) -> Result<Vec<Walker>, Trouble> {
    let clients: Vec<Client> = (1..=CLIENTS).map(|number| Client::new(lab, number)).collect();
    let mut walkers: Vec<Walker> = clients
        .into_iter()
        .enumerate()
        .map(|(index, client)| {
            let class = Class::of(index);
            let traffic = Traffic::every(INTERVAL, &client, index as u16, class.talks());
            Walker { client, class, traffic, due: Duration::ZERO, stays: Vec::new() }
        })
        .collect();
    for walker in &mut walkers {
        let node = random.below(lab.nodes.len());
        walker.come(node);
        walker.client.ask_gateway(true);
        walker.client.ask_gateway(false);
        let has = |address: &IpAddr| lab.watch.has(node, What::Route(SERVED), *address);
        let served = eventually(Duration::from_secs(10), || walker.addresses().iter().all(has));
        must(served, "a client is never served at its first node")?;
    }
    for walker in &walkers {
        walker.traffic.begin();
    }
    let flow = eventually(Duration::from_secs(30), || walkers.iter().all(|walker| walker.traffic.flows()));
    must(flow, "no traffic before the first roam")?;
    Ok(walkers)
}

/// Has them walk for a while.
fn stroll(lab: &Lab, walkers: &mut [Walker], random: &mut Random, time: Duration, dwell: [Duration; 2]) {
    let begin = sys::now();
    for walker in walkers.iter_mut() {
        walker.due = begin + random.between(Duration::ZERO, dwell[1]);
    }
    while sys::now() < begin + time {
        for walker in walkers.iter_mut().filter(|walker| walker.due <= sys::now()) {
            let neighbours = lab.topology.links_of(walker.stays[walker.stays.len() - 1].0);
            walker.come(neighbours[random.below(neighbours.len())].1);
            walker.due = sys::now() + random.between(dwell[0], dwell[1]);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What became of the packets of a class.
#[derive(Default)]
struct Fate {
    roams: usize,
    /// Roams that lost packets beyond the air.
    lossy: usize,
    long_gaps: usize,
    /// Packets lost beyond the air: no node had put them on a client port, or one did so although
    /// the client had left it for more than a moment.
    lost: usize,
    longest_gap: Duration,
    tally: Tally,
}

fn fates(walkers: &[Walker], until: Duration) -> BTreeMap<Class, Fate> {
    let mut fates: BTreeMap<Class, Fate> = BTreeMap::new();
    for walker in walkers {
        let fate = fates.entry(walker.class).or_default();
        let missing = walker.traffic.missing(until);
        for (_, from, end) in walker.spans(until).skip(1) {
            let tally = walker.traffic.tally(from, end);
            let is_lost = |(sent, on_air): &&(Duration, bool)| {
                (from..end).contains(sent) && (!on_air || *sent > from + GRACE)
            };
            let lost = missing.iter().filter(is_lost).count();
            fate.roams += 1;
            fate.lossy += usize::from(lost > 0);
            fate.lost += lost;
            let gap = walker.traffic.longest_gap(from, end);
            fate.long_gaps += usize::from(gap > GRACE);
            fate.longest_gap = fate.longest_gap.max(gap);
            fate.tally = fate.tally.and(tally);
        }
    }
    fates
}

fn tell(lab: &Lab, verdict: &Verdict, fates: &BTreeMap<Class, Fate>, sights: &Sights, daemons: &[Daemon]) {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    for class in Class::ALL {
        let Some(fate) = fates.get(&class) else { continue };
        let (delays, absences) = (verdict.delays.get(&class), verdict.absences.get(&class));
        let worst = |list: Option<&Vec<Duration>>| {
            seconds(list.into_iter().flatten().max().copied().unwrap_or_default())
        };
        let mut text =
            format!("{} roams, {} with loss, {} gaps over 1 s", fate.roams, fate.lossy, fate.long_gaps);
        let tally = &fate.tally;
        let _ = write!(
            text,
            ", longest {}; {} packets, {} lost, {} on the air; served after {:.0} ms (median), {} (worst); without any route {}",
            seconds(fate.longest_gap),
            tally.sent,
            fate.lost,
            tally.lost + tally.on_air - fate.lost,
            percentile(delays.map_or(&[][..], |list| list), 50).as_secs_f64() * 1e3,
            worst(delays),
            worst(absences),
        );
        measure(&format!("walking mesh, {class:?}"), text);
    }
    let sum = |name: &str| daemons.iter().filter_map(|daemon| daemon.counter(name)).sum::<u64>();
    let loops = sights.loops.iter().map(|one| one.length()).max().unwrap_or_default();
    measure(
        "walking mesh, all",
        format!(
            "{} false arrivals; {} addresses at two nodes for over 1 s, longest {}; longest loop {}; {:.2} % of node-seconds without a route; claims refused {}, relay hops exceeded {}",
            verdict.false_arrivals.len(),
            verdict.doubles.len(),
            seconds(verdict.doubles.iter().map(|double| double.1).max().unwrap_or_default()),
            seconds(loops),
            sights.without_route_percent(),
            sum("claim_refused"),
            sum("drop_relay_hops"),
        ),
    );
    for (client, node, at) in verdict.false_arrivals.iter().take(10) {
        say(&format!(
            "client {client} is not at {} when it takes it at {:.1} s",
            lab.nodes[*node],
            at.as_secs_f64()
        ));
    }
    for one in sights.loops.iter().filter(|one| one.length() > GRACE).take(10) {
        say(&format!("{} loops at {} for {}", one.address, lab.nodes[one.node], seconds(one.length())));
    }
}

fn walk(routing: Routing) -> Outcome {
    let shape = Shape::Grid { columns: SIDE };
    let mut lab = Lab::new(Plan { nodes: SIDE * SIDE, shape, routing, ..Plan::default() });
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let seed = seed();
    let mut random = Random::new(seed);
    let mut walkers = gather(&mut lab, &mut random)?;
    let _ports = Ports::watch(&lab, walkers.iter().map(|walker| &walker.traffic));
    std::thread::sleep(Duration::from_secs(3));
    let addresses = walkers.iter().flat_map(Walker::addresses).collect();
    let observer = Observer::start(&lab, addresses, LOOK);
    let begin = sys::now();
    let (time, longest) = if long() { (300, 40) } else { (35, 15) };
    let dwell = [Duration::from_secs(5), Duration::from_secs(longest)];
    stroll(&lab, &mut walkers, &mut random, Duration::from_secs(time), dwell);
    let until = sys::now();
    std::thread::sleep(SETTLED);
    let sights = observer.stop();
    let (verdict, fates) = (judge(&lab, &walkers, begin, until), fates(&walkers, until));
    tell(&lab, &verdict, &fates, &sights, &daemons);
    say(&format!("seed {seed}"));
    for daemon in &mut daemons {
        must(daemon.running(), format!("a daemon ended:\n{}", daemon.log_end()))?;
    }
    let is_served = |walker: &Walker| {
        let node = walker.stays[walker.stays.len() - 1].0;
        [true, false].into_iter().all(|v6| served_by(&lab, &walker.client, v6, node))
    };
    let settled = eventually(Duration::from_secs(30), || walkers.iter().all(is_served));
    must(settled, "in the end a client is not served by the node that it is at alone")?;
    must(verdict.false_arrivals.is_empty(), "a node takes a client that is not there")?;
    bound(verdict.doubles.is_empty(), "two nodes serve an address for over 1 s")?;
    let loops = sights.loops.iter().filter(|one| one.length() > GRACE).count();
    bound(loops == 0, "packets loop for over 1 s")?;
    let heard: Vec<Class> = Class::ALL.into_iter().filter(|class| *class != Class::Silent).collect();
    let absence = heard.iter().filter_map(|class| verdict.absences.get(class)?.iter().max()).max();
    bound(absence.is_none_or(|time| *time <= GRACE), "an address has no route at any node for over 1 s")?;
    let heard: Vec<&Fate> = heard.iter().filter_map(|class| fates.get(class)).collect();
    let (lost, sent) = heard.iter().fold((0, 0), |sum, fate| (sum.0 + fate.lost, sum.1 + fate.tally.sent));
    // Routes that bird has not found yet cost more than the daemon does.
    bound(lost * 100 <= sent, format!("{lost} of {sent} packets of clients that were noticed are lost"))
}
