//! Every method: what it takes, what it refuses, what it answers.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::control::Reply;
use crate::daemon::options::{Parsed, parse};
use crate::engine::client::AddressState;
use crate::engine::input::{FrameHeard, Input, IntercomReceived, Link, RouteLookup};
use crate::engine::output::{Direction, LeaveReason, Notice};
use crate::net::{IfIndex, Mac};
use crate::wire::frame::FrameContent;
use crate::wire::intercom::{self, Body, Capabilities, Packet, Tail};

const MESH: IfIndex = IfIndex(1);
const BRIDGE: IfIndex = IfIndex(2);
const PORT: IfIndex = IfIndex(3);

/// A daemon without kernel and loop.
struct Bench {
    engine: Engine,
    options: Options,
    facts: Facts,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let arguments =
            "-a fd00::1 -p 2001:db8::/64 -p 10.0.0.0/8 -m mesh0 -m mesh1 -i br-client --log-addresses";
        let Parsed::Run(options) = parse(arguments.split(' ')).unwrap() else { panic!() };
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let mut config = options.config.clone();
        config.mesh_interfaces = names(&["mesh0", "mesh1"]);
        config.client_interfaces = names(&["br-client"]);
        let engine = Engine::new(config, 7, Timestamp::ZERO);
        let facts = Facts { ubus: Some(Connection::default()), ..Facts::default() };
        let mut bench = Self { engine, options: *options, facts, now: Timestamp::ZERO };
        for (index, name, master) in
            [(MESH, "mesh0", None), (BRIDGE, "br-client", None), (PORT, "lan1", Some(BRIDGE))]
        {
            bench.input(Input::LinkSeen(Link {
                index,
                name: name.parse().unwrap(),
                mac: None,
                up: true,
                running: true,
                master,
                bridge: index == BRIDGE,
                peer: None,
            }));
        }
        bench
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while self.engine.poll().is_some() {}
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    fn hears(&mut self, client: Mac, address: IpAddr) {
        let content = FrameContent::Uses(address);
        self.input(Input::FrameHeard(FrameHeard { interface: PORT, source: client, content }));
    }

    fn receives(&mut self, capabilities: Capabilities, body: Body) {
        let sender = "fd00::2".parse().unwrap();
        let packet = Packet { ttl: 1, capabilities, nonce: 77, sender, body };
        let datagram = intercom::emit(&packet);
        let packet = intercom::parse(&datagram);
        let destination = "fd00::1".parse().unwrap();
        self.input(Input::IntercomReceived(IntercomReceived {
            interface: MESH,
            source: sender,
            port: intercom::PORT,
            destination,
            packet,
            datagram,
        }));
        let found = RouteLookup::HostRoute { interface: MESH, protocol: 42 };
        self.input(Input::RouteLookedUp { address: sender.into(), found });
    }

    fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View {
            engine: &self.engine,
            kernel: kernel::Counters::default(),
            options: &self.options,
            facts: &self.facts,
            now: self.now,
        })
    }

    /// The reply to a call that only looks.
    fn call(&self, method: &str, arguments: Value) -> Result<Value, Status> {
        let request = read(method, arguments)?;
        let answered = self.with_view(|view| match &request {
            Request::Command(Command::Report(what)) => outcome(answer(*what, view)),
            request => look(request, view).unwrap(),
        });
        answered.map(Value::Object)
    }

    fn clients(&self, arguments: Value) -> Result<Vec<String>, Status> {
        let reply = self.call("get_clients", arguments)?;
        let clients = reply["clients"].as_array().unwrap().iter();
        Ok(clients.map(|client| client["mac"].as_str().unwrap().to_owned()).collect())
    }
}

fn mac(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac([2, 0, 0x5e, 0x10, high, low])
}

fn v6(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, n))
}

fn table(value: Value) -> Table {
    let Value::Object(table) = value else { panic!("{value}") };
    table
}

