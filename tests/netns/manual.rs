//! README.md against the daemon: what it shows of replies, and its tables of methods, notifications, options and commands.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use l3roamd::engine::command::COMMANDS;
use l3roamd::openwrt::object;

use crate::client::Client;
use crate::daemon::Kind;
use crate::lab::{Lab, Plan};
use crate::measure::{LIMIT, Outcome, Trouble, eventually, must};
use crate::roam::{attach, served_by};
use crate::ubus::Site;
use crate::{Needs, Test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("the_manual_shows_replies_and_news_as_the_daemon_gives_them", Needs::Nothing, replies),
    ("the_manual_has_every_method_of_the_object_with_its_arguments", Needs::Nothing, methods),
    ("the_messages_that_the_manual_explains_are_the_daemons", Needs::Nothing, messages),
    ("the_manual_has_every_option_and_every_command", Needs::Nothing, options),
];

const README: &str = include_str!("../../README.md");

/// The rows of the manual's table whose head begins like this, cell by cell.
///
/// # Panics
/// Where there is none.
pub fn table(head: &str) -> Vec<Vec<String>> {
    let rows = README.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "the manual has no table {head}");
    rows
}

/// The words of a text that are marked as code.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What the manual shows as printed by a command: its lines up to the next command.
fn shown(command: &str) -> Result<String, Trouble> {
    let mut lines = README.lines().skip_while(|line| line.strip_prefix("    ") != Some(command)).skip(1);
    let mut text = String::new();
    let own = |line: &&str| line.starts_with("    ") && !line.starts_with("    # ");
    for line in lines.by_ref().take_while(own) {
        text += line.trim_start();
    }
    must(!text.is_empty(), format!("the manual does not show {command}"))?;
    Ok(text)
}

/// The JSON values that it shows there, one after the other.
fn values(command: &str) -> Result<Vec<Value>, Trouble> {
    let text = shown(command)?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>().collect::<Result<_, _>>();
    values.map_err(|error| Trouble::Broken(format!("{command}: {error} in {text}")))
}

/// What is in a reply but its values: the names in tables, the types, the kinds of entries in lists. Of a table by MAC or address, that it is one.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(list) => {
            let kinds: BTreeSet<String> = list.iter().map(shape).collect();
            format!("[{}]", kinds.into_iter().collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let name = |name: &str| if name.contains(':') { "*".to_owned() } else { name.to_owned() };
            let entries: BTreeSet<String> =
                table.iter().map(|(key, value)| format!("{}: {}", name(key), shape(value))).collect();
            format!("{{{}}}", entries.into_iter().collect::<Vec<_>>().join(", "))
        }
    }
}

fn alike(command: &str, shown: &Value, real: &Value) -> Outcome {
    let (is, should) = (shape(shown), shape(real));
    must(is == should, format!("{command}\nthe manual: {is}\nthe daemon: {should}\n{real}"))
}

/// The situation of the manual: a client has come from another node, then a mesh interface was attached that does not exist.
fn replies() -> Outcome {
    let mut lab = Lab::new(Plan { bridge_itself: true, ..Plan::default() });
    let site = Site::new(&lab);
    let client = Client::new(&mut lab, 1);
    let last = lab.nodes.len() - 1;
    let mut news = site.peer(last);
    news.subscribe("l3roamd");
    attach(&lab, &client, true, 0)?;
    lab.await_mesh_route(last, client.node_client().into());
    client.roam(Some(last));
    client.ask_gateway(true);
    let served = eventually(LIMIT, || served_by(&lab, &client, true, last));
    must(served, "not handed over")?;
    let mut peer = site.peer(last);
    let mut call = |method: &str, arguments: Value| {
        let reply = peer.call("l3roamd", method, &arguments);
        reply.map(Value::Object).map_err(|status| Trouble::Broken(format!("{method}: status {status}")))
    };
    let silent = call("get_status", json!({}))?;
    for method in ["get_status", "get_clients", "get_interfaces", "get_peers"] {
        if method == "get_interfaces" {
            call("attach_mesh_interface", json!({ "interface": "mesh7" }))?;
        }
        let command = format!("# ubus call l3roamd {method}");
        let shown = values(&command)?;
        let real = if method == "get_status" { silent.clone() } else { call(method, json!({}))? };
        alike(&command, shown.first().unwrap_or(&Value::Null), &real)?;
        if method == "get_peers" {
            let of = |reply: &Value| reply["peers"][0]["capabilities"].clone();
            must(of(&shown[0]) == of(&real), format!("capabilities are {}", of(&real)))?;
        }
    }
    let command = r#"# ubus call l3roamd seek '{"address":"2001:db8:c::1:1"}'"#;
    let real = call("seek", json!({ "address": client.v6.to_string() }))?;
    alike(command, values(command)?.first().unwrap_or(&Value::Null), &real)?;
    let command = "$ echo get_clients | socat - UNIX:/var/run/l3roamd.sock";
    alike(command, values(command)?.first().unwrap_or(&Value::Null), &site.daemons[last].clients())?;

    let mut told = Map::new();
    while told.len() < 4 || !told.contains_key("interface.changed") {
        let Some((name, data)) = news.notification() else { break };
        told.insert(name, Value::Object(data));
    }
    for entry in values("# ubus subscribe l3roamd")? {
        for (name, data) in entry.as_object().into_iter().flatten() {
            alike(&format!("subscribe: {name}"), data, told.get(name).unwrap_or(&Value::Null))?;
        }
    }
    let rows = table("| notification |");
    for (name, data) in &told {
        let row = rows.iter().find(|row| row[0] == format!("`{name}`"));
        let fields: Vec<&str> = row.map(|row| words(&row[1]).collect()).unwrap_or_default();
        let missing =
            data.as_object().into_iter().flatten().find(|(field, _)| !fields.contains(&field.as_str()));
        must(missing.is_none(), format!("{name}: the manual does not name {missing:?}"))?;
    }
    Ok(())
}

