//! ubusd as a process of its own, so that it can be stopped and killed: the one of the crate `ubusd`, which this program runs as, or
//! the C one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the socket of a process that is a broker.
pub const ROLE: &str = "L3ROAMD_UBUS_BROKER";

/// Which ubusd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// That of the crate.
    Crate,
    /// That of OpenWrt, below this prefix.
    C(PathBuf),
}

/// A running broker and its socket.
pub struct Broker {
    kind: Kind,
    socket: PathBuf,
    child: Option<Child>,
}

/// Runs the broker of the crate until it is killed.
pub fn serve(socket: String) {
    let config = ubusd::Config { socket_path: socket, ..ubusd::Config::default() };
    ubusd::Broker::bind(config).expect("a socket").run().expect("a broker that goes on");
}

impl Broker {
    /// Starts one and waits until it listens.
    pub fn start(kind: Kind, socket: &Path) -> Self {
        let mut broker = Self { kind, socket: socket.to_owned(), child: None };
        broker.restart();
        broker
    }

    /// Starts it again, after its end.
    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let mut command = match &self.kind {
            Kind::Crate => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.env(ROLE, &self.socket);
                command
            }
            Kind::C(prefix) => {
                let mut command = Command::new(prefix.join("sbin/ubusd"));
                command.arg("-s").arg(&self.socket).env("LD_LIBRARY_PATH", prefix.join("lib"));
                command
            }
        };
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ubusd"));
        let begin = Instant::now();
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "ubusd does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it without a farewell.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal by name: STOP, CONT.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("a running broker").id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill");
        assert!(status.success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
