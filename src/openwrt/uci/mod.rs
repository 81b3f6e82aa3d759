//! UCI: the configuration as OpenWrt keeps it.
//!
//! Read by a parser of our own, which makes of a file what libuci makes of it: libuci would mix in what nobody has committed (`/tmp/.uci`), and is not
//! on every machine. [`table`] has a row for each option; of it the schema and the default configuration are made.

pub mod field;
pub mod parser;
mod problem;
pub(crate) mod settings;
pub mod table;

use std::io::{self, Read as _};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use crate::engine::config::node_address;
use parser::{Package, Value};
pub use problem::Problem;
pub use settings::{Devices, InterfaceRef, Network, Networks, NoNetworks, Settings};

/// Our configuration file.
const PACKAGE: &str = "l3roamd";
/// The file that says what netifd does.
const NETWORK: &str = "network";
/// Larger files are no configuration.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where configuration files are. Only what is committed is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directories {
    /// A file here precedes one of the same name in `second`.
    pub first: Option<PathBuf>,
    /// The usual place.
    pub second: PathBuf,
}

impl Default for Directories {
    /// As libuci has it.
    fn default() -> Self {
        Self { first: Some(PathBuf::from("/var/run/uci")), second: PathBuf::from("/etc/config") }
    }
}

impl Directories {
    /// Everything in one directory.
    pub fn only(directory: &Path) -> Self {
        Self { first: None, second: directory.to_owned() }
    }

    /// The file of this name that counts.
    fn file(&self, name: &str) -> PathBuf {
        let first = self.first.as_ref().map(|directory| directory.join(name)).filter(|file| file.exists());
        first.unwrap_or_else(|| self.second.join(name))
    }

    /// Reads our configuration. Never fails: where something is wrong, that part has its defaults, and what was wrong is told.
    pub fn load(&self) -> (Settings, Vec<Problem>) {
        let mut settings = Settings::of_uci();
        let file = self.file(PACKAGE);
        let problems = match read(&file) {
            Ok(package) => settings.take(&package, &file),
            Err(problem) => vec![problem],
        };
        (settings, problems)
    }

    /// The address that netifd is told to give this node: the node address where nothing else is said.
    ///
    /// # Errors
    /// Where the configuration of netifd cannot be read, or has none.
    pub fn address_of_loopback(&self) -> Result<Ipv6Addr, Problem> {
        address_of_loopback(&read(&self.file(NETWORK))?).ok_or_else(|| self.no_node_address())
    }

    /// That there is no node address.
    fn no_node_address(&self) -> Problem {
        Problem::Missing {
            file: self.file(PACKAGE),
            section: "main",
            option: "node_address",
            expected: "the IPv6 address of this node such as 2001:db8::1, or an ip6addr of interface 'loopback' in /etc/config/network",
            dispensable: false,
        }
    }

    /// That there is no client prefix.
    pub fn no_prefix(&self) -> Problem {
        Problem::Missing {
            file: self.file(PACKAGE),
            section: "main",
            option: "prefix",
            expected: "a client prefix such as 2001:db8:1::/64: no client is served",
            dispensable: true,
        }
    }
}

/// Reads the configuration file `file`.
fn read(file: &Path) -> Result<Package, Problem> {
    let unreadable = |problem: String| Problem::Unreadable { file: file.to_owned(), problem };
    let load = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if !std::fs::metadata(file)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        std::fs::File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = load().map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("more than {MAX_BYTES} bytes")));
    }
    parser::parse(&bytes).map_err(|error| Problem::Syntax {
        file: file.to_owned(),
        line: error.line,
        problem: error.problem,
    })
}

/// The first address of netifd's interface `loopback` that other nodes can know.
fn address_of_loopback(network: &Package) -> Option<Ipv6Addr> {
    let values = match network.section("loopback")?.option("ip6addr")? {
        Value::One(value) => std::slice::from_ref(value),
        Value::Many(values) => values.as_slice(),
    };
    values.iter().flat_map(|value| value.split(u8::is_ascii_whitespace)).find_map(|address| {
        let address = std::str::from_utf8(address).ok()?;
        node_address(address.split_once('/').map_or(address, |(address, _)| address)).ok()
    })
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