fn read(method: &str, arguments: Value) -> Result<Request, Status> {
    let index = spec(&[]).methods.iter().position(|spec| spec.name == method).unwrap();
    read_call(index, &table(arguments))
}

/// Arguments that a method accepts, by what it advertises.
fn examples(method: &MethodSpec) -> Table {
    let example = |name: &str| match name {
        "mac" | "after" => json!("02:00:5E:10:00:01"),
        "interface" => json!("eth0"),
        "prefix" => json!("10.0.0.0/8"),
        "address" => json!("2001:db8::1"),
        "level" => json!("debug"),
        "table" | "limit" | "timeout" => json!(254),
        "networks" => json!(true),
        other => panic!("no example for {other}"),
    };
    method.arguments.iter().map(|(name, _)| ((*name).to_owned(), example(name))).collect()
}

#[test]
fn every_command_is_a_method_under_its_name_in_snake_case() {
    for row in COMMANDS {
        let name = row.name.replace('-', "_");
        let method = SPECS.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("{name}"));
        let request = read(&name, Value::Object(examples(method))).unwrap_or_else(|e| panic!("{name}: {e}"));
        match (row.name, request) {
            ("get-clients", Request::Clients(_)) => {}
            ("get-handovers", Request::Handovers(254)) => {}
            ("get-prefixes", Request::Prefixes) => {}
            (name, Request::Command(command)) => assert_eq!(command.spec().name, name),
            (name, other) => panic!("{name}: {other:?}"),
        }
        if let Some(method) = METHODS.iter().find(|method| method.spec.name == name) {
            if let Read::Command(command) = method.read {
                // `networks` is for the daemon, not for the command.
                let own = method.spec.arguments.iter().filter(|(name, _)| *name != "networks").count();
                assert_eq!((command, own), (row.name, row.arguments.len()));
            }
        }
    }
    assert_eq!(SPECS.len(), COMMANDS.len());
}

#[test]
fn every_argument_of_the_wrong_type_is_refused_and_unknown_ones_are_ignored() {
    for (index, method) in SPECS.iter().enumerate() {
        let good = examples(method);
        let mut more = good.clone();
        more.insert("ubus_rpc_session".to_owned(), json!("00000000000000000000000000000000"));
        more.insert("nonsense".to_owned(), json!([{}]));
        assert_eq!(read_call(index, &more), read_call(index, &good), "{}", method.name);
        for (name, kind) in method.arguments {
            let wrong = match kind {
                ArgumentType::Integer => json!("254"),
                _ => json!(5),
            };
            let truth = if *kind == ArgumentType::Boolean { json!("true") } else { json!(true) };
            for value in [wrong, truth, json!([]), json!({}), json!(1.5), json!(null), json!("")] {
                let mut bad = good.clone();
                bad.insert((*name).to_owned(), value.clone());
                let refused = read_call(index, &bad);
                assert_eq!(refused, Err(Status::InvalidArgument), "{} {name}={value}", method.name);
            }
        }
    }
    assert_eq!(read_call(SPECS.len(), &Table::new()), Err(Status::MethodNotFound));
}

