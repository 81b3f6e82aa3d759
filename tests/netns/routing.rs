//! The routing daemons of a mesh: none (ideal routing), bird2, babeld, olsrd2. Each runs in the foreground of its namespace,
//! with the configuration that README.md recommends.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use l3roamd::openwrt::uci::parser::{self, Value};

use crate::topology::Topology;

/// Where babeld tells what it knows, at every node on ::1.
pub const BABELD_PORT: u16 = 33123;

/// A prefix that routing daemons export beside the hosts, where a node has a static route to it.
pub const BESIDE: &str = "2001:db8:9::/64";

const REFLECT: &str = "reflect-kernel-metric";

/// The babeld that L3ROAMD_BABELD names, else the system's.
pub fn babeld_program() -> String {
    std::env::var("L3ROAMD_BABELD").unwrap_or_else(|_| "babeld".into())
}

/// The bird that L3ROAMD_BIRD names, else the system's.
pub fn bird_program() -> String {
    std::env::var("L3ROAMD_BIRD").unwrap_or_else(|_| "bird".into())
}

/// Whether L3ROAMD_OLSRD2 names an olsrd2 that imports routes of the kernel. One without the plugin runs, says so in its log, and never
/// hears of a client.
pub fn imports_routes() -> bool {
    let Ok(name) = std::env::var("L3ROAMD_OLSRD2") else { return false };
    let plugins = Command::new(name).arg("--version").output();
    plugins.is_ok_and(|said| {
        String::from_utf8_lossy(&said.stdout).lines().any(|line| line.ends_with(" lan_import"))
    })
}

/// How routes get from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    /// The lab copies them at once, see `watch`.
    Ideal,
    /// Babel by the bird that L3ROAMD_BIRD names, else the system's.
    Bird,
    /// Babel by the babeld that L3ROAMD_BABELD names, else the system's.
    Babeld,
    /// The same without `reflect-kernel-metric`.
    BabeldUnreflected,
    /// OLSRv2 by the olsrd2 that L3ROAMD_OLSRD2 names.
    Olsrd2,
}

impl Routing {
    /// Starts the daemons of all nodes.
    pub fn start(self, nodes: &[String], topology: &Topology, run: &Path) -> Vec<Child> {
        let start = |(node, name): (usize, &String)| {
            let interfaces = topology.interfaces(node);
            Some(match self {
                Self::Ideal => return None,
                Self::Bird => bird(node, name, run),
                Self::Babeld => babeld(name, &interfaces, run, true),
                Self::BabeldUnreflected => babeld(name, &interfaces, run, false),
                Self::Olsrd2 => olsrd2(node, name, &interfaces, run),
            })
        };
        nodes.iter().enumerate().filter_map(start).collect()
    }
}

fn spawn(namespace: &str, run: &Path, program: &str, arguments: &[String]) -> Child {
    let log = std::fs::File::create(run.join(format!("{namespace}.routing.log"))).expect("a log file");
    Command::new("ip")
        .args(["netns", "exec", namespace, program])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("one file, two names"))
        .stderr(log)
        .spawn()
        .expect("ip starts")
}

fn bird(node: usize, name: &str, run: &Path) -> Child {
    let configuration = run.join(format!("{name}.bird.conf"));
    std::fs::write(&configuration, bird_configuration(node)).expect("a configuration");
    let path = |suffix: &str| run.join(format!("{name}.bird.{suffix}")).display().to_string();
    let arguments =
        ["-f", "-c", &configuration.display().to_string(), "-s", &path("ctl"), "-P", &path("pid")]
            .map(str::to_owned);
    spawn(name, run, &bird_program(), &arguments)
}

/// The block of the manual whose first line is a comment that begins with the name.
///
/// # Panics
/// Where there is none.
pub fn manual(name: &str) -> String {
    let lines = include_str!("../../README.md").lines();
    let block: Vec<&str> = lines
        .skip_while(|line| !line.starts_with(&format!("    # {name}")))
        .map_while(|line| line.strip_prefix("    "))
        .collect();
    assert!(!block.is_empty(), "the manual has no block # {name}");
    block.join("\n") + "\n"
}