fn methods() -> Outcome {
    let rows = table("| method |");
    let mut manual = BTreeSet::new();
    for row in &rows {
        let arguments: Vec<&str> = words(&row[1]).collect();
        manual.extend(words(&row[0]).map(|name| format!("{name} {arguments:?}")));
    }
    let offered = object::spec(&[]).methods.iter().map(|method| {
        let arguments: Vec<&str> = method.arguments.iter().map(|(name, _)| *name).collect();
        format!("{} {arguments:?}", method.name)
    });
    let offered: BTreeSet<String> = offered.collect();
    must(manual == offered, format!("the manual has {manual:#?}\nthe object {offered:#?}"))
}

fn options() -> Outcome {
    let program = Kind::Ours.program().expect("tests without the program are ignored");
    let help = Command::new(program).arg("--help").output().expect("the daemon");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let end = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let option = |word: &str| Some(word.split(end).next()?.to_owned()).filter(|word| word.starts_with('-'));
    let lines = help.lines().filter(|line| line.starts_with("  -")).map(str::trim);
    let offered: BTreeSet<String> = lines
        .flat_map(|line| line.split("  ").next().unwrap_or_default().split([' ', ',']))
        .filter_map(option)
        .filter(|word| !["--help", "--version"].contains(&word.as_str()))
        .collect();
    let manual: BTreeSet<String> = table("| option |")
        .iter()
        .flat_map(|row| words(&row[0]).filter_map(option).collect::<Vec<_>>())
        .collect();
    must(manual == offered, format!("the manual has {manual:?}\nthe help {offered:?}"))?;
    let commands = README.lines().skip_while(|line| !line.starts_with("**Commands**")).skip(1);
    let commands: String = commands.take_while(|line| !line.starts_with('#')).collect();
    let missing =
        COMMANDS.iter().find(|command| !words(&commands).any(|word| word.starts_with(command.name)));
    must(missing.is_none(), format!("the manual does not name the command {missing:?}"))
}

/// What is quoted as a symptom, and in the advice on clients that are not seen, stands in the sources.
fn messages() -> Outcome {
    let mut sources = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).expect("a source");
            }
        }
    }
    let advice = README.lines().skip_while(|line| !line.starts_with("Why is a client not seen?"));
    let advice: Vec<&str> = advice.take_while(|line| !line.is_empty()).collect();
    let rows = table("| symptom |").concat().join("\n");
    let text = format!("{}\n{rows}", advice.join(" "));
    let quoted: Vec<&str> = words(&text)
        .filter(|phrase| {
            phrase.contains(' ')
                && !["ip ", "ubus ", "service ", "Not found"].iter().any(|c| phrase.starts_with(c))
        })
        .collect();
    must(quoted.len() >= 6, format!("too few messages: {quoted:?}"))?;
    let missing = quoted.iter().find(|phrase| !sources.contains(&phrase.replace("5523", "{0}")));
    must(missing.is_none(), format!("the daemon does not say: {missing:?}"))
}
