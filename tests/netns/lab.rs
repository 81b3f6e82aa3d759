//! The mesh of a test: nodes in a chain or a grid (see `topology`), their bridges, the air between
//! them and the clients, a correspondent.
//!
//! ```text
//!            corr (2001:db8:b::2)
//!              | lan0
//!   a --mesh-- b --mesh-- c           node n: fd00:1::n/128 and 10.255.0.n/32 on lo, daemon, routing
//!   |          |          |           br-client with the port ap0, gateway on local-node (one MAC everywhere)
//!  air-a     air-b      air-c         bridges in the namespace "air"
//!     \________ | ________/
//!             sta1  <-- a client's port: roaming moves it between the bridges, its carrier stays on
//!              |
//!           client1 (2001:db8:c::1:1, 10.42.1.1)
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use l3roamd::net::{Mac, Prefix};

use crate::routing::Routing;
use crate::sys;
use crate::topology::{Shape, Topology, mesh_mac};
use crate::watch::Watch;

/// The client prefixes.
pub const CLIENT_PREFIX: &str = "2001:db8:c::/64";
/// The IPv4 client prefix.
pub const CLIENT_PREFIX4: &str = "10.42.0.0/16";
/// The prefix of the node-client addresses.
pub const NODE_CLIENT_PREFIX: &str = "fd00:2::/64";
/// The MAC address of the gateway at every node (Gluon's next-node).
pub const GATEWAY_MAC: Mac = Mac([0x16, 0x41, 0x95, 0x40, 0xf7, 0xdc]);
/// The address of the gateway at every node: a /128 inside the client prefix, as Gluon has it.
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1);
/// The gateway for IPv4.
pub const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 1);
/// The correspondent.
pub const CORRESPONDENT: &str = "corr";

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What a lab is made of.
#[derive(Clone, Copy)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// How they are connected.
    pub shape: Shape,
    /// The client interface is the bridge itself, as against a veth plugged into it (Gluon's local-node).
    pub bridge_itself: bool,
    /// The client bridges snoop multicast and query.
    pub snooping: bool,
    /// How routes get from node to node.
    pub routing: Routing,
}

impl Default for Plan {
    fn default() -> Self {
        Self { nodes: 3, shape: Shape::Chain, bridge_itself: false, snooping: false, routing: Routing::Ideal }
    }
}

/// The namespaces, as long as it lives.
pub struct Lab {
    /// How it was made.
    pub plan: Plan,
    /// Names of the nodes' namespaces.
    pub nodes: Vec<String>,
    /// The links between them.
    pub topology: Topology,
    /// What is seen of all nodes.
    pub watch: Watch,
    /// For sockets and configurations.
    pub run: PathBuf,
    namespaces: Vec<String>,
    routing: Vec<std::process::Child>,
}

/// Runs `ip` in a namespace; the words are split at blanks.
///
/// # Panics
/// Where it fails, with what it says.
pub fn ip(namespace: &str, words: &str) -> String {
    let output =
        Command::new("ip").args(["-n", namespace]).args(words.split_whitespace()).output().expect("ip");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip -n {namespace} {words}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs many `ip` commands at once, one per line.
pub fn ip_batch(namespace: &str, commands: &str) {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("ip");
    child.stdin.take().expect("piped").write_all(commands.as_bytes()).expect("ip reads");
    assert!(child.wait().expect("ip ends").success(), "ip -n {namespace} -batch: {commands}");
}

/// The address of a node.
pub fn node_address(node: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, node as u16 + 1)
}