#[test]
fn an_argument_that_must_be_there_is_missed_and_one_out_of_range_is_refused() {
    for (method, arguments) in [
        ("add_prefix", json!({})),
        ("probe", json!({ "mac": "02:00:5e:10:00:01" })),
        ("probe", json!({ "address": "2001:db8::1" })),
        ("set_export_table", json!({})),
        ("set_export_table", json!({ "table": 0 })),
        ("set_export_table", json!({ "table": -1 })),
        ("set_export_table", json!({ "table": 4_294_967_296u64 })),
        ("set_export_table", json!({ "table": u64::MAX })),
        ("drop_client", json!({ "mac": "ff:ff:ff:ff:ff:ff" })),
        ("add_prefix", json!({ "prefix": "fe80::/64" })),
        ("attach_mesh_interface", json!({ "interface": "mesh0 mesh1" })),
        ("seek", json!({ "address": "ff02::1" })),
        ("seek", json!({ "address": "2001:db8::1", "timeout": 0 })),
        ("seek", json!({ "address": "2001:db8::1", "timeout": 9001 })),
        ("set_log_level", json!({ "level": "loud" })),
        ("get_clients", json!({ "limit": 0 })),
        ("get_clients", json!({ "limit": -5 })),
        ("get_handovers", json!({ "limit": 0 })),
    ] {
        assert_eq!(read(method, arguments.clone()), Err(Status::InvalidArgument), "{method} {arguments}");
    }
    let table = |number: Value| read("set_export_table", json!({ "table": number }));
    assert_eq!(table(json!(4_294_967_295u64)), Ok(Request::Command(Command::SetExportTable(u32::MAX))));
    assert_eq!(table(json!(7i64)), Ok(Request::Command(Command::SetExportTable(7))));
    let huge = read("get_handovers", json!({ "limit": u64::MAX }));
    assert_eq!(huge, Ok(Request::Handovers(u32::MAX as usize)));
}

#[test]
fn refusals_have_the_status_that_scripts_expect() {
    let address: IpAddr = v6(1);
    for (reply, expected) in [
        (Reply::Done, Ok(Table::new())),
        (Reply::HostRoute(true), Ok(table(json!({ "stands": true })))),
        (Reply::NotFound, Err(Status::NotFound)),
        (Reply::Failed("the kernel does not answer"), Err(Status::UnknownError)),
        (Reply::Refused(CommandError::UnknownClient(mac(1))), Err(Status::NotFound)),
        (Reply::Refused(CommandError::UnknownAddress(address)), Err(Status::NotFound)),
        (Reply::Refused(CommandError::UnknownPrefix("10.0.0.0/8".parse().unwrap())), Err(Status::NotFound)),
        (Reply::Refused(CommandError::UnknownInterface("a".parse().unwrap(), "mesh")), Err(Status::NotFound)),
        (Reply::Refused(CommandError::OtherRole("a".parse().unwrap(), "mesh")), Err(Status::InvalidArgument)),
        (Reply::Refused(CommandError::OutsidePrefixes(address)), Err(Status::InvalidArgument)),
        (Reply::Refused(CommandError::NoClientInterface), Err(Status::NotSupported)),
        (Reply::Refused(CommandError::Limit("prefixes")), Err(Status::UnknownError)),
    ] {
        assert_eq!(outcome(reply.clone()), expected, "{reply:?}");
    }
}

#[test]
fn get_status_tells_the_daemon_in_a_few_numbers_and_what_is_wrong() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.hears(mac(1), "fe80::1".parse().unwrap());
    bench.facts.problems = vec!["the kernel's state cannot be read or compared"];
    bench.facts.ubus = Some(Connection { connected: true, ..Connection::default() });
    bench.pass_ms(61_900);
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node_address": "fd00::1",
        "uptime": 61,
        "clients": 1,
        "former_clients": 0,
        "addresses": 1,
        "peers": 0,
        "handovers": { "incoming": 0, "outgoing": 0 },
        "waiting": { "packets": 0, "bytes": 0 },
        "export_table": 254,
        "ubus": { "connected": true, "subscribed": false },
        "problems": [
            { "subject": "interface mesh1", "problem": "does not exist" },
            { "subject": "daemon", "problem": "the kernel's state cannot be read or compared" },
        ],
    });
    assert_eq!(bench.call("get_status", json!({})), Ok(expected));
}

/// Node 2 hands client 1 over to us.
fn handed_over() -> Bench {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    let address = bench.options.config.node_client_prefix.node_client_address(mac(1)).into();
    let found = RouteLookup::HostRoute { interface: MESH, protocol: 42 };
    bench.input(Input::RouteLookedUp { address, found });
    bench.pass_ms(12);
    let IpAddr::V6(told) = v6(2) else { panic!() };
    let addresses = vec![told];
    bench.receives(
        Capabilities::TAILS,
        Body::Info { plat: None, client: mac(1), addresses, tail: Tail::default() },
    );
    bench.pass_ms(100);
    bench
}

