//! The routing daemons of a mesh with cycles, without a daemon of ours: host routes walk as ours
//! do, and the forwarding of all nodes is followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::forwarding::{Observer, Sights, Span};
use crate::lab::{Lab, Plan, ip, ip_batch};
use crate::measure::{Outcome, Trouble, bound, measure, must, say};
use crate::random::{Random, seed};
use crate::routing::Routing;
use crate::topology::Shape;
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("no_packet_loops_for_2_s_in_a_grid_where_bird_routes", Needs::Bird, || alone(Routing::Bird)),
    ("no_packet_loops_for_2_s_in_a_grid_where_babeld_routes", Needs::LongBabeld, || alone(Routing::Babeld)),
];

/// How long a route of protocol 159 stands.
const OVERLAP: Duration = Duration::from_secs(10);
/// A loop or a hole that counts.
const LONG: Duration = Duration::from_secs(2);
/// Between two looks at all nodes.
const LOOK: Duration = Duration::from_millis(500);

/// How much walks.
#[derive(Clone, Copy)]
struct Walk {
    /// The nodes of a row, and the rows.
    side: usize,
    addresses: usize,
    roams: usize,
    /// The shortest and the longest stay at a node.
    stay: [Duration; 2],
}

impl Walk {
    /// 300 roams in a grid of 25 nodes, or less.
    fn of_this_run() -> Self {
        let second = Duration::from_secs(1);
        if long() {
            Self { side: 5, addresses: 80, roams: 300, stay: [second * 4, second * 22] }
        } else {
            Self { side: 3, addresses: 30, roams: 60, stay: [second * 3, second * 9] }
        }
    }
}

/// An address whose routes walk.
struct Walker {
    address: IpAddr,
    node: usize,
    due: Duration,
    /// Where its routes are drained, and until when.
    drained: Vec<(usize, Duration)>,
    roams: Vec<Duration>,
}

impl Walker {
    /// The addresses are IPv6 and IPv4 by turns.
    fn new(number: u8, node: usize) -> Self {
        let address = if number % 2 == 0 {
            Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 1, u16::from(number) + 1).into()
        } else {
            Ipv4Addr::new(10, 42, 1, number + 1).into()
        };
        Self { address, node, due: Duration::ZERO, drained: Vec::new(), roams: Vec::new() }
    }

    fn serve(&self, lab: &Lab) {
        let (address, interface) = (self.address, lab.client_interface());
        ip(&lab.nodes[self.node], &format!("route replace {address} dev {interface} proto 158 metric 16"));
    }

    /// Goes to another node: the new one serves it, the old one drains it in place.
    fn roam(&mut self, lab: &Lab, to: usize) {
        let from = std::mem::replace(&mut self.node, to);
        self.drained.retain(|(node, _)| *node != to);
        self.serve(lab);
        ip(&lab.nodes[from], &format!("route replace {} dev l3roam0 proto 159 metric 16", self.address));
        let now = sys::now();
        self.drained.push((from, now + OVERLAP));
        self.roams.push(now);
    }

    /// Deletes the drained routes whose time is over.
    fn end_overlaps(&mut self, lab: &Lab) {
        let now = sys::now();
        let (over, rest) = self.drained.drain(..).partition(|(_, until)| *until <= now);
        self.drained = rest;
        let over: Vec<(usize, Duration)> = over;
        for (node, _) in over {
            ip(&lab.nodes[node], &format!("route del {} proto 159 metric 16", self.address));
        }
    }

    /// How many of its roams have one of these times: it begins before the address roams again.
    fn roams_with(&self, spans: &[Span]) -> usize {
        let ends = self.roams.iter().skip(1).copied().chain([Duration::MAX]);
        let has_one = |(from, end): &(&Duration, Duration)| {
            let within = |span: &Span| span.address == self.address && (**from..*end).contains(&span.from);
            spans.iter().any(within)
        };
        self.roams.iter().zip(ends).filter(has_one).count()
    }
}

