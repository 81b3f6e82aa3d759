//! What monitoring sees of a real daemon: the collector for prometheus-node-exporter-lua, and the scripts of README.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::Client;
use crate::lab::{Lab, Plan};
use crate::manual;
use crate::measure::{LIMIT, Outcome, Trouble, eventually, measure, must};
use crate::roam::{attach, served_by};
use crate::routing::manual as block;
use crate::ubus::Site;
use crate::{Needs, Test, isolate};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("every_counter_of_the_daemon_reaches_prometheus_as_the_manual_says", Needs::Lua, every_counter),
    ("the_collector_bears_a_daemon_that_is_stopped_and_any_answer", Needs::Lua, any_answer),
    ("the_manuals_collectd_and_telegraf_are_told_every_counter", Needs::Ubus, scripts),
];

const COLLECTOR: &str = "openwrt-package/prometheus-node-exporter-lua-l3roamd/files/usr/lib/lua/prometheus-collectors/l3roamd.lua";
/// What the collector asks for.
const METHODS: [&str; 5] = ["get_status", "get_statistics", "get_interfaces", "get_peers", "get_handovers"];

/// Whether what the scripts call is there.
pub fn has_ubus() -> bool {
    let prefix = PathBuf::from(std::env::var_os("L3ROAMD_UBUS_PREFIX").unwrap_or_default());
    ["bin/ubus", "bin/jshn", "share/libubox/jshn.sh"].iter().all(|file| prefix.join(file).is_file())
}

/// A time series: its labels.
type Labels = BTreeMap<String, String>;

/// A metric: its type, and its values by labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    values: BTreeMap<Labels, f64>,
}

/// A client has come from another node; the daemon that has it now.
fn roamed(lab: &mut Lab) -> Result<(Site, Client), Trouble> {
    let site = Site::new(lab);
    let client = Client::new(lab, 1);
    let last = lab.nodes.len() - 1;
    attach(lab, &client, true, 0)?;
    lab.await_mesh_route(last, client.node_client().into());
    client.roam(Some(last));
    client.ask_gateway(true);
    let served = eventually(LIMIT, || served_by(lab, &client, true, last));
    must(served, "not handed over")?;
    Ok((site, client))
}

fn every_counter() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let (site, client) = roamed(&mut lab)?;
    let mut peer = site.peer(lab.nodes.len() - 1);
    let mut replies = BTreeMap::new();
    for method in METHODS {
        let reply = peer.call("l3roamd", method, &json!({}));
        let reply = reply.map_err(|status| Trouble::Broken(format!("{method}: status {status}")))?;
        replies.insert(method, Value::Object(reply));
    }
    let text = scrape(Some(&replies))?;
    let families = exposition(&text)?;
    measure("Prometheus is told", format!("{} metrics, {} lines", families.len(), text.lines().count()));
    for secret in [client.mac.to_string(), client.v6.to_string(), client.node_client().to_string()] {
        must(!text.contains(&secret), format!("{secret} is told:\n{text}"))?;
    }
    for (table, counts) in tables(&replies["get_statistics"]) {
        for (name, count) in counts {
            let (metric, labels) = place(&table, &name);
            let told = families.get(metric.as_str()).and_then(|family| family.values.get(&labels));
            must(told == Some(&count), format!("{table} {name} is {count}, {metric}{labels:?} is {told:?}"))?;
        }
    }
    let value = |metric: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        families.get(metric).and_then(|family| family.values.get(&labels)).copied()
    };
    for (metric, labels, should) in [
        ("l3roamd_up", &[][..], 1.0),
        ("l3roamd_clients", &[], 1.0),
        ("l3roamd_handovers_total", &[("direction", "incoming")], 1.0),
        ("l3roamd_peers", &[("daemon", "l3roamd")], 1.0),
        ("l3roamd_interface_usable", &[("interface", "mesh1"), ("role", "mesh")], 1.0),
        ("l3roamd_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        let is = value(metric, labels);
        must(is == Some(should), format!("{metric}{labels:?} is {is:?}, not {should}:\n{text}"))?;
    }
    let worst = value("l3roamd_handover_seconds", &[("direction", "incoming"), ("statistic", "worst")]);
    must(worst.is_some_and(|worst| worst > 0.0 && worst < 3.0), format!("the handover took {worst:?} s"))?;
    let is: BTreeSet<String> = families.iter().map(|(name, family)| described(name, family)).collect();
    let should = manual_metrics();
    must(is == should, format!("told: {is:#?}\nthe manual: {should:#?}"))
}

/// A line of the manual's table: name, type, names of the labels.
fn described(name: &str, family: &Family) -> String {
    let labels: BTreeSet<&str> =
        family.values.keys().flat_map(|labels| labels.keys()).map(String::as_str).collect();
    format!("{name} {} {labels:?}", family.kind)
}