#[test]
fn get_clients_tells_everything_of_a_client() {
    let bench = handed_over();
    let expected = json!({
        "total": 1,
        "more": false,
        "clients": [{
            "mac": "02:00:5e:10:00:01",
            "interface": "br-client",
            "port": "lan1",
            "evidence": "frame",
            "since_ms": 112,
            "last_seen_ms": 112,
            "settled": true,
            "node_client_address": "fec0::5eff:fe10:1",
            "addresses": [
                { "address": "2001:db8::1:1", "state": "active", "last_seen_ms": 112, "source": "client" },
                { "address": "2001:db8::1:2", "state": "tentative", "last_seen_ms": 100, "source": "info" },
            ],
            "last_handover": {
                "age_ms": 100,
                "direction": "incoming",
                "peer": "fd00::2",
                "duration_ms": 12,
                "outcome": "completed",
            },
        }],
    });
    assert_eq!(bench.call("get_clients", json!({})), Ok(expected));
}

#[test]
fn get_clients_finds_one_by_mac_address_or_interface_and_says_where_there_is_none() {
    let mut bench = Bench::new();
    bench.hears(mac(1), v6(1));
    bench.hears(mac(2), "10.0.0.2".parse().unwrap());
    let (one, two) = (mac(1).to_string(), mac(2).to_string());
    assert_eq!(bench.clients(json!({})), Ok(vec![one.clone(), two.clone()]));
    assert_eq!(bench.clients(json!({ "mac": "02-00-5E-10-00-02" })), Ok(vec![two.clone()]));
    assert_eq!(bench.clients(json!({ "address": "2001:db8::1:1" })), Ok(vec![one.clone()]));
    for address in ["10.0.0.2", "::ffff:10.0.0.2"] {
        assert_eq!(bench.clients(json!({ "address": address })), Ok(vec![two.clone()]));
    }
    assert_eq!(bench.clients(json!({ "interface": "br-client" })), Ok(vec![one.clone(), two]));
    for unknown in [
        json!({ "mac": "02:00:5e:10:00:03" }),
        json!({ "address": "2001:db8::1:9" }),
        json!({ "interface": "mesh0" }),
        json!({ "mac": one, "address": "10.0.0.2" }),
    ] {
        assert_eq!(bench.clients(unknown.clone()), Err(Status::NotFound), "{unknown}");
    }
    assert_eq!(Bench::new().clients(json!({})), Ok(vec![]), "no client is no error");
}

#[test]
fn five_thousand_clients_come_page_by_page_in_order_each_once() {
    let mut bench = Bench::new();
    for n in 0..5000 {
        bench.hears(mac(n), v6(n));
        bench.hears(mac(n), format!("10.0.{}.{}", n / 256, n % 256).parse().unwrap());
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let mut arguments = Table::new();
        if !after.is_null() {
            arguments.insert("after".to_owned(), after);
        }
        let reply = bench.call("get_clients", Value::Object(arguments)).unwrap();
        assert!(reply.to_string().len() < 512 * 1024);
        assert_eq!(reply["total"], 5000);
        let clients = reply["clients"].as_array().unwrap();
        seen.extend(clients.iter().map(|client| client["mac"].as_str().unwrap().to_owned()));
        pages += 1;
        after = clients.last().unwrap()["mac"].clone();
        if reply["more"] == false {
            break;
        }
    }
    let expected: Vec<String> = (0..5000).map(|n| mac(n).to_string()).collect();
    assert_eq!((seen == expected, pages), (true, 50));
    assert_eq!(
        bench.clients(json!({ "after": expected[4998], "limit": 5 })),
        Ok(vec![expected[4999].clone()])
    );
    assert_eq!(bench.clients(json!({ "after": expected[4999] })), Ok(vec![]), "behind the last");
}

