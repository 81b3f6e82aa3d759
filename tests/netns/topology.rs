//! The links between the nodes of a mesh: a chain, or a grid with diagonals.
//!
//! ```text
//!   a -- b -- c         Link n is a veth pair, called meshn at both of its nodes.
//!   | \  | \  |
//!   d -- e -- f         A grid has one diagonal in each square.
//!   | \  | \  |
//!   g -- h -- i
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use l3roamd::net::Mac;

use crate::lab::{ip_batch, node_address};
use crate::routing::Routing;
use crate::sys;
use crate::watch::{Hop, Hops};

/// How the nodes are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Link `n` is between node `n` and its follower.
    Chain,
    /// Rows of so many nodes.
    Grid {
        /// The nodes of a row.
        columns: usize,
    },
}

/// The links of a mesh, each with its two nodes, the lower one first.
#[derive(Clone, Debug)]
pub struct Topology {
    nodes: usize,
    links: Vec<[usize; 2]>,
}

/// The MAC address of a node's end of a mesh link.
pub fn mesh_mac(node: usize, link: usize) -> Mac {
    Mac([2, 0x0a, 0, node as u8, 0, link as u8])
}

impl Topology {
    /// The links of so many nodes.
    pub fn new(shape: Shape, nodes: usize) -> Self {
        let followers = |node: usize| -> Vec<usize> {
            let Shape::Grid { columns } = shape else { return vec![node + 1] };
            let is_last = (node + 1) % columns == 0;
            let beside = [node + 1, node + columns + 1].into_iter().filter(|_| !is_last);
            beside.chain([node + columns]).collect()
        };
        let links = (0..nodes).flat_map(|node| {
            let there = followers(node).into_iter().filter(|other| *other < nodes);
            there.map(move |other| [node, other])
        });
        Self { nodes, links: links.collect() }
    }

    /// How many links there are.
    pub fn count(&self) -> usize {
        self.links.len()
    }

    /// The two nodes of a link.
    pub fn ends(&self, link: usize) -> [usize; 2] {
        self.links[link]
    }

    /// The links of a node, each with the node at its other end.
    pub fn links_of(&self, node: usize) -> Vec<(usize, usize)> {
        let other = |[near, far]: [usize; 2]| match node {
            node if node == near => Some(far),
            node if node == far => Some(near),
            _ => None,
        };
        let links = self.links.iter().enumerate();
        links.filter_map(|(link, ends)| other(*ends).map(|other| (link, other))).collect()
    }

    /// The mesh interfaces of a node.
    pub fn interfaces(&self, node: usize) -> Vec<String> {
        self.links_of(node).into_iter().map(|(link, _)| format!("mesh{link}")).collect()
    }

    /// The IPv4 address of a node's end of a link.
    pub fn address4(&self, node: usize, link: usize) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, link as u8, if node == self.links[link][0] { 1 } else { 2 })
    }

    /// How many hops each node is away from one of them.
    fn distances(&self, to: usize) -> Vec<usize> {
        let mut distances = vec![usize::MAX; self.nodes];
        distances[to] = 0;
        let mut queue = VecDeque::from([to]);
        while let Some(node) = queue.pop_front() {
            for (_, other) in self.links_of(node) {
                if distances[other] == usize::MAX {
                    distances[other] = distances[node] + 1;
                    queue.push_back(other);
                }
            }
        }
        distances
    }

    /// Makes the two ends of a link.
    pub fn connect(&self, names: &[String], link: usize) {
        let [near, far] = self.ends(link);
        let make = format!(
            "link add mesh{link} address {} type veth peer name mesh{link} address {} netns {}\n",
            mesh_mac(near, link),
            mesh_mac(far, link),
            names[far],
        );
        let up = |node| {
            format!("addr add {}/30 dev mesh{link}\nlink set mesh{link} up\n", self.address4(node, link))
        };
        ip_batch(&names[near], &format!("{make}{}", up(near)));
        ip_batch(&names[far], &up(far));
    }

    /// The next hop of a shortest way from each node to each.
    pub fn hops(&self, names: &[String]) -> Vec<Hops> {
        let distances: Vec<Vec<usize>> = (0..self.nodes).map(|to| self.distances(to)).collect();
        let of_node = |(node, name): (usize, &String)| {
            let links = self.links_of(node);
            let index = |link: &usize| sys::interface_index(&format!("mesh{link}"));
            let indices: Vec<Option<u32>> =
                sys::inside(name, || links.iter().map(|(link, _)| index(link)).collect());
            let towards = |to: usize| {
                let ways = links.iter().zip(&indices);
                let ((link, other), index) = ways.min_by_key(|((_, other), _)| distances[to][*other])?;
                (to != node).then(|| Hop {
                    link: *link,
                    interface: index.expect("the mesh interface exists"),
                    v6: mesh_mac(*other, *link).link_local(),
                    v4: self.address4(*other, *link),
                    distance: distances[to][node],
                })
            };
            (0..self.nodes).map(towards).collect()
        };
        names.iter().enumerate().map(of_node).collect()
    }

    /// Installs routes that no roaming changes: to the correspondent's network, which is at the
    /// second node, and without a routing daemon to the nodes.
    pub fn install_static_routes(&self, routing: Routing, names: &[String], hops: &[Hops]) {
        for (node, name) in names.iter().enumerate() {
            let mut commands = String::new();
            let mut add = |v6: &str, v4: &str, other: usize| {
                let Some(hop) = hops[node][other] else { return };
                let _ = writeln!(commands, "route replace {v6} via {} dev mesh{}", hop.v6, hop.link);
                let _ = writeln!(commands, "route replace {v4} via {} dev mesh{}", hop.v4, hop.link);
            };
            add("2001:db8:b::/64", "192.168.77.0/24", 1);
            if routing == Routing::Ideal {
                for other in 0..self.nodes {
                    add(
                        &format!("{}/128", node_address(other)),
                        &format!("10.255.0.{}/32", other + 1),
                        other,
                    );
                }
            }
            ip_batch(name, &commands);
        }
    }
}
