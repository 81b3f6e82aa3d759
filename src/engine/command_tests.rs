//! One grammar for every way in.

use super::*;

fn example(spec: &CommandSpec) -> String {
    let words = spec.arguments.iter().map(|argument| match argument {
        Argument::Interface => "eth0",
        Argument::Prefix => "10.0.0.0/8",
        Argument::Table => "254",
        Argument::Address => "2001:db8::1",
        Argument::Client => "02:00:5e:10:00:01",
        Argument::LogLevel => "debug",
        Argument::Timeout => "1500",
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_row_of_the_table_reads_back_under_both_names() {
    for spec in COMMANDS {
        let command: Command = format!("{} {}", spec.name, example(spec)).parse().unwrap();
        assert_eq!(command.spec().name, spec.name);
        if let Some(c_name) = spec.c_name {
            assert_eq!(format!("{c_name} {}", example(spec)).parse(), Ok(command));
        }
    }
}

#[test]
fn bad_commands_are_refused_with_the_value_and_what_was_expected() {
    for (line, needle) in [
        ("fly", "fly"),
        ("", "unknown command"),
        ("add-prefix", "needs 1"),
        ("add-prefix a b", "2 given"),
        ("add-prefix 10.0.0.1/8", "10.0.0.1/8"),
        ("add-prefix fe80::/64", "routable"),
        ("add-prefix ff00::/8", "routable"),
        ("add-prefix ::/0", "routable"),
        ("add-prefix 0.0.0.0/0", "routable"),
        ("add-prefix fe80::/9", "routable"),
        ("set-export-table 0", "'0'"),
        ("set-export-table 4294967296", "4294967296"),
        ("probe ff02::1 02:00:5e:10:00:01", "ff02::1"),
        ("probe ::1 02:00:5e:10:00:01", "::1"),
        ("drop-client ff:ff:ff:ff:ff:ff", "ff:ff"),
        ("attach-mesh-interface this-is-far-too-long", "interface name"),
        ("verbosity loud", "loud"),
        ("seek", "needs 1"),
        ("seek 2001:db8::1 0", "'0'"),
        ("seek 2001:db8::1 9001", "9001"),
        ("seek 2001:db8::1 -1", "-1"),
        ("seek 2001:db8::1 1 2", "3 given"),
        ("reload now", "1 given"),
    ] {
        let error = line.parse::<Command>().unwrap_err().to_string();
        assert!(error.contains(needle), "{line}: {error}");
    }
}

#[test]
fn an_argument_that_may_be_left_out_has_a_default() {
    let seek: Command = "seek 2001:db8::1".parse().unwrap();
    assert_eq!(seek, "seek 2001:db8::1 5000".parse().unwrap());
}

#[test]
fn only_the_last_argument_of_a_command_may_be_left_out() {
    for spec in COMMANDS {
        let optional = spec.arguments.iter().map(|argument| argument.is_optional()).collect::<Vec<_>>();
        assert!(optional.is_sorted() && optional.iter().filter(|o| **o).count() <= 1, "{}", spec.name);
    }
}