impl Lab {
    /// Builds the mesh and starts its routing.
    pub fn new(plan: Plan) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let run = PathBuf::from(format!("{}/{number}", crate::isolate::RUN));
        // The logs of the lab before have been kept, or nobody wants them.
        let _ = std::fs::remove_dir_all(crate::isolate::RUN);
        std::fs::create_dir_all(&run).expect("a directory");
        let nodes: Vec<String> =
            (0..plan.nodes).map(|node| char::from(b'a' + node as u8).to_string()).collect();
        let mut namespaces = nodes.clone();
        namespaces.extend(["air".to_owned(), CORRESPONDENT.to_owned()]);
        for namespace in &namespaces {
            add_namespace(namespace);
        }
        // The air itself says nothing: its ports are no clients.
        sys::sysctl("air", &[("net/ipv6/conf/default/disable_ipv6", "1")]);
        for node in 0..plan.nodes {
            build_node(&plan, &nodes, node);
        }
        let topology = Topology::new(plan.shape, plan.nodes);
        for link in 0..topology.count() {
            topology.connect(&nodes, link);
        }
        build_correspondent(&nodes[1]);
        let hops = topology.hops(&nodes);
        topology.install_static_routes(plan.routing, &nodes, &hops);
        let node_client: Prefix = NODE_CLIENT_PREFIX.parse().expect("a prefix");
        let watch = Watch::start(&nodes, hops, node_client, matches!(plan.routing, Routing::Ideal));
        let routing = plan.routing.start(&nodes, &topology, &run);
        let lab = Self { plan, nodes, topology, watch, run, namespaces, routing };
        lab.await_routing();
        lab
    }

    /// The name of the client interface.
    pub fn client_interface(&self) -> &'static str {
        if self.plan.bridge_itself { "br-client" } else { "local-node" }
    }

    /// The mesh interfaces of a node.
    pub fn mesh_interfaces(&self, node: usize) -> Vec<String> {
        self.topology.interfaces(node)
    }

    /// Sends a signal to the routing daemons of all nodes.
    pub fn signal_routing(&self, signal: i32) {
        for child in &self.routing {
            sys::kill(child.id(), signal);
        }
    }

    /// Sends a signal to the routing daemon of one node.
    pub fn signal_routing_of(&self, node: usize, signal: i32) {
        if let Some(child) = self.routing.get(node) {
            sys::kill(child.id(), signal);
        }
    }

    /// Makes a namespace that goes with the lab.
    pub fn add_namespace(&mut self, name: &str) {
        add_namespace(name);
        self.namespaces.push(name.to_owned());
    }

    /// Deletes and makes again a mesh link.
    pub fn renew_mesh_link(&self, link: usize) {
        ip(&self.nodes[self.topology.ends(link)[0]], &format!("link del mesh{link}"));
        std::thread::sleep(Duration::from_millis(300));
        self.topology.connect(&self.nodes, link);
        self.link_replaced();
    }

    /// Puts other devices of the same name in the place of a mesh link: `make` is called for each of its two nodes.
    pub fn replace_mesh_link(&self, link: usize, mut make: impl FnMut(&str, &str)) {
        let name = format!("mesh{link}");
        let ends = self.topology.ends(link);
        ip(&self.nodes[ends[0]], &format!("link del {name}"));
        for node in ends {
            make(&self.nodes[node], &name);
            let (mac, address) = (mesh_mac(node, link), self.topology.address4(node, link));
            ip_batch(
                &self.nodes[node],
                &format!(
                    "link set {name} address {mac}\naddr add {address}/30 dev {name}\nlink set {name} up\n"
                ),
            );
        }
        self.link_replaced();
    }

    fn link_replaced(&self) {
        let hops = self.topology.hops(&self.nodes);
        self.topology.install_static_routes(self.plan.routing, &self.nodes, &hops);
        self.watch.set_hops(hops);
    }

    /// Deletes and makes again the client interface of a node (the veth, or the bridge with its port).
    pub fn renew_client_interface(&self, node: usize) {
        let name = &self.nodes[node];
        ip(name, &format!("link del {}", self.client_interface()));
        std::thread::sleep(Duration::from_millis(300));
        if self.plan.bridge_itself {
            ip_batch(name, &bridge(&self.plan, node));
            ip(name, "link set ap0 master br-client");
        }
        ip_batch(name, &client_interface(&self.plan));
    }

    /// Waits, for at most 10 s, until the node would send packets for the address over the mesh.
    pub fn await_mesh_route(&self, node: usize, address: IpAddr) {
        let deadline = sys::now() + Duration::from_secs(10);
        while sys::now() < deadline {
            let show = ["-n", &self.nodes[node], "route", "get", &address.to_string()].map(str::to_owned);
            let output = Command::new("ip").args(show).output().expect("ip");
            if String::from_utf8_lossy(&output.stdout).contains(" dev mesh") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every node has its routes to the others.
    ///
    /// # Panics
    /// Where one never has.
    pub fn await_routing(&self) {
        let deadline = sys::now() + Duration::from_secs(120);
        for node in &self.nodes {
            for other in (0..self.nodes.len()).filter(|other| &self.nodes[*other] != node) {
                let address = node_address(other);
                while !ip(node, &format!("-6 route show {address}")).contains("dev mesh") {
                    assert!(sys::now() < deadline, "{node} never gets a route to {address}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
        // Neighbour resolution of the links is not what is measured.
        for (node, name) in self.nodes.iter().enumerate() {
            for (link, other) in self.topology.links_of(node) {
                let address = IpAddr::V6(mesh_mac(other, link).link_local());
                let _ = Command::new("ip")
                    .args(["-n", name, "neigh", "replace", &address.to_string()])
                    .args(["lladdr", &mesh_mac(other, link).to_string(), "dev", &format!("mesh{link}")])
                    .status();
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.signal_routing(libc::SIGCONT);
        for child in &mut self.routing {
            sys::kill(child.id(), libc::SIGTERM);
            let _ = child.wait();
        }
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn add_namespace(name: &str) {
    let status = Command::new("ip").args(["netns", "add", name]).status().expect("ip");
    assert!(status.success(), "ip netns add {name}");
    ip(name, "link set lo up");
    sys::sysctl(
        name,
        &[
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ],
    );
}

fn bridge(plan: &Plan, node: usize) -> String {
    let snooping = u8::from(plan.snooping);
    let mac = if plan.bridge_itself { GATEWAY_MAC } else { Mac([2, 0x0b, 0, node as u8, 0, 0]) };
    format!(
        "link add br-client address {mac} type bridge mcast_snooping {snooping} mcast_querier {snooping}\n\
         link set br-client up\n"
    )
}

fn client_interface(plan: &Plan) -> String {
    let name = if plan.bridge_itself { "br-client" } else { "local-node" };
    let mut commands = String::new();
    if !plan.bridge_itself {
        let _ = writeln!(
            commands,
            "link add local-node address {GATEWAY_MAC} type veth peer name local-port\n\
             link set local-port master br-client up\nlink set local-node up"
        );
    }
    let _ = writeln!(commands, "addr add {GATEWAY}/128 dev {name} nodad\naddr add {GATEWAY4}/32 dev {name}");
    commands
}

fn build_node(plan: &Plan, nodes: &[String], node: usize) {
    let name = &nodes[node];
    sys::sysctl(name, &[("net/ipv6/conf/all/forwarding", "1"), ("net/ipv4/ip_forward", "1")]);
    let number = node + 1;
    ip_batch(
        name,
        &format!(
            "addr add {}/128 dev lo\naddr add 10.255.0.{number}/32 dev lo\n{}\
             link add ap0 type veth peer name up-{name} netns air\nlink set ap0 master br-client up\n{}",
            node_address(node),
            bridge(plan, node),
            client_interface(plan)
        ),
    );
    ip_batch(
        "air",
        &format!(
            "link add air-{name} type bridge mcast_snooping 0\nlink set air-{name} up\n\
             link set up-{name} master air-{name} up\n"
        ),
    );
}

fn build_correspondent(node: &str) {
    ip_batch(
        node,
        &format!(
            "link add lan0 type veth peer name eth0 netns {CORRESPONDENT}\nlink set lan0 up\n\
             addr add 2001:db8:b::1/64 dev lan0 nodad\naddr add 192.168.77.1/24 dev lan0\n"
        ),
    );
    ip_batch(
        CORRESPONDENT,
        "link set eth0 up\naddr add 2001:db8:b::2/64 dev eth0 nodad\naddr add 192.168.77.2/24 dev eth0\n\
         route add default via 2001:db8:b::1\nroute add default via 192.168.77.1\n",
    );
}