fn manual_metrics() -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    for row in manual::table("| metric |") {
        let labels: BTreeSet<&str> = manual::words(&row[2]).collect();
        metrics.extend(manual::words(&row[0]).map(|name| format!("{name} {} {labels:?}", row[1])));
    }
    metrics
}

/// Where the collector has to put a counter of `get_statistics`.
fn place(table: &str, name: &str) -> (String, Labels) {
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    };
    let (group, rest) = name.split_once('_').unwrap_or((name, ""));
    let (metric, labels) = match (table, group) {
        ("drops", _) => ("drops", labels(&[("reason", name)])),
        ("kernel", _) => ("kernel_events", labels(&[("event", name)])),
        ("ubus", _) => ("ubus_events", labels(&[("event", name)])),
        (_, "drop") => ("drops", labels(&[("reason", rest)])),
        _ if l3roamd::engine::stats::Counter::ALL
            .iter()
            .any(|counter| counter.name() == name && counter.drop_reason().is_some()) =>
        {
            ("drops", labels(&[("reason", name)]))
        }
        (_, "handover") => ("handovers", labels(&[("direction", rest)])),
        (_, "relay") => ("relay_packets", labels(&[("step", rest)])),
        (_, "seek" | "claim" | "info" | "ack") if ["sent", "received"].contains(&rest) => {
            ("intercom_packets", labels(&[("direction", rest), ("type", group)]))
        }
        _ => ("events", labels(&[("event", name)])),
    };
    (format!("l3roamd_{metric}_total"), labels)
}

/// The tables of `get_statistics`, and the numbers in them.
fn tables(statistics: &Value) -> BTreeMap<String, BTreeMap<String, f64>> {
    let numbers = |table: &Value| -> BTreeMap<String, f64> {
        let entries = table.as_object().into_iter().flatten();
        entries.filter_map(|(name, count)| Some((name.clone(), count.as_f64()?))).collect()
    };
    let entries = statistics.as_object().into_iter().flatten();
    entries.map(|(name, table)| (name.clone(), numbers(table))).collect()
}

fn any_answer() -> Outcome {
    let stopped = "# TYPE l3roamd_up gauge\nl3roamd_up 0\n";
    let none = BTreeMap::new();
    for (what, replies) in [("no bus", None), ("no object", Some(&none))] {
        let text = scrape(replies)?;
        must(text == stopped, format!("{what}: {text}"))?;
    }
    // A name that somebody chose, numbers that are none, and what is missing or of another type.
    let name = "a\"b\\c\nd";
    let interfaces = json!({ "interfaces": [{ "name": name, "role": "mesh", "usable": false }] });
    let wrong = [json!({}), json!([1, "a", null]), json!({ "counters": 5, "drops": [[]], "peers": ["a"] })];
    for wrong in wrong {
        for broken in METHODS {
            let replies = METHODS.into_iter().map(|method| (method, json!({}))).collect();
            let mut replies: BTreeMap<&str, Value> = replies;
            replies.insert("get_interfaces", interfaces.clone());
            let handover = json!({ "outcome": "completed", "age_ms": "a", "duration_ms": {} });
            replies.insert("get_handovers", json!({ "handovers": [handover, 5] }));
            replies.insert(broken, wrong.clone());
            let families = exposition(&scrape(Some(&replies))?)?;
            let told =
                families.get("l3roamd_interface_usable").and_then(|family| family.values.keys().next());
            let told = told.and_then(|labels| labels.get("interface"));
            let right = broken == "get_interfaces" || told.is_some_and(|told| told == name);
            must(right, format!("{broken} answers {wrong}: the interface is {told:?}"))?;
        }
    }
    Ok(())
}

