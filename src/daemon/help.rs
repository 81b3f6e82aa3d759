//! The help text.

use std::fmt::Write as _;

use crate::engine::command::{Argument, COMMANDS};

const OPTIONS_HELP: &str = "\
Usage: l3roamd -a <address> -p <prefix> [option]...

  -a <address>         IPv6 address of this node (mandatory)
  -b <bridge>          bridge that the clients are on, where -i is not that bridge
  -c <file>            commands, one on each line, '#' begins a comment; SIGHUP applies what changed in it
  -d, -v               log state transitions
  -e <prefix>          PLAT prefix that this node announces, a /96
  -i <interface>       client interface (may be repeated)
  -m <interface>       mesh interface (may be repeated)
  -n <interface>       CLAT interface
  -p <prefix>          client prefix of either family (mandatory, may be repeated)
  -P <prefix>          node-client prefix, at most /64 (default fec0::/64)
  -s <path>            control socket
  -t <table>           routing table for host routes (default 254)
  -4 <prefix>          prefix that stands for IPv4 between nodes, a /96 (default ::ffff:0:0/96)
  -D <name>            name of the capture TUN (default l3roam0)
  -h, --help           this text
  -V, --version        the version
  --drain-metric <n>   add a second drained route of this metric
  --log-addresses      show MACs and addresses of clients in logs
  --metric <number>    metric of host routes (default 16)
  --no-hostapd         do not learn clients from what hostapd says on ubus
  --no-ndp             do not learn clients from neighbour discovery and ARP
  --no-netlink         do not learn clients from neighbour tables and forwarding databases
  --no-nl80211         do not learn clients from access points
  --no-ubus            do not offer the object l3roamd on ubus
  --node-prefix <p>    prefix of node addresses that the mesh announces as a whole (may be repeated)
  --overlap <s>        how long a client's route stays, drained, after it went to another node (default 0, with --uci 10)
  --protocols <s,d,p>  protocol numbers of host routes, drained ones, and prefix routes (default 158,159,160)
  --seek-delay <ms>    how long an unknown address is looked for here before the mesh is asked
  --ubus-socket <path> where ubusd listens, where that is not the usual place
  --uci[=<directory>]  read the UCI configuration l3roamd, from /var/run/uci or /etc/config where no directory is
                       given; -a and -p are not mandatory then. Other options add to its lists and replace what else
                       it says. SIGHUP applies what changed in it

Commands, each an option --<name> \"<arguments>\" too, a line of the command file and a request on the control socket:
";

/// The help text.
pub fn usage() -> String {
    let mut text = OPTIONS_HELP.to_owned();
    for spec in COMMANDS {
        let mut left = spec.name.to_owned();
        for argument in spec.arguments {
            left.push_str(match argument {
                Argument::Interface => " <interface>",
                Argument::Prefix => " <prefix>",
                Argument::Table => " <table>",
                Argument::Address => " <address>",
                Argument::Client => " <mac>",
                Argument::LogLevel => " <level>",
                Argument::Timeout => " [<ms>]",
            });
        }
        // Writing to a String does not fail.
        let _ = write!(text, "  {left:<38} {}", spec.help);
        if let Some(c_name) = spec.c_name.filter(|c_name| *c_name != spec.name) {
            let _ = write!(text, " ({c_name})");
        }
        text.push('\n');
    }
    text
}