#[test]
fn a_page_ends_before_a_message_is_full_whatever_limit_is_asked_for() {
    let mut bench = Bench::new();
    for n in 0..2000 {
        for address in 0..16 {
            bench.hears(mac(n), format!("2001:db8::{n:x}:{address:x}").parse().unwrap());
        }
    }
    let reply = bench.call("get_clients", json!({ "limit": 100_000 })).unwrap();
    assert_eq!(reply["more"], true);
    let size = reply.to_string().len();
    assert!((100 * 1024..512 * 1024).contains(&size), "{size}");
}

#[test]
fn get_handovers_tells_the_last_ones() {
    let bench = handed_over();
    let expected = json!({ "handovers": [{
        "age_ms": 100,
        "mac": "02:00:5e:10:00:01",
        "direction": "incoming",
        "peer": "fd00::2",
        "addresses": 1,
        "duration_ms": 12,
        "steps": { "evidence_to_claim_us": 0, "claim_to_info_us": 12_000 },
        "packets_buffered": 0,
        "packets_relayed": 0,
        "outcome": "completed",
    }] });
    assert_eq!(bench.call("get_handovers", json!({})), Ok(expected.clone()));
    assert_eq!(bench.call("get_handovers", json!({ "limit": 1 })), Ok(expected));
}

#[test]
fn get_interfaces_get_prefixes_and_get_peers_are_lists_of_tables() {
    let mut bench = handed_over();
    bench.pass_ms(10);
    let interfaces = json!({ "interfaces": [
        { "name": "mesh0", "role": "mesh", "usable": true, "device": "mesh0", "ifindex": 1 },
        { "name": "mesh1", "role": "mesh", "usable": false, "reason": "does not exist" },
        { "name": "br-client", "role": "client", "usable": true, "device": "br-client", "ifindex": 2 },
    ] });
    assert_eq!(bench.call("get_interfaces", json!({})), Ok(interfaces));
    let prefixes = json!({ "prefixes": [
        { "prefix": "2001:db8::/64", "addresses": 2 },
        { "prefix": "10.0.0.0/8", "addresses": 0 },
    ] });
    assert_eq!(bench.call("get_prefixes", json!({})), Ok(prefixes));
    let peer = |last_heard: u64, capabilities: Value, c_daemon: bool| {
        json!({ "peers": [{
            "address": "fd00::2",
            "last_heard_ms": last_heard,
            "capabilities": capabilities,
            "c_daemon": c_daemon,
            "round_trip_us": 12_000,
        }] })
    };
    assert_eq!(bench.call("get_peers", json!({})), Ok(peer(110, json!(["tails"]), false)));
    bench.receives(Capabilities(0), Body::Ack { client: mac(9), tail: Tail::default() });
    assert_eq!(bench.call("get_peers", json!({})), Ok(peer(0, json!([]), true)));
}

#[test]
fn get_statistics_tells_every_counter_and_drops_by_reason() {
    let mut bench = Bench::new();
    bench.facts.ubus = Some(Connection { calls: 3, connects: 2, lost: 1, ..Connection::default() });
    bench.input(Input::PacketForUnknown(vec![1]));
    let reply = bench.call("get_statistics", json!({})).unwrap();
    assert_eq!(reply["drops"]["capture_ignored"], 1);
    assert_eq!(reply["drops"]["bad_sender"], 0);
    for (name, count) in bench.engine.counters().iter() {
        assert_eq!(reply["counters"][name], count, "{name}");
    }
    assert_eq!(reply["kernel"]["netlink_overruns"], 0);
    let ubus = json!({ "connects": 2, "calls": 3, "notifications": 0, "orders_lost": 1 });
    assert_eq!(reply["ubus"], ubus);
}

