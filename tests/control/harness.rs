//! A made-up daemon behind the control socket, on a thread of its own, and clients for it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use l3roamd::control::status::{ClientStatus, ClientsStatus, MeshInterfacesStatus, PrefixesStatus};
use l3roamd::control::{Reply, Request, Server};
use l3roamd::engine::Command;
use l3roamd::engine::client::AddressState;
use l3roamd::engine::config::V4Prefix;
use l3roamd::net::Prefix;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

/// Longer than anything takes that works, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// A path for the socket of one test.
pub fn path(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("l3roamd-control-{}-{test}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A server with a made-up daemon. Stopped when dropped.
pub struct Daemon {
    pub path: PathBuf,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    pub fn start(test: &str) -> Self {
        Self::start_at(path(test))
    }

    pub fn start_at(path: PathBuf) -> Self {
        let (end, ended) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let place = path.clone();
        let thread = thread::spawn(move || {
            runtime().block_on(async move {
                let server = Server::bind(&place).await.unwrap();
                let (sender, requests) = mpsc::channel(64);
                ready.send(()).unwrap();
                tokio::select! {
                    () = server.serve(sender) => {}
                    () = carry_out(requests) => {}
                    _ = ended => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Self { path, end: Some(end), thread: Some(thread) }
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) {
        self.end_thread();
    }

    fn end_thread(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end_thread();
    }
}

async fn carry_out(mut requests: mpsc::Receiver<Request>) {
    while let Some(Request { command, reply }) = requests.recv().await {
        let _ = reply.send(reply_to(&command));
    }
}

fn reply_to(command: &Command) -> Reply {
    let v4_prefix = V4Prefix::default();
    match command {
        Command::GetClients => {
            let addresses = ["2001:db8:1::5", "10.0.0.5", "fe80::5"];
            let client = ClientStatus {
                mac: "02:00:5e:10:00:01".parse().unwrap(),
                interface_name: "br-client".to_owned(),
                addresses: addresses.iter().map(|a| (a.parse().unwrap(), AddressState::Active)).collect(),
                evidence: "frame",
                port: Some("lan1".to_owned()),
                silent: std::time::Duration::from_millis(1500),
            };
            Reply::Clients(ClientsStatus { clients: vec![client], v4_prefix })
        }
        // Large, for what is sent must not matter.
        Command::GetPrefixes => {
            let prefixes =
                (0..40_000u128).map(|n| Prefix::host(IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | n))));
            Reply::Prefixes(PrefixesStatus { prefixes: prefixes.collect(), v4_prefix })
        }
        Command::GetMeshInterfaces => {
            Reply::MeshInterfaces(MeshInterfacesStatus { names: vec!["mesh0".parse().unwrap()] })
        }
        Command::HasRoute(_) => Reply::HostRoute(false),
        _ => Reply::Done,
    }
}

pub fn connect(path: &Path) -> UnixStream {
    let client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.set_write_timeout(Some(LONG)).unwrap();
    client
}

/// Connects without waiting for room in the backlog.
pub fn connect_now(path: &Path) -> io::Result<UnixStream> {
    runtime().block_on(async { tokio::net::UnixStream::connect(path).await?.into_std() })
}

/// One request and its whole answer.
pub fn ask_raw(path: &Path, request: &[u8]) -> Vec<u8> {
    let mut client = connect(path);
    client.write_all(request).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer
}

/// The same as text.
pub fn ask(path: &Path, request: &str) -> String {
    String::from_utf8(ask_raw(path, request.as_bytes())).unwrap()
}

/// Why a server cannot be had at `path`.
pub fn bind_error(path: &Path) -> String {
    runtime().block_on(Server::bind(path)).unwrap_err().to_string()
}