/// Puts the addresses at nodes by chance and waits until all nodes have routes to all of them.
fn place(lab: &Lab, walk: Walk, random: &mut Random) -> Result<Vec<Walker>, Trouble> {
    for node in &lab.nodes {
        // It stands for the TUN of the daemon, and has a carrier as that has.
        let tun = "link add l3roam0 type veth peer name l3roam1\nlink set l3roam0 up\nlink set l3roam1 up\n";
        ip_batch(node, tun);
    }
    let new = |number| Walker::new(number as u8, random.below(lab.nodes.len()));
    let walkers: Vec<Walker> = (0..walk.addresses).map(new).collect();
    for walker in &walkers {
        walker.serve(lab);
    }
    let addresses: Vec<IpAddr> = walkers.iter().map(|walker| walker.address).collect();
    let known = Observer::await_routes(lab, &addresses, Duration::from_secs(120));
    must(known, "the nodes never have routes to all addresses")?;
    Ok(walkers)
}

fn walk(lab: &Lab, plan: Walk, walkers: &mut [Walker], random: &mut Random) -> Sights {
    let [shortest, longest] = plan.stay;
    let begin = sys::now();
    for walker in walkers.iter_mut() {
        walker.due = begin + random.between(Duration::ZERO, longest);
    }
    let observer = Observer::start(lab, walkers.iter().map(|walker| walker.address).collect(), LOOK);
    let (mut roams, mut end) = (0, Duration::MAX);
    while sys::now() < end {
        for walker in walkers.iter_mut() {
            walker.end_overlaps(lab);
            if walker.due <= sys::now() && roams < plan.roams {
                let neighbours = lab.topology.links_of(walker.node);
                walker.roam(lab, neighbours[random.below(neighbours.len())].1);
                walker.due = sys::now() + random.between(shortest, longest);
                roams += 1;
            }
        }
        if roams == plan.roams {
            // What begins at the end of the last overlap belongs to it.
            end = end.min(sys::now() + OVERLAP + LONG * 2);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    observer.stop()
}

fn alone(routing: Routing) -> Outcome {
    let plan = Walk::of_this_run();
    let shape = Shape::Grid { columns: plan.side };
    let lab = Lab::new(Plan { nodes: plan.side * plan.side, shape, routing, ..Plan::default() });
    let seed = seed();
    let mut random = Random::new(seed);
    let mut walkers = place(&lab, plan, &mut random)?;
    let sights = walk(&lab, plan, &mut walkers, &mut random);
    let long = |spans: &[Span]| -> Vec<Span> {
        spans.iter().filter(|span| span.length() >= LONG).copied().collect()
    };
    let (loops, holes) = (long(&sights.loops), long(&sights.holes));
    let roams = |spans: &[Span]| walkers.iter().map(|walker| walker.roams_with(spans)).sum::<usize>();
    let longest = |spans: &[Span]| spans.iter().map(Span::length).max().unwrap_or_default().as_secs_f64();
    measure(
        &format!(
            "{} roams of host routes, {} nodes in a grid, {routing:?} alone",
            plan.roams,
            lab.nodes.len()
        ),
        format!(
            "{} with a loop of 2 s or more, longest {:.1} s; {} with a node without a route for 2 s or more, longest {:.1} s, \
             {:.2} % of all node-seconds (seed {seed})",
            roams(&loops),
            longest(&sights.loops),
            roams(&holes),
            longest(&sights.holes),
            sights.without_route_percent(),
        ),
    );
    for span in loops.iter().take(10) {
        let length = span.length().as_secs_f64();
        say(&format!("{} looped at {} for {length:.1} s", span.address, lab.nodes[span.node]));
    }
    // Debian's babeld withdraws the wrong prefix now and then, which leaves a stale route.
    let is_debians = routing == Routing::Babeld && std::env::var_os("L3ROAMD_BABELD").is_none();
    let excused = if is_debians { plan.roams / 50 } else { 0 };
    bound(roams(&loops) <= excused, format!("{} roams with a loop of 2 s or more", roams(&loops)))
}