/// What the collector prints where the daemon answers so.
fn scrape(replies: Option<&BTreeMap<&str, Value>>) -> Result<String, Trouble> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("lua5.1");
    command.arg(tree.join("tests/netns/exporter.lua")).arg(tree.join(COLLECTOR));
    if let Some(replies) = replies {
        let path = Path::new(isolate::RUN).join("replies.lua");
        std::fs::create_dir_all(isolate::RUN).expect("a directory");
        let table = replies.iter().map(|(method, reply)| ((*method).to_owned(), reply.clone())).collect();
        std::fs::write(&path, format!("return {}\n", lua(&Value::Object(table)))).expect("a file");
        command.arg(path);
    }
    let output = command.output().expect("lua5.1");
    let error = String::from_utf8_lossy(&output.stderr);
    must(output.status.success() && error.is_empty(), format!("the collector: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A value as libubus hands it to Lua.
fn lua(value: &Value) -> String {
    let text = |text: &str| {
        let bytes = text.bytes().fold(String::new(), |mut all, byte| {
            let _ = write!(all, "\\{byte:03}");
            all
        });
        format!("\"{bytes}\"")
    };
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(word) => text(word),
        Value::Array(list) => format!("{{{}}}", list.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Object(table) => {
            let entry = |(name, value): (&String, &Value)| format!("[{}]={}", text(name), lua(value));
            format!("{{{}}}", table.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

/// Reads Prometheus' text format, and refuses what its rules refuse: a type once and before the values, the values of a metric
/// together, no time series twice, `_total` for counters alone.
fn exposition(text: &str) -> Result<BTreeMap<String, Family>, Trouble> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let named = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    for line in text.lines() {
        let wrong = |why: &str| Trouble::Broken(format!("{why}: {line}\n{text}"));
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let fits = kind == if name.ends_with("_total") { "counter" } else { "gauge" };
            must(named(name) && fits, format!("a name that does not fit its type: {line}"))?;
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            must(families.insert(name.to_owned(), family).is_none(), format!("twice: {line}"))?;
            name.clone_into(&mut current);
            continue;
        }
        let (name, rest) = line.split_at(line.find([' ', '{']).ok_or_else(|| wrong("no value"))?);
        must(name == current, format!("out of place: {line}\n{text}"))?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest).ok_or_else(|| wrong("labels"))?,
            None => (Labels::new(), rest),
        };
        let value: f64 = value.trim_start().parse().map_err(|_| wrong("no number"))?;
        let family = families.get_mut(name).ok_or_else(|| wrong("no type before it"))?;
        must(family.values.insert(labels, value).is_none(), format!("twice: {line}"))?;
    }
    let empty = families.iter().find(|(_, family)| family.values.is_empty());
    must(empty.is_none(), format!("without a value: {empty:?}"))?;
    Ok(families)
}

/// What stands behind `{`: the labels, and the rest of the line.
fn read_labels(text: &str) -> Option<(Labels, &str)> {
    let (mut labels, mut rest) = (Labels::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    _ => return None,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        match rest.strip_prefix('}') {
            Some(rest) => return Some((labels, rest)),
            None => rest = rest.strip_prefix(',')?,
        }
    }
}

/// Runs what README.md has for collectd and telegraf, with OpenWrt's own `ubus` and `jshn`.
fn scripts() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let (site, _client) = roamed(&mut lab)?;
    let last = lab.nodes.len() - 1;
    let prefix = PathBuf::from(std::env::var_os("L3ROAMD_UBUS_PREFIX").unwrap_or_default());
    let bin = lab.run.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let wrapper = format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH='{}'\nexec '{}' -s '{}' \"$@\"\n",
        prefix.join("lib").display(),
        prefix.join("bin/ubus").display(),
        site.sockets[last].display()
    );
    let program = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(bin.join(name), text).expect("a program");
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    program("ubus", &wrapper);
    // Once round is enough.
    program("sleep", "#!/bin/sh\necho \"sleep $1\"\nkill $PPID\n");
    let script = block("/usr/libexec/collectd-l3roamd");
    let jshn = "/usr/share/libubox/jshn.sh";
    must(script.contains(jshn), format!("the script does not use {jshn}"))?;
    let script = script.replace(jshn, &prefix.join("share/libubox/jshn.sh").display().to_string());
    let path = format!("{}:{}:/usr/bin:/bin", bin.display(), prefix.join("bin").display());
    let run = |script: &str| {
        // OpenWrt's sh has `export -n`, which jshn uses, as bash has.
        Command::new("bash")
            .args(["-c", script])
            .env("PATH", &path)
            .env("LD_LIBRARY_PATH", prefix.join("lib"))
            .envs([("COLLECTD_INTERVAL", "10.000"), ("COLLECTD_HOSTNAME", "node")])
            .stdin(Stdio::null())
            .output()
            .expect("bash")
    };
    let output = run(&script);
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    must(error.is_empty(), format!("the script says: {error}"))?;
    let mut told = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "sleep 10") {
        let rest = line.strip_prefix("PUTVAL \"node/l3roamd/");
        let parts = rest.and_then(|rest| rest.split_once("\" interval=10.000 N:"));
        let number = parts.and_then(|(name, number)| Some((name.to_owned(), number.parse::<f64>().ok()?)));
        told.extend([number.ok_or_else(|| Trouble::Broken(format!("not for collectd: {line}")))?]);
    }
    must(told.get("gauge-clients") == Some(&1.0), format!("clients: {told:?}"))?;
    must(told.get("derive-handover_incoming") == Some(&1.0), format!("handovers: {told:?}"))?;
    for counter in l3roamd::engine::stats::Counter::ALL {
        let name = format!("derive-{}", counter.name());
        must(told.contains_key(&name), format!("{name} is not told:\n{text}"))?;
    }
    let telegraf = block("/etc/telegraf.conf");
    let command =
        telegraf.lines().find_map(|line| line.trim().strip_prefix("commands = [\"")?.strip_suffix("\"]"));
    let output = run(command.unwrap_or("false"));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let told: Vec<String> = tables(&answer).into_keys().collect();
    must(told == ["counters", "drops", "kernel", "ubus"], format!("telegraf reads {answer}"))?;
    must(answer["counters"]["handover_incoming"] == 1, format!("telegraf reads {answer}"))
}
