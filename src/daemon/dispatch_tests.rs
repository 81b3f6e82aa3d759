//! Every command is reachable from every way in, and goes to the one that can carry it out.

use super::*;
use crate::control::request_command;
use crate::daemon::options::{Parsed, parse};
use crate::engine::Config;
use crate::engine::command::{Argument, COMMANDS, CommandSpec, LogLevel};

fn arguments(spec: &CommandSpec) -> String {
    let words = spec.arguments.iter().map(|argument| match argument {
        Argument::Interface => "eth0",
        Argument::Prefix => "10.0.0.0/8",
        Argument::Table => "254",
        Argument::Address => "2001:db8::1",
        Argument::Client => "02:00:5e:10:00:01",
        Argument::LogLevel => "info",
        Argument::Timeout => "1500",
    });
    words.collect::<Vec<_>>().join(" ")
}

fn started_with(more: &[&str]) -> crate::daemon::options::Options {
    let mandatory = ["-a", "2001:db8::1", "-p", "2001:db8::/64"];
    match parse(mandatory.iter().chain(more)).unwrap() {
        Parsed::Run(options) => *options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_command_is_reachable_from_every_way_in() {
    let path = std::env::temp_dir().join(format!("l3roamd-dispatch-{}", std::process::id()));
    for spec in COMMANDS {
        let arguments = arguments(spec);
        let line = format!("{} {arguments}", spec.name);
        let command: Command = line.parse().unwrap();
        let expected = vec![command.clone()];

        let option = format!("--{}", spec.name);
        let by_option = if spec.arguments.is_empty() {
            started_with(&[&option])
        } else {
            started_with(&[&option, &arguments])
        };
        assert_eq!(by_option.commands, expected, "command line: {line}");

        for name in [Some(spec.name), spec.c_name].into_iter().flatten() {
            let line = format!("{name} {arguments}");
            std::fs::write(&path, format!("{line}\n")).unwrap();
            let by_file = started_with(&["-c", path.to_str().unwrap()]);
            assert_eq!(by_file.file_commands, expected, "command file: {line}");
            assert_eq!(request_command(line.as_bytes()), Some(command.clone()), "control socket: {line}");
        }

        let mut engine = Engine::new(Config::new("2001:db8::1".parse().unwrap()), 0, Timestamp::ZERO);
        let step = begin(&command, &mut engine, Timestamp::ZERO);
        assert!(matches!(step, Step::Answer(_) | Step::Lookup(_)), "{line}");
    }
    std::fs::remove_file(&path).unwrap();
    log::set_level(LogLevel::Info);
}

#[test]
fn an_address_inside_the_v4_prefix_is_taken_as_ipv4() {
    let mapped: Command = "add_address ::ffff:10.0.0.5 02:00:5e:10:00:01".parse().unwrap();
    let plain: Command = "add_address 10.0.0.5 02:00:5e:10:00:01".parse().unwrap();
    assert_eq!(with_plain_address(&mapped, V4Prefix::default()), plain);
    let mut engine = Engine::new(Config::new("2001:db8::1".parse().unwrap()), 0, Timestamp::ZERO);
    let has_route = "has_route ::ffff:10.0.0.5".parse().unwrap();
    let step = begin(&has_route, &mut engine, Timestamp::ZERO);
    assert!(
        matches!(step, Step::Lookup(address) if address == "10.0.0.5".parse::<IpAddr>().unwrap()),
        "{step:?}"
    );
}
