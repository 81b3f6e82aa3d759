//! What the tests share: namespaces, `ip`, a kernel side, waiting for events.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use l3roamd::engine::config::Protocols;
use l3roamd::engine::config::Sources;
use l3roamd::engine::input::Input;
use l3roamd::engine::output::{HostRoute, Neighbour, RouteKind};
use l3roamd::kernel::{Event, Kernel, KernelError, Settings};
use l3roamd::net::{IfIndex, Mac};

/// The client of most tests.
pub const CLIENT: Mac = Mac([2, 0, 0, 0, 0xc1, 1]);

/// Runs a test on tokio's current-thread runtime, with `lo` up.
pub fn run<F: Future<Output = ()>>(test: F) {
    sh("ip link set lo up");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), test).await }).expect("in time");
}

/// Runs a shell command; it must succeed. Gives its output.
pub fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().expect("sh");
    assert!(
        output.status.success(),
        "{command}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Another network namespace, held by a process.
pub struct Namespace(Child);

impl Namespace {
    /// Makes one, with `lo` up.
    pub fn new() -> Self {
        let child = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up; echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut namespace = Self(child);
        let mut ready = [0];
        let stdout = namespace.0.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(stdout, &mut ready).expect("the namespace is ready");
        namespace
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Runs a shell command in it.
    pub fn sh(&self, command: &str) -> String {
        sh(&format!("exec nsenter -n -t {} sh -ec '{command}'", self.pid()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The settings of the tests.
pub fn settings() -> Settings {
    Settings {
        tun: "l3roam0".parse().expect("a name"),
        node_address: "2001:db8:ffff::1".parse().expect("an address"),
        node_client_prefix: "fec0::/64".parse().expect("a prefix"),
        metric: 16,
        drain_metric: None,
        protocols: Protocols::default(),
        sources: Sources::default(),
    }
}

/// Opens a kernel side.
pub async fn open() -> Kernel {
    open_with(settings()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Opens a kernel side with settings.
pub async fn open_with(settings: Settings) -> Result<Kernel, KernelError> {
    Kernel::open(settings).await
}

/// Waits for an event that `wanted` gives something for.
pub async fn wait_for<T>(kernel: &mut Kernel, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = kernel.next().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the event comes")
}

/// The same for a fact.
pub async fn wait_for_input<T>(kernel: &mut Kernel, mut wanted: impl FnMut(&Input) -> Option<T>) -> T {
    wait_for(kernel, |event| match event {
        Event::Input(input) => wanted(input),
        _ => None,
    })
    .await
}

/// The number of an interface.
pub fn index_of(name: &str) -> IfIndex {
    IfIndex(sh(&format!("ip -o link show {name} | cut -d: -f1")).trim().parse().expect("an index"))
}

/// Makes an interface that is up and has nobody behind it (a veth: not every kernel has dummies).
pub fn dummy(name: &str) -> IfIndex {
    sh(&format!(
        "ip link add {name} type veth peer name {name}-end; ip link set {name}-end up; ip link set {name} up"
    ));
    index_of(name)
}

/// A host route.
pub fn host(address: &str, interface: IfIndex, table: u32) -> HostRoute {
    HostRoute { address: ip(address), kind: RouteKind::Served(interface), table }
}

/// A neighbour entry of the client.
pub fn neighbour(address: &str, interface: IfIndex) -> Neighbour {
    Neighbour { interface, address: ip(address), client: CLIENT }
}

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
