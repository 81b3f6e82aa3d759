//! The routing daemons of a mesh: none (ideal routing), bird2, babeld. Each runs in the foreground of its namespace.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How routes get from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Routing {
    /// The lab copies them at once, see `watch`.
    Ideal,
    /// Babel by bird2.
    Bird,
    /// Babel by the babeld that L3ROAMD_BABELD names.
    Babeld,
}

impl Routing {
    /// Starts the daemons of all nodes.
    pub fn start(self, nodes: &[String], run: &Path) -> Vec<Child> {
        match self {
            Self::Ideal => Vec::new(),
            Self::Bird => nodes.iter().enumerate().map(|(node, name)| bird(node, name, run)).collect(),
            Self::Babeld => nodes.iter().map(|name| babeld(name, run)).collect(),
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

/// What the README recommends: preference 200, or bird would prefer the babel route it already has to the learnt
/// one and never announce ours; drained routes at a worse metric.
fn bird_configuration(node: usize) -> String {
    let id = node + 1;
    let channel = |family: &str| {
        format!(
            "protocol kernel {{ learn; {family} {{ import filter learnt; export where source = RTS_BABEL; }}; }}\n"
        )
    };
    format!(
        "log stderr all;\nrouter id 10.255.0.{id};\nprotocol device {{ scan time 10; }}\n\
         protocol direct {{ ipv4; ipv6; interface \"lo\"; }}\n\
         filter roam {{\n  if source = RTS_DEVICE then accept;\n\
         \x20 if krt_source = 158 then {{ babel_metric = 0; accept; }}\n\
         \x20 if krt_source = 159 then {{ babel_metric = 4096; accept; }}\n\
         \x20 if source = RTS_BABEL then accept;\n  reject;\n}}\n\
         filter learnt {{\n  if krt_source = 158 then {{ preference = 200; accept; }}\n\
         \x20 if krt_source = 159 then accept;\n  reject;\n}}\n{}{}\
         protocol babel {{\n  ipv4 {{ import all; export filter roam; }};\n  ipv6 {{ import all; export filter roam; }};\n\
         \x20 interface \"mesh*\" {{ type wired; hello interval 4 s; }};\n  randomize router id;\n}}\n",
        channel("ipv4"),
        channel("ipv6"),
    )
}

fn babeld(name: &str, run: &Path) -> Child {
    let program = std::env::var("L3ROAMD_BABELD").unwrap_or_else(|_| "babeld".into());
    let path = |suffix: &str| run.join(format!("{name}.babeld.{suffix}")).display().to_string();
    let mut arguments: Vec<String> = ["-I", &path("pid"), "-S", &path("state")].map(str::to_owned).into();
    for line in [
        "redistribute proto 158 allow",
        "redistribute proto 159 metric 1024",
        "redistribute local if lo",
        "redistribute local deny",
        "redistribute deny",
        "default type wired",
    ] {
        arguments.extend(["-C".to_owned(), line.to_owned()]);
    }
    // Only those that exist are used; the rest wait.
    arguments.extend(["mesh0", "mesh1", "mesh2"].map(str::to_owned));
    spawn(name, run, &program, &arguments)
}