#[test]
fn get_config_tells_what_is_in_effect_and_not_what_was_written() {
    let mut bench = Bench::new();
    bench.engine.command(bench.now, &Command::SetExportTable(17)).unwrap();
    let reply = bench.call("get_config", json!({})).unwrap();
    assert_eq!(reply["export_table"], 17);
    assert_eq!(reply["node_client_prefix"], "fec0::/64");
    assert_eq!(reply["v4_prefix"], "::ffff:0.0.0.0/96");
    assert_eq!(reply["prefixes"], json!(["2001:db8::/64", "10.0.0.0/8"]));
    assert_eq!(reply["mesh_interfaces"], json!(["mesh0", "mesh1"]));
    assert_eq!(reply["sources"], json!({ "netlink": true, "ndp": true, "nl80211": true, "hostapd": true }));
    assert_eq!(reply["tunables"]["probe_schedule_ms"], json!([300, 700, 1000]));
    assert_eq!(reply["tunables"]["seek_rate"], 50);
    assert_eq!(reply["tunables"]["former_age_ms"], 300_000);
    assert_eq!((&reply["log_addresses"], &reply["metric"]), (&json!(true), &json!(16)));
    assert!(reply.get("plat_prefix").is_none(), "what has no value is absent");
}

#[test]
fn news_becomes_notifications() {
    let bench = Bench::new();
    let (client, address) = (mac(1), v6(1));
    let peer = "fd00::2".parse().unwrap();
    let duration = Duration::from_millis(23);
    let direction = Direction::Outgoing;
    let (from, to) = (None, Some(AddressState::Active));
    let mesh: crate::net::InterfaceName = "mesh0".parse().unwrap();
    for (notice, name, data) in [
        (
            Notice::ClientArrived { client, interface: BRIDGE },
            "client.attached",
            json!({ "mac": "02:00:5e:10:00:01", "interface": "br-client" }),
        ),
        (
            Notice::ClientLeft { client, reason: LeaveReason::Claimed },
            "client.left",
            json!({ "mac": "02:00:5e:10:00:01", "reason": "claimed" }),
        ),
        (
            Notice::ClientHandedOver { client, direction, peer, addresses: 2, duration },
            "client.handover",
            json!({
                "mac": "02:00:5e:10:00:01",
                "direction": "outgoing",
                "peer": "fd00::2",
                "addresses": 2,
                "duration_ms": 23,
            }),
        ),
        (
            Notice::AddressChanged { client, address, from, to },
            "client.address",
            json!({ "mac": "02:00:5e:10:00:01", "address": "2001:db8::1:1", "from": "unknown", "to": "active" }),
        ),
        (
            Notice::AddressContested { address, holder: client, rival: mac(2) },
            "client.duplicate",
            json!({ "address": "2001:db8::1:1", "mac": "02:00:5e:10:00:01", "rival": "02:00:5e:10:00:02" }),
        ),
        (
            Notice::InterfaceChanged { name: mesh.clone(), problem: Some("is down") },
            "interface.changed",
            json!({ "interface": "mesh0", "usable": false, "reason": "is down" }),
        ),
        (
            Notice::InterfaceChanged { name: mesh, problem: None },
            "interface.changed",
            json!({ "interface": "mesh0", "usable": true }),
        ),
    ] {
        assert_eq!(notification(&bench.engine, &notice), Some((name, table(data))));
    }
    assert_eq!(notification(&bench.engine, &Notice::LimitReached { limit: "max_clients" }), None);
}

#[test]
fn a_reload_may_ask_for_networks_alone() {
    let method = |name| METHODS.iter().position(|method| method.spec.name == name).unwrap();
    let about = |name, arguments: Value| is_about_networks(method(name), arguments.as_object().unwrap());
    assert!(about("reload", json!({ "networks": true, "ubus_rpc_session": "x" })));
    assert!(!about("reload", json!({ "networks": false })));
    assert!(!about("reload", json!({ "networks": "yes" })));
    assert!(!about("get_status", json!({ "networks": true })));
    for wrong in [json!({ "networks": "yes" }), json!({ "networks": 5 })] {
        let refused = read_call(method("reload"), wrong.as_object().unwrap());
        assert_eq!(refused, Err(Status::InvalidArgument), "{wrong}");
    }
}
