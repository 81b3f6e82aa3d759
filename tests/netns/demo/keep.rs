//! The mesh stays until it is told to end: how to look around in it, a command line, and LuCI's status page of each node.

use std::io::BufRead;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::{Bridge, Daemon as Source};
use crate::demo::journal::Part;
use crate::demo::stage::{NODES, Stage, milliseconds};
use crate::demo::sys as own;
use crate::demo::traffic::SETTLED;
use crate::measure::eventually;
use crate::peer::Peer;
use crate::sys;
use crate::watch::{SERVED, What};

/// The descriptor and the port of each listening socket.
const SOCKETS: &str = "L3ROAMD_DEMO_SOCKETS";
/// What enters the mount namespace from outside, and where its root is.
const ENTER: &str = "L3ROAMD_DEMO_ENTER";
const ROOT: &str = "L3ROAMD_DEMO_ROOT";
/// The port of the first node's page, where it is free.
const PORT: u16 = 8158;
/// Packets are remembered for so long.
const MEMORY: Duration = Duration::from_secs(60);
/// A roam is counted for so long after it.
const AFTER: Duration = Duration::from_secs(2);
/// Where the page is.
const STATUS: &str = "admin/status/l3roamd";

const COMMANDS: &str =
    "  move phone c            the phone goes to c; move printer away takes it out of reach
  clients                 where the clients are, and who serves them
  kill c, start c         ends l3roamd at c without a farewell, starts it again
  freeze c, thaw c        the routing daemon of c stands still, goes on
  ask c get_clients       a request to l3roamd's control socket at c
  call c get_handovers    a call of the object l3roamd on the bus of c; arguments as JSON behind it
  help, quit";

/// What the process inside of the namespaces is given: sockets that listen outside, and how the namespaces are entered.
pub fn gifts() -> Vec<(&'static str, String)> {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port));
    let wanted = (0..NODES).zip(PORT..);
    let sockets: Vec<String> = wanted
        .filter_map(|(_, port)| listen(port).or_else(|_| listen(0)).ok())
        .filter_map(|listener| {
            let port = listener.local_addr().ok()?.port();
            Some(format!("{}:{port}", own::bequeath(listener)))
        })
        .collect();
    // This process becomes unshare, which stays, under the same number.
    let number = std::process::id();
    let user = if sys::is_root() { "" } else { " -U --preserve-credentials" };
    vec![
        (SOCKETS, sockets.join(" ")),
        (ENTER, format!("nsenter -t {number}{user} -m")),
        (ROOT, format!("/proc/{number}/root")),
    ]
}

/// A socket that listens outside, and its port.
pub type Outside = (TcpListener, String);

/// The sockets that were given, before any other program is started that would have them too.
pub fn inherited() -> Vec<Outside> {
    let sockets = std::env::var(SOCKETS).unwrap_or_default();
    let taken = sockets.split(' ').filter_map(|pair| {
        let (descriptor, port) = pair.split_once(':')?;
        Some((own::inherit(descriptor.parse().ok()?), port.to_owned()))
    });
    taken.collect()
}

/// Serves the page of each node as far as there are sockets. Their addresses.
fn serve(stage: &Stage, sockets: Vec<Outside>) -> Vec<String> {
    let hints = stage.guests.iter().map(|guest| {
        (
            guest.client.mac.to_string().to_uppercase(),
            json!({ "name": guest.name, "ipaddrs": [], "ip6addrs": [] }),
        )
    });
    let hints = Value::Object(hints.collect());
    stage
        .buses
        .iter()
        .zip(sockets)
        .map(|(bus, (listener, port))| {
            let bridge = Bridge::serve(listener, Source::Bus(bus.clone()), Some(STATUS));
            bridge.world().router.hints = hints.clone();
            format!("http://127.0.0.1:{port}/")
        })
        .collect()
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|place| place.join(program).is_file())
}

/// How a program of this machine sends a request to a control socket.
fn request(socket: &str) -> String {
    if installed("socat") {
        format!("echo get_clients | socat - UNIX:{socket}")
    } else if installed("python3") {
        format!(
            "python3 -c 'import socket as s; c = s.socket(s.AF_UNIX); c.connect(\"{socket}\"); c.send(b\"get_clients\\n\"); print(c.makefile().read())'"
        )
    } else {
        format!("echo get_clients | nc -U {socket}     # of netcat-openbsd; or socat - UNIX:SOCKET")
    }
}

/// All ways to look around.
fn guide(stage: &Stage, pages: &[String]) -> String {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (enter, root) = (variable(ENTER), variable(ROOT));
    let (control, bus) = (stage.daemons()[0].socket().display().to_string(), stage.buses[0].display());
    let named: Vec<String> =
        stage.lab.nodes.iter().zip(pages).map(|(node, page)| format!("{node}  {page}")).collect();
    let mut text = String::from("\nThe mesh stays until you press Ctrl-C here. Traffic goes on.\n\n");
    if !named.is_empty() {
        text += &format!(
            "LuCI's status page of each node, for a browser on this machine:\n  {}\n\n",
            named.join("\n  ")
        );
    }
    text += &format!(
        "In another terminal, as the same user (instead of a: b, c, d, corr, client1, client2):\n  \
         {enter} ip netns exec a bash\n  \
         {enter} ip netns exec a ip -6 route show proto 158\n  \
         {enter} ip netns exec corr ping 2001:db8:c::1:1\n  {}\n",
        request(&format!("{root}{control}"))
    );
    let ubus = format!("ubus -s {root}{bus} call l3roamd get_clients");
    text += &match installed("ubus") {
        true => format!("  {ubus}\n"),
        false => format!("  {ubus}     # where OpenWrt's ubus is installed; here it is not\n"),
    };
    text + "\nHere, as lines on standard input:\n" + COMMANDS
}

