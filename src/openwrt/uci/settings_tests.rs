//! What sections become, and what is said of those that are wrong.

use super::super::parser;
use super::*;

fn take(text: &str) -> (Settings, Vec<Problem>) {
    let mut settings = Settings::of_uci();
    let problems = settings.take(&parser::parse(text.as_bytes()).unwrap(), Path::new("/etc/config/l3roamd"));
    (settings, problems)
}

/// What is said of one line of section `main`.
fn said(line: &str) -> String {
    let (_, problems) = take(&format!("config l3roamd main\n{line}\n"));
    let [problem] = problems.as_slice() else { panic!("{line}: {problems:?}") };
    problem.to_string()
}

fn main(lines: &str) -> Settings {
    let (settings, problems) = take(&format!("config l3roamd main\n{lines}\n"));
    assert_eq!(problems, [], "{lines}");
    settings
}

#[test]
fn a_configuration_is_read_with_lists_in_either_form() {
    let settings = main(
        "option node_address 2001:db8::1\noption prefix '10.0.0.0/8 2001:db8:1::/64'\nlist client_interface lan\n\
         list mesh_interface mesh0\nlist mesh_interface 'mesh1 mesh0'\noption export_table 10\noption source_ndp off\n\
         option control_socket none\noption log_level debug\noption mesh_proto gluon_mesh",
    );
    assert_eq!(settings.node_address, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(
        (settings.prefixes.len(), settings.client_interfaces.len(), settings.mesh_interfaces.len()),
        (2, 1, 2)
    );
    assert_eq!((settings.export_table, settings.log_level), (10, LogLevel::Debug));
    assert!(!settings.sources.ndp && settings.sources.netlink && settings.control_socket.is_none());
    let (settings, problems) = take(
        "config timers timers\noption seek_delay 0\nlist probe_schedule 100\nlist probe_schedule 200\nconfig limits limits\noption max_clients 5",
    );
    assert_eq!(problems, []);
    let millis = std::time::Duration::from_millis;
    assert_eq!(settings.tunables.seek_delay, millis(0));
    assert_eq!(settings.tunables.probe_schedule, [millis(100), millis(200)]);
    assert_eq!(settings.tunables.max_clients, 5);
}

#[test]
fn booleans_are_those_of_config_get_bool() {
    for (text, expected) in [
        ("1", true),
        ("on", true),
        ("true", true),
        ("yes", true),
        ("enabled", true),
        ("0", false),
        ("off", false),
        ("false", false),
        ("no", false),
        ("disabled", false),
    ] {
        assert_eq!(main(&format!("option log_addresses {text}")).log_addresses, expected, "{text}");
    }
    assert!(said("option log_addresses TRUE").contains("'TRUE' is not a boolean"));
}

#[test]
fn every_error_names_file_section_option_value_and_expectation() {
    for (line, option, value, expected) in [
        ("option node_address 10.0.0.1", "node_address", "10.0.0.1", "the IPv6 address"),
        ("option prefix '10.0.0.0/8 fe80::/64'", "prefix", "fe80::/64", "a prefix of routable"),
        ("list prefix 2001:db8::1/64", "prefix", "2001:db8::1/64", "a prefix without host bits"),
        ("option export_table 0", "export_table", "0", "a number from 1 to 4294967295"),
        ("option metric 65535", "metric", "65535", "a number from 1 to 65534"),
        ("option capture_device a/b", "capture_device", "a/b", "an interface name"),
        ("list client_interface 'br/lan'", "client_interface", "br/lan", "the name of a network interface"),
        ("option log_level loud", "log_level", "loud", "a log level"),
        ("list metric 1\nlist metric 2", "metric", "1 2", "a single value"),
        ("option metric '1\n2'", "metric", "1?2", "a number"),
        ("option mesh_proto 'a b'", "mesh_proto", "a b", "a protocol of netifd"),
        ("option log_level '\u{fffd}'", "log_level", "\u{fffd}", "a log level"),
        (
            "list mesh_interface x\nlist client_interface x",
            "client_interface",
            "x",
            "an interface in one role",
        ),
    ] {
        let text = said(line);
        let start =
            format!("/etc/config/l3roamd: section 'main', option '{option}': '{value}' is not {expected}");
        assert!(text.starts_with(&start) && !text.contains('\n'), "{line}: {text}");
    }
}

#[test]
fn a_wrong_option_has_its_default_and_of_a_list_what_is_right_is_used() {
    let (settings, problems) =
        take("config l3roamd main\noption metric 0\noption prefix '10.0.0.0/8 x'\noption export_table 9\n");
    assert_eq!((settings.metric, settings.prefixes.len(), settings.export_table), (Settings::METRIC, 1, 9));
    assert!(problems.len() == 2 && problems.iter().all(|problem| !problem.is_warning()));
    let (settings, problems) = take("config timers timers\noption probe_schedule '100 x'\n");
    assert_eq!((settings.tunables, problems.len()), (Settings::of_uci().tunables, 1));
}

#[test]
fn unknown_sections_and_options_are_warned_of() {
    let (settings, problems) = take(
        "config l3roamd main\noption fly 1\nconfig l3roamd\noption metric 9\nconfig wings left\nconfig timers main2\nconfig limits timers\n",
    );
    assert_eq!(settings, Settings::of_uci());
    assert!(problems.len() == 5 && problems.iter().all(Problem::is_warning), "{problems:?}");
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(text[0].contains("option 'fly'") && text[2].contains("'left' of type 'wings'"), "{text:?}");
}

/// lan is on br-lan, wan is down, two interfaces are of the protocol.
struct Some3;

impl Networks for Some3 {
    fn find(&self, name: &str) -> Network {
        match name {
            "lan" => Network::Up("br-lan".parse().unwrap()),
            "wan" => Network::Down,
            _ => Network::Unknown,
        }
    }

    fn of_proto(&self, proto: &str) -> Vec<InterfaceName> {
        let names: &[&str] = if proto == "gluon_mesh" { &["mesh0", "mesh1"] } else { &[] };
        names.iter().map(|name| name.parse().unwrap()).collect()
    }
}

#[test]
fn names_are_those_of_netifd_or_of_devices_and_the_mesh_keeps_what_has_two_roles() {
    let settings = main(
        "option client_interface 'lan eth1 wan a_long_name_of_netifd mesh1'\noption mesh_interface mesh0\n\
         option mesh_proto gluon_mesh\noption client_bridge lan",
    );
    let names = |devices: &[InterfaceName]| devices.iter().map(ToString::to_string).collect::<Vec<_>>();
    let known = settings.devices(&Some3);
    assert_eq!(
        (names(&known.mesh), names(&known.client)),
        (vec!["mesh0".into(), "mesh1".into()], vec!["br-lan".into(), "eth1".into()])
    );
    assert_eq!(known.bridge.unwrap().as_str(), "br-lan");
    let unknown = settings.devices(&NoNetworks);
    assert_eq!(names(&unknown.client), ["lan", "eth1", "wan", "mesh1"], "what is no device's name is none");
}

#[test]
fn only_what_a_running_process_cannot_change_asks_for_a_restart() {
    let old = main("");
    assert_eq!(
        old.restart_for(&main("option export_table 9\noption prefix 10.0.0.0/8\noption log_level warn")),
        None
    );
    assert_eq!(old.restart_for(&main("option metric 9")), Some("metric"));
    assert_eq!(old.restart_for(&main("option capture_device tun7")), Some("capture_device"));
    assert_eq!(old.restart_for(&main("option source_ndp 0")), Some("source_ndp"));
    assert_eq!(old.restart_for(&main("option control_socket none")), Some("control_socket"));
}