/// What the manual recommends, with this node's number in it and the prefix beside.
fn bird_configuration(node: usize) -> String {
    let (theirs, ours) = ("router id 10.255.0.1;", format!("router id 10.255.0.{};", node + 1));
    let text = manual("bird2");
    assert!(text.contains(theirs), "the manual's block has no line {theirs}");
    let text = ["filter learnt {", "filter roam {"].iter().fold(text, |text, filter| {
        assert!(text.contains(filter), "the manual's block has no {filter}");
        text.replace(filter, &format!("{filter}\n  if net = {BESIDE} then accept;"))
    });
    format!("log stderr all;\n{}", text.replace(theirs, &ours))
}

/// What the manual recommends with the prefix beside and this node's interfaces in it, with or
/// without the line that hands babeld's metrics to the kernel.
fn babeld(name: &str, interfaces: &[String], run: &Path, reflecting: bool) -> Child {
    let configuration = run.join(format!("{name}.babeld.conf"));
    let manual = manual("babeld");
    let kept = |line: &&str| !line.starts_with("interface ") && (reflecting || !line.starts_with(REFLECT));
    let mut text = format!("redistribute ip {BESIDE} proto 4 allow\n");
    for line in manual.lines().filter(kept) {
        let _ = writeln!(text, "{line}");
    }
    for interface in interfaces {
        let _ = writeln!(text, "interface {interface}");
    }
    std::fs::write(&configuration, text).expect("a configuration");
    let path = |suffix: &str| run.join(format!("{name}.babeld.{suffix}")).display().to_string();
    let port = BABELD_PORT.to_string();
    let arguments =
        ["-c", &configuration.display().to_string(), "-I", &path("pid"), "-S", &path("state"), "-g", &port]
            .map(str::to_owned);
    spawn(name, run, &babeld_program(), &arguments)
}

/// What the manual recommends, in olsrd2's own form and with the devices of this node for OpenWrt's networks.
fn olsrd2_configuration(node: usize, interfaces: &[String]) -> String {
    let theirs = ["fd00:1::1", "10.255.0.1"];
    let ours = [format!("fd00:1::{}", node + 1), format!("10.255.0.{}", node + 1)];
    let block = manual("/etc/config/olsrd2");
    let block = theirs.iter().zip(&ours).fold(block, |block, (theirs, ours)| {
        assert!(block.contains(theirs), "the manual's block has no {theirs}");
        block.replace(theirs, ours)
    });
    let package = parser::parse(block.as_bytes()).expect("the manual's block is UCI");
    let mut text = String::new();
    for section in &package.sections {
        let texts = |value: &Value| match value {
            Value::One(text) => vec![String::from_utf8_lossy(text).into_owned()],
            Value::Many(list) => list.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect(),
        };
        // As its init script and its reader of UCI do: the network's device is the name, each name a section.
        let network = section.option("ifname").map(|value| texts(value).concat());
        let names = match network.as_deref() {
            Some("loopback") => vec!["lo".to_owned()],
            Some(_) => interfaces.to_vec(),
            None => section.option("name").map(texts).unwrap_or_default(),
        };
        let heads = if names.is_empty() {
            vec![format!("[{}]", section.kind)]
        } else {
            names.iter().map(|name| format!("[{}={name}]", section.kind)).collect()
        };
        for head in heads {
            let _ = writeln!(text, "{head}");
            for entry in
                section.options.iter().filter(|entry| !["name", "ifname"].contains(&entry.name.as_str()))
            {
                for value in texts(&entry.value) {
                    let _ = writeln!(text, "{} {value}", entry.name);
                }
            }
        }
    }
    text
}

fn olsrd2(node: usize, name: &str, interfaces: &[String], run: &Path) -> Child {
    let configuration = run.join(format!("{name}.olsrd2.conf"));
    let lock = run.join(format!("{name}.olsrd2.lock"));
    let text = olsrd2_configuration(node, interfaces);
    std::fs::write(&configuration, format!("[global]\nlockfile {}\n{text}", lock.display()))
        .expect("a configuration");
    let program = std::env::var("L3ROAMD_OLSRD2").expect("tests without it are ignored");
    spawn(name, run, &program, &["--load".to_owned(), configuration.display().to_string()])
}
