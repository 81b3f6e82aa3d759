//! A daemon that UCI configures: reloaded while packets flow, restarted in place by an option that asks for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::Client;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::lab::{CLIENT_PREFIX, CLIENT_PREFIX4, Lab, NODE_CLIENT_PREFIX, Plan, ip, node_address};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::watch::{SERVED, TABLE_OTHER, What};
use crate::{Needs, Test, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_reload_from_uci_applies_the_difference_and_loses_nothing", Needs::Nothing, reload),
    ("an_option_that_needs_another_process_restarts_the_daemon_in_place", Needs::Nothing, restart),
    ("a_signal_during_a_restart_in_place_is_obeyed", Needs::Nothing, signal_meanwhile),
];

/// The configuration of a node.
struct Configuration {
    directory: PathBuf,
    fixed: String,
}

impl Configuration {
    /// What the arguments of the other tests say, but for what `more` of [`write`](Self::write) says.
    fn new(lab: &Lab, node: usize) -> Self {
        let directory = lab.run.join(format!("uci-{}", lab.nodes[node]));
        std::fs::create_dir_all(&directory).expect("a directory");
        let socket = lab.run.join(format!("{}.sock", lab.nodes[node]));
        let mut fixed = format!(
            "config l3roamd 'main'\n\toption control_socket '{}'\n\toption node_client_prefix '{NODE_CLIENT_PREFIX}'\n\
             \tlist client_interface '{}'\n\toption client_bridge 'br-client'\n\tlist prefix '{CLIENT_PREFIX}'\n\
             \tlist prefix '{CLIENT_PREFIX4}'\n",
            socket.display(),
            lab.client_interface()
        );
        for interface in lab.mesh_interfaces(node) {
            fixed += &format!("\tlist mesh_interface '{interface}'\n");
        }
        // The node address is that of the loopback interface.
        let network = format!("config interface 'loopback'\n\tlist ip6addr '{}/128'\n", node_address(node));
        std::fs::write(directory.join("network"), network).expect("a file");
        Self { directory, fixed }
    }

    /// Commits a configuration as `uci commit` does: a new file over the old one.
    fn write(&self, more: &str) {
        let new = self.directory.join(".l3roamd.new");
        std::fs::write(&new, format!("{}{more}\n", self.fixed)).expect("a file");
        std::fs::rename(new, self.directory.join("l3roamd")).expect("a file over the old one");
    }
}

/// Starts a daemon at node 0 from UCI, those of the other nodes as ever.
fn start(lab: &Lab) -> (Configuration, Vec<Daemon>) {
    let configuration = Configuration::new(lab, 0);
    configuration.write("");
    let mut daemons = vec![start_from(lab, &configuration.directory)];
    daemons.extend((1..lab.nodes.len()).map(|node| Daemon::start(lab, node, Kind::Ours)));
    (configuration, daemons)
}

fn start_from(lab: &Lab, directory: &Path) -> Daemon {
    Daemon::start_with(lab, 0, vec![format!("--uci={}", directory.display())])
}

/// Sends SIGHUP and waits for what follows.
fn reload_until(daemon: &Daemon, what: &str, done: impl FnMut() -> bool) -> Outcome {
    daemon.signal(libc::SIGHUP);
    must(eventually(LIMIT, done), format!("not after a reload: {what}"))
}

/// The flow to a client while something is done: none of its packets is lost.
fn undisturbed(name: &str, client: &Client, work: impl FnOnce() -> Outcome) -> Outcome {
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    std::thread::sleep(Duration::from_millis(500));
    let start = sys::now();
    work()?;
    std::thread::sleep(Duration::from_secs(1));
    let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
    measure(name, format!("{} of {} probes lost, gap {:.1?}", report.lost, report.sent, report.gap));
    bound(report.lost == 0, format!("{} probes lost", report.lost))
}

