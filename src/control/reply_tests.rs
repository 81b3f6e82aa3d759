//! Answers against those of the real C daemon, commit 25f332a, started with
//! `-a 2001:db8:ff::1 -p 2001:db8:1::/64 -p 10.0.0.0/8 -i br-client -m mesh0 -t 10` and asked over its socket.

use super::*;
use crate::control::status::ClientStatus;
use crate::engine::client::AddressState;
use crate::engine::config::V4Prefix;

fn clients(clients: Vec<ClientStatus>) -> String {
    let status = ClientsStatus { clients, v4_prefix: V4Prefix::default() };
    write(Style::C, &Command::GetClients, "", &Reply::Clients(status))
}

fn client(addresses: &[(&str, AddressState)]) -> ClientStatus {
    ClientStatus {
        mac: "02:00:5e:10:00:01".parse().unwrap(),
        interface_name: "br-client".to_owned(),
        addresses: addresses.iter().map(|(a, state)| (a.parse().unwrap(), *state)).collect(),
        evidence: "frame",
        port: Some("lan1".to_owned()),
        silent: std::time::Duration::from_millis(1500),
    }
}

#[test]
fn get_clients_answers_as_the_c_daemon() {
    assert_eq!(clients(vec![]), r#"{ "clients": 0 }"#);
    let active = |address| (address, AddressState::Active);
    assert_eq!(
        clients(vec![client(&[active("2001:db8:1::5"), active("10.0.0.5"), active("fe80::5")])]),
        r#"{ "clients": 1, "clientlist": { "02:00:5e:10:00:01": { "interface": "br-client", "addresses": { "2001:db8:1::5": { "state": 1 }, "::ffff:10.0.0.5": { "state": 1 }, "fe80::5": { "state": 1 } }, "evidence": "frame", "port": "lan1", "silent_ms": 1500 } } }"#
    );
}

#[test]
fn address_states_have_the_numbers_of_the_c_daemon_and_no_addresses_no_key() {
    let text = clients(vec![client(&[
        ("2001:db8::1", AddressState::Inactive),
        ("2001:db8::2", AddressState::Tentative),
    ])]);
    assert!(text.contains(r#""2001:db8::1": { "state": 0 }, "2001:db8::2": { "state": 2 }"#), "{text}");
    assert_eq!(
        clients(vec![client(&[])]),
        r#"{ "clients": 1, "clientlist": { "02:00:5e:10:00:01": { "interface": "br-client", "evidence": "frame", "port": "lan1", "silent_ms": 1500 } } }"#
    );
}

#[test]
fn get_prefixes_answers_as_the_c_daemon_and_adds_the_prefixes_in_full() {
    let prefixes = ["2001:db8:1::/64", "10.0.0.0/8"].map(|p| p.parse().unwrap()).to_vec();
    let status = PrefixesStatus { prefixes, v4_prefix: V4Prefix::default() };
    let c = r#"{ "prefixes": [ "::ffff:0.0.0.0", "fe80::", "2001:db8:1::", "::ffff:10.0.0.0" ] }"#;
    let text = write(Style::C, &Command::GetPrefixes, "", &Reply::Prefixes(status));
    let ours =
        format!(r#"{}, "client_prefixes": [ "2001:db8:1::/64", "10.0.0.0/8" ] }}"#, c.trim_end_matches(" }"));
    assert_eq!(text, ours);
}

#[test]
fn get_meshifs_answers_as_the_c_daemon() {
    let answer = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        write(
            Style::C,
            &Command::GetMeshInterfaces,
            "",
            &Reply::MeshInterfaces(MeshInterfacesStatus { names }),
        )
    };
    assert_eq!(answer(&["mesh0"]), r#"{ "mesh_interfaces": [ "mesh0" ] }"#);
    assert_eq!(answer(&[]), r#"{ "mesh_interfaces": [ ] }"#);
    assert_eq!(answer(&["a", "b"]), r#"{ "mesh_interfaces": [ "a", "b" ] }"#);
}

#[test]
fn what_is_done_answers_as_the_c_daemon() {
    let mac: crate::net::Mac = "02:00:5e:10:00:01".parse().unwrap();
    let unknown = |line: &str| match line.split(' ').next().unwrap() {
        "del_prefix" => CommandError::UnknownPrefix("99::/64".parse().unwrap()),
        "del_meshif" => CommandError::UnknownInterface("nonesuch".parse().unwrap(), "mesh"),
        _ => CommandError::UnknownClient(mac),
    };
    for (line, known, expected) in [
        ("add_meshif mesh1", true, ""),
        ("del_meshif mesh0", true, ""),
        ("del_meshif nonesuch", false, ""),
        ("add_prefix 2001:db8:2::/48", true, "Added prefix: 2001:db8:2::/48"),
        ("del_prefix 2001:db8:2::/48", true, "Deleted prefix: 2001:db8:2::/48"),
        ("del_prefix 99::/64", false, "Deleted prefix: 99::/64"),
        ("add_address 2001:db8:1::5 02:00:5e:10:00:01", true, "OK"),
        ("add_address 10.0.0.5 02:00:5e:10:00:01", true, "OK"),
        ("del_address 2001:db8:1::5 02:00:5e:10:00:99", false, ""),
        ("del_address 2001:db8:1::5 02:00:5e:10:00:01", true, "OK"),
        ("verbosity debug", true, ""),
        ("probe 2001:db8:1::5 02:00:5e:10:00:01", true, ""),
    ] {
        let request = crate::control::request::parse(line.as_bytes()).unwrap();
        let reply = if known { Reply::Done } else { Reply::Refused(unknown(line)) };
        assert_eq!(write(request.style, &request.command, &request.arguments, &reply), expected, "{line}");
    }
}

#[test]
fn has_route_answers_as_the_c_daemon() {
    let request = crate::control::request::parse(b"has_route 2001:db8:1::5").unwrap();
    let text = |stands| write(request.style, &request.command, &request.arguments, &Reply::HostRoute(stands));
    assert_eq!(text(false), "found route 2001:db8:1::5/128: NO\n");
    assert_eq!(text(true), "found route 2001:db8:1::5/128: YES\n");
}

#[test]
fn our_names_answer_ok_or_one_line_of_error() {
    let command: Command = "drop-client 02:00:5e:10:00:01".parse().unwrap();
    assert_eq!(write(Style::Own, &command, "", &Reply::Done), "OK\n");
    let refused = Reply::Refused(CommandError::UnknownClient("02:00:5e:10:00:01".parse().unwrap()));
    let text = write(Style::Own, &command, "", &refused);
    assert_eq!(text, "error: client 02:00:5e:10:00:01 is not known here\n");
}
