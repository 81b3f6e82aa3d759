//! The routing daemons of a mesh: none (ideal routing), bird2, babeld. Each runs in the foreground of its namespace,
//! with the configuration that README.md recommends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where babeld tells what it knows, at every node on ::1.
pub const BABELD_PORT: u16 = 33123;

/// A prefix that routing daemons export beside the hosts, where a node has a static route to it.
pub const BESIDE: &str = "2001:db8:9::/64";

const REFLECT: &str = "reflect-kernel-metric";

/// The babeld that L3ROAMD_BABELD names, else the system's.
pub fn babeld_program() -> String {
    std::env::var("L3ROAMD_BABELD").unwrap_or_else(|_| "babeld".into())
}

/// How routes get from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    /// The lab copies them at once, see `watch`.
    Ideal,
    /// Babel by bird2.
    Bird,
    /// Babel by the babeld that L3ROAMD_BABELD names, else the system's.
    Babeld,
    /// The same without `reflect-kernel-metric`.
    BabeldUnreflected,
}

impl Routing {
    /// Starts the daemons of all nodes.
    pub fn start(self, nodes: &[String], run: &Path) -> Vec<Child> {
        match self {
            Self::Ideal => Vec::new(),
            Self::Bird => nodes.iter().enumerate().map(|(node, name)| bird(node, name, run)).collect(),
            Self::Babeld => nodes.iter().map(|name| babeld(name, run, true)).collect(),
            Self::BabeldUnreflected => nodes.iter().map(|name| babeld(name, run, false)).collect(),
        }
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
    spawn(name, run, "bird", &arguments)
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

/// What the manual recommends with the prefix beside, with or without the line that hands babeld's metrics to the kernel.
fn babeld(name: &str, run: &Path, reflecting: bool) -> Child {
    let configuration = run.join(format!("{name}.babeld.conf"));
    let mut text = format!("redistribute ip {BESIDE} proto 4 allow\n{}", manual("babeld"));
    if !reflecting {
        text = text
            .lines()
            .filter(|line| !line.starts_with(REFLECT))
            .fold(String::new(), |all, line| all + line + "\n");
    }
    std::fs::write(&configuration, text).expect("a configuration");
    let path = |suffix: &str| run.join(format!("{name}.babeld.{suffix}")).display().to_string();
    let port = BABELD_PORT.to_string();
    let arguments =
        ["-c", &configuration.display().to_string(), "-I", &path("pid"), "-S", &path("state"), "-g", &port]
            .map(str::to_owned);
    spawn(name, run, &babeld_program(), &arguments)
}