/// Serves, explains, obeys. Ends when told to; a signal ends the process.
pub fn stay(stage: &Stage, sockets: Vec<Outside>) {
    let pages = serve(stage, sockets);
    stage.screen.print(&guide(stage, &pages));
    let lines = lines();
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) if line.trim() == "quit" => return,
            Ok(line) => match obey(stage, &line) {
                Ok(text) => stage.screen.print(&text),
                Err(why) => stage.screen.print(&format!("{why}; try help")),
            },
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody types: the mesh stays all the same.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_secs(1)),
        }
        for guest in &stage.guests {
            guest.traffic.forget(sys::now().saturating_sub(MEMORY));
        }
    }
}

fn lines() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn node(stage: &Stage, word: Option<&str>) -> Result<usize, String> {
    let word = word.unwrap_or_default();
    let found = stage.lab.nodes.iter().position(|name| name == word);
    found.ok_or_else(|| format!("no node is called {word:?}"))
}

fn obey(stage: &Stage, line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let Some(command) = words.next() else { return Ok(String::new()) };
    let first = words.next();
    match command {
        "help" => Ok(COMMANDS.into()),
        "clients" => Ok(clients(stage)),
        "move" => move_one(stage, first.unwrap_or_default(), words.next()),
        "kill" if stage.is_out(node(stage, first)?, Part::Daemon) => Err("it is dead already".into()),
        "kill" => node(stage, first).map(|node| stage.kill(node)).map(|()| String::new()),
        "start" if !stage.is_out(node(stage, first)?, Part::Daemon) => Err("it runs".into()),
        "start" => node(stage, first).map(|node| stage.restart(node)).map(|()| String::new()),
        "freeze" if stage.is_out(node(stage, first)?, Part::Routing) => Err("it stands still already".into()),
        "freeze" => node(stage, first).map(|node| stage.freeze(node)).map(|()| String::new()),
        "thaw" => node(stage, first).map(|node| stage.thaw(node)).map(|()| String::new()),
        "ask" => {
            let node = node(stage, first)?;
            let request: Vec<&str> = words.collect();
            let answer = stage.daemons()[node].ask(&request.join(" ")).ok_or("nobody listens")?;
            Ok(pretty(&answer))
        }
        "call" => {
            let node = node(stage, first)?;
            let method = words.next().ok_or("call what?")?;
            let arguments: Vec<&str> = words.collect();
            call(&stage.buses[node], method, &arguments.join(" "))
        }
        other => Err(format!("unknown command {other:?}")),
    }
}

fn pretty(answer: &str) -> String {
    match serde_json::from_str::<Value>(answer) {
        Ok(value) => format!("{value:#}"),
        Err(_) => answer.trim_end().to_owned(),
    }
}

fn call(bus: &Path, method: &str, arguments: &str) -> Result<String, String> {
    let arguments = if arguments.is_empty() { "{}" } else { arguments };
    let arguments: Value = serde_json::from_str(arguments).map_err(|error| format!("arguments: {error}"))?;
    if !arguments.is_object() {
        return Err("arguments: not an object".into());
    }
    let mut peer = Peer::new(bus);
    peer.lookup("l3roamd").ok_or("no l3roamd is on that bus")?;
    let reply = peer.call("l3roamd", method, &arguments).map_err(|status| format!("ubus status {status}"))?;
    Ok(format!("{:#}", Value::Object(reply)))
}

fn clients(stage: &Stage) -> String {
    let now = sys::now().saturating_sub(SETTLED);
    let tell = |index: usize| {
        let guest = &stage.guests[index];
        let tally = guest.traffic.tally(now.saturating_sub(Duration::from_secs(5)), now);
        let place = stage.journal().place(index).map_or("nowhere", |node| stage.lab.nodes[node].as_str());
        format!(
            "  the {} ({}, {}) is at {place}; last 5 s: {} packets sent, {} lost, gap {}",
            guest.name,
            guest.client.mac,
            guest.client.v6,
            tally.sent,
            tally.lost,
            milliseconds(tally.gap)
        )
    };
    (0..stage.guests.len()).map(tell).collect::<Vec<_>>().join("\n")
}

fn move_one(stage: &Stage, name: &str, place: Option<&str>) -> Result<String, String> {
    let guest = stage.guests.iter().position(|guest| guest.name == name);
    let guest = guest.ok_or_else(|| format!("no client is called {name:?}"))?;
    if place == Some("away") {
        stage.guests[guest].client.roam(None);
        return Ok(format!("The {name} is out of reach."));
    }
    let node = node(stage, place)?;
    if stage.lab.watch.has(node, What::Route(SERVED), stage.guests[guest].client.v6) {
        return Err(format!("the {name} is there"));
    }
    let from = sys::now();
    stage.roam(guest, node);
    let until = from + AFTER;
    eventually(AFTER + SETTLED, || sys::now() >= until + SETTLED);
    let tally = stage.guests[guest].traffic.tally(from, until);
    Ok(format!(
        "In the {} s since: {} packets sent, {} lost, {} on the air, gap {}.",
        AFTER.as_secs(),
        tally.sent,
        tally.lost,
        tally.on_air,
        milliseconds(tally.gap)
    ))
}
