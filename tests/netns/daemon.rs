//! A daemon under test: started as an operator would, watched from outside.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::lab::{CLIENT_PREFIX, CLIENT_PREFIX4, Lab, NODE_CLIENT_PREFIX, node_address};
use crate::sys;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The one under test, L3ROAMD_BIN.
    Ours,
    /// The C daemon, L3ROAMD_C.
    C,
}

impl Kind {
    /// The path of the program, if it is there.
    pub fn program(self) -> Option<PathBuf> {
        let named = match self {
            Self::Ours => std::env::var_os("L3ROAMD_BIN").map_or_else(
                || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/release/l3roamd")),
                PathBuf::from,
            ),
            Self::C => PathBuf::from(std::env::var_os("L3ROAMD_C")?),
        };
        named.is_file().then_some(named)
    }

    /// How measurements call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "l3roamd",
            Self::C => "C daemon",
        }
    }
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

fn socket(lab: &Lab, node: usize) -> PathBuf {
    lab.run.join(format!("{}.sock", lab.nodes[node]))
}

/// The arguments a node of the lab gives to its daemon, before `extra`.
fn arguments(lab: &Lab, node: usize, kind: Kind, socket: &Path) -> Vec<String> {
    let mut words = vec!["-s".to_owned(), socket.display().to_string()];
    for (option, value) in [
        ("-p", CLIENT_PREFIX),
        ("-p", CLIENT_PREFIX4),
        ("-i", lab.client_interface()),
        ("-b", "br-client"),
        ("-a", &node_address(node).to_string()),
        ("-P", NODE_CLIENT_PREFIX),
        ("-t", "254"),
        ("-D", "l3roam0"),
    ] {
        words.extend([option.to_owned(), value.to_owned()]);
    }
    for interface in lab.mesh_interfaces(node) {
        words.extend(["-m".to_owned(), interface]);
    }
    if kind == Kind::Ours {
        // The lab's routing daemons know drained routes.
        words.extend(["--overlap", "10"].map(str::to_owned));
    }
    words
}

impl Daemon {
    /// Starts the program at a node and waits until it answers on its socket.
    ///
    /// # Panics
    /// Where it does not within 5 s, with the end of its log.
    pub fn start(lab: &Lab, node: usize, kind: Kind) -> Self {
        Self::spawn(lab, node, kind, &[]).started(kind)
    }

    /// Starts our program at a node with these arguments alone and waits until it answers on the socket of that node.
    ///
    /// # Panics
    /// As above.
    pub fn start_with(lab: &Lab, node: usize, arguments: Vec<String>) -> Self {
        Self::spawn_with(lab, node, Kind::Ours, arguments).started(Kind::Ours)
    }

    fn started(mut self, kind: Kind) -> Self {
        let daemon = &mut self;
        let deadline = sys::now() + Duration::from_secs(60);
        while daemon.ask("get_meshifs").is_none_or(|answer| answer.is_empty()) {
            assert!(daemon.running(), "{} ended at once:\n{}", kind.name(), daemon.log_end());
            assert!(sys::now() < deadline, "{} does not answer:\n{}", kind.name(), daemon.log_end());
            std::thread::sleep(Duration::from_millis(2));
        }
        self
    }

    /// Starts one at every node.
    pub fn start_all(lab: &Lab, kind: Kind) -> Vec<Self> {
        (0..lab.nodes.len()).map(|node| Self::start(lab, node, kind)).collect()
    }

    /// Starts the program and does not wait.
    pub fn spawn(lab: &Lab, node: usize, kind: Kind, extra: &[&str]) -> Self {
        let socket = socket(lab, node);
        let mut words = arguments(lab, node, kind, &socket);
        words.extend(extra.iter().map(|word| (*word).to_owned()));
        Self::spawn_with(lab, node, kind, words)
    }

    fn spawn_with(lab: &Lab, node: usize, kind: Kind, arguments: Vec<String>) -> Self {
        let name = &lab.nodes[node];
        let socket = socket(lab, node);
        let log = lab.run.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        // For those who look for a fault: "-d" for example.
        let wish = std::env::var("L3ROAMD_ARGS").unwrap_or_default();
        let program = kind.program().expect("tests without the program are ignored");
        let child = Command::new("ip")
            .args(["netns", "exec", name])
            .arg(program)
            .args(arguments)
            .args(wish.split_whitespace())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("one file, two names"))
            .stderr(file)
            .spawn()
            .expect("ip starts");
        Self { child, socket, log, ended: None }
    }

    /// The socket's path.
    pub fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// The last lines it printed.
    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Connects to the control socket, unless nobody takes the connection within 30 s. (A thread
    /// waits for it: the standard library knows no time limit here.)
    pub fn connect(&self) -> Option<UnixStream> {
        let (done, connected) = mpsc::channel();
        let path = self.socket.clone();
        std::thread::spawn(move || done.send(UnixStream::connect(path)));
        connected.recv_timeout(Duration::from_secs(30)).ok()?.ok()
    }

    /// Sends one request to the control socket; the answer, unless nobody listens.
    pub fn ask(&self, request: &str) -> Option<String> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        stream.write_all(format!("{request}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The clients it tells of, as JSON.
    pub fn clients(&self) -> serde_json::Value {
        let answer = self.ask("get_clients").unwrap_or_default();
        serde_json::from_str(&answer).unwrap_or(serde_json::Value::Null)
    }

    /// One of its counters.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let answer = self.ask("get-statistics")?;
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        answer["counters"][name].as_u64()
    }

    /// Whether it says that the client has the address and uses it.
    pub fn manages(&self, client: l3roamd::net::Mac, address: std::net::IpAddr) -> bool {
        let v4_mapped = match address {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped().to_string(),
            std::net::IpAddr::V6(address) => address.to_string(),
        };
        self.clients()["clientlist"][client.to_string()]["addresses"][v4_mapped]["state"] == 1
    }

    /// Whether it runs.
    pub fn running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("our own child");
        }
        self.ended.is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        sys::kill(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = sys::now() + timeout;
        while self.running() && sys::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ended
    }

    /// The processor time it has used, in user and kernel mode, all threads.
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanoseconds = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Resident memory in kB from smaps_rollup: in total, of it anonymous.
    pub fn memory_kb(&self) -> (u64, u64) {
        let text =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        (field("Rss:"), field("Anonymous:"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            println!("-- end of {}:\n{}", self.log.display(), self.log_end());
        }
    }
}