fn reload() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let client = Client::new(&mut lab, 1);
    let (configuration, daemons) = start(&lab);
    attach(&lab, &client, true, 0)?;
    let (daemon, node) = (&daemons[0], lab.nodes[0].clone());
    let host = client.v6.to_string();
    let other = u32::from(TABLE_OTHER);
    let in_table = |table: u32| ip(&node, &format!("-6 route show table {table} proto 158")).contains(&host);
    undisturbed("reload of prefixes, interfaces, table, timers and limits", &client, || {
        let more =
            "\tlist prefix '10.99.0.0/16'\n\tlist mesh_interface 'mesh7'\n\tlist client_interface 'eth7'\n";
        configuration.write(more);
        reload_until(daemon, "prefixes and interfaces", || {
            let tells = |request: &str, needle: &str| {
                daemon.ask(request).is_some_and(|answer| answer.contains(needle))
            };
            tells("get_meshifs", "mesh7") && tells("get_prefixes", "10.99.0.0")
        })?;
        configuration.write(&format!("{more}config timers 'timers'\n\toption seek_delay '300'\nconfig limits 'limits'\n\toption max_clients '9'"));
        reload_until(daemon, "timers and limits", || daemon.log_end().contains("adjusted=true"))?;
        ip(&node, &format!("-6 rule add table {other} pref 100"));
        configuration.write(&format!("\toption export_table '{other}'"));
        reload_until(daemon, "the other table", || in_table(other) && !in_table(254))?;
        // A bad configuration changes nothing.
        configuration.write("\toption export_table '78'\n\toption metric '0'");
        reload_until(daemon, "refusal", || daemon.log_end().contains("'0' is not a number from 1 to 65534"))?;
        must(in_table(other), "the table changes though the configuration is refused")?;
        configuration.write("");
        reload_until(daemon, "table 254", || in_table(254) && !in_table(other))?;
        let meshes = daemon.ask("get_meshifs").unwrap_or_default();
        must(!meshes.contains("mesh7"), format!("mesh7 is left: {meshes}"))
    })?;
    must(daemon.manages(client.mac, client.v6.into()), "the client is lost")
}

fn restart() -> Outcome {
    const CROWD: u32 = 50;
    let mut lab = Lab::new(Plan::default());
    let client = Client::new(&mut lab, 1);
    let crowd = Crowd::new(&mut lab, CROWD);
    let (configuration, mut daemons) = start(&lab);
    crowd.roam(Some(0));
    attach(&lab, &client, true, 0)?;
    crowd.ask_gateway_each(0..CROWD, 500);
    let all = CROWD as usize + 1;
    let learned = eventually(LIMIT, || lab.watch.count(0, What::Route(SERVED)) == all);
    must(learned, "not all clients have a route before the restart")?;
    let node = lab.nodes[0].clone();
    let open = daemons[0].descriptors();
    let managed = |daemon: &Daemon| {
        daemon.manages(client.mac, client.v6.into())
            && (0..CROWD).all(|index| daemon.manages(crowd::mac(index), crowd::v6(index).into()))
    };
    undisturbed("restart in place for metric", &client, || {
        configuration.write("\toption metric '20'");
        reload_until(&daemons[0], "routes of metric 20 alone", || {
            let routes = ip(&node, "-6 route show proto 158");
            let ours: Vec<&str> = routes.lines().filter(|line| line.starts_with("2001:db8:c::")).collect();
            ours.len() >= all && ours.iter().all(|line| line.contains("metric 20 "))
        })?;
        must(eventually(LIMIT, || managed(&daemons[0])), "not all clients are managed again")
    })?;
    must(daemons[0].log_end().contains("option=metric"), "the log does not say why it restarted")?;
    undisturbed("restart in place for capture_device", &client, || {
        configuration.write("\toption metric '20'\n\toption capture_device 'capture7'");
        reload_until(&daemons[0], "the new device alone", || {
            let links = ip(&node, "link show");
            links.contains("capture7") && !links.contains("l3roam0")
        })?;
        must(eventually(LIMIT, || managed(&daemons[0])), "not all clients are managed again")
    })?;
    must(daemons[0].running(), "the process has ended")?;
    let now = daemons[0].descriptors();
    must(now <= open, format!("{open} descriptors before, {now} after two restarts"))?;
    client.roam(Some(2));
    client.ask_gateway(true);
    must(eventually(LIMIT, || served_by(&lab, &client, true, 2)), "not handed over afterwards")?;
    daemons[0].signal(libc::SIGTERM);
    let status = daemons[0].wait(LIMIT);
    must(status.is_some_and(|status| status.success()), format!("ends with {status:?}"))
}

fn signal_meanwhile() -> Outcome {
    let lab = Lab::new(Plan { nodes: 2, ..Plan::default() });
    let configuration = Configuration::new(&lab, 0);
    let turns = if crate::long() { 20 } else { 8 };
    for after in (0..turns).map(|turn| Duration::from_millis(10) * turn / turns) {
        configuration.write("");
        let mut daemon = start_from(&lab, &configuration.directory);
        configuration.write("\toption metric '20'");
        daemon.signal(libc::SIGHUP);
        std::thread::sleep(after);
        daemon.signal(libc::SIGTERM);
        let status = daemon.wait(LIMIT);
        must(
            status.is_some_and(|status| status.success()),
            format!("{after:?} after SIGHUP SIGTERM: ends with {status:?}"),
        )?;
        for protocol in [158, 159, 160] {
            let routes = ip(&lab.nodes[0], &format!("-6 route show table all proto {protocol}"));
            must(routes.is_empty(), format!("routes of protocol {protocol} are left: {routes}"))?;
        }
    }
    Ok(())
}
