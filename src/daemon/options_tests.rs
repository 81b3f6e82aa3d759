//! What the command line accepts and how it refuses.

use super::*;

const MANDATORY: [&str; 4] = ["-a", "2001:db8::1", "-p", "2001:db8:1::/64"];

fn run(arguments: &[&str]) -> Options {
    let all = MANDATORY.iter().chain(arguments);
    match parse(all).unwrap() {
        Parsed::Run(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn refused(arguments: &[&str]) -> String {
    let text = parse(arguments).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn the_command_line_of_gluon_is_read() {
    let options = run(&[
        "-s",
        "/var/run/l3roamd.sock",
        "-m",
        "mesh0",
        "-m",
        "vx_mesh_lan",
        "-i",
        "br-client",
        "-b",
        "br-client",
        "-p",
        "10.0.0.0/8",
        "-P",
        "2001:db8:9::/64",
        "-e",
        "64:ff9b::/96",
        "-4",
        "64:ff9b::/96",
        "-n",
        "clat",
        "-t",
        "10",
        "-D",
        "tun7",
        "--no-nl80211",
    ]);
    assert_eq!(options.config.mesh_interfaces.len(), 2);
    assert_eq!(options.config.prefixes.len(), 2);
    assert_eq!(options.config.export_table, 10);
    assert_eq!(options.config.plat_prefix, Some("64:ff9b::".parse().unwrap()));
    assert_eq!(options.config.v4_prefix.address(), "64:ff9b::".parse::<Ipv6Addr>().unwrap());
    assert_eq!(options.tun.as_str(), "tun7");
    assert_eq!(options.clat_interface.unwrap().as_str(), "clat");
    assert_eq!(options.socket.unwrap(), Path::new("/var/run/l3roamd.sock"));
    let sources = options.config.sources;
    assert!(sources.netlink && sources.ndp && !sources.nl80211, "--no-nl80211 means what it says");
}

#[test]
fn defaults_are_those_of_the_c_daemon() {
    let options = run(&[]);
    assert_eq!(options.config.export_table, 254);
    assert_eq!(options.config.node_client_prefix.to_string(), "fec0::/64");
    assert_eq!(options.tun.as_str(), "l3roam0");
    assert_eq!((options.socket, options.log_level, options.metric), (None, LogLevel::Info, 16));
}

#[test]
fn options_are_read_as_getopt_reads_them_in_any_order() {
    let options = run(&["-vdt5", "-mmesh0", "--seek-delay=300", "--metric", "20"]);
    assert_eq!(options.config.export_table, 5);
    assert_eq!(options.log_level, LogLevel::Debug);
    assert_eq!(options.metric, 20);
    assert_eq!(options.config.tunables.seek_delay, Duration::from_millis(300));
    let reversed = parse(["--metric", "20", "--seek-delay=300", "-mmesh0", "-vdt5"].iter().chain(&MANDATORY));
    assert_eq!(reversed, Ok(Parsed::Run(Box::new(options))));
}

#[test]
fn every_wrong_option_is_refused_by_name_value_and_expectation() {
    for (arguments, needles) in [
        (&["-a", "10.0.0.1"][..], &["-a", "10.0.0.1", "IPv6 address"][..]),
        (&["-a", "::"], &["-a", "'::'"]),
        (&["-a", "2001:db8::1", "-a", "2001:db8::2"], &["-a", "2001:db8::2", "at most one"]),
        (&["-p", "2001:db8::1/64"], &["-p", "2001:db8::1/64", "host bits"]),
        (&["-p", "fe80::/64"], &["-p", "fe80::/64", "routable"]),
        (&["-e", "64:ff9b::/64"], &["-e", "64:ff9b::/64", "96"]),
        (&["-4", "10.0.0.0/8"], &["-4", "10.0.0.0/8", "96"]),
        (&["-P", "10.0.0.0/8"], &["-P", "10.0.0.0/8", "at most 64"]),
        (&["-P", "fec0::/65"], &["-P", "fec0::/65", "at most 64"]),
        (&["-t", "0"], &["-t", "'0'", "routing table"]),
        (&["-t", ""], &["-t", "''", "routing table"]),
        (&["-t", "main"], &["-t", "main", "routing table"]),
        (&["-m", "a/b"], &["-m", "a/b", "interface name"]),
        (&["-D", "this-name-is-too-long"], &["-D", "this-name", "interface name"]),
        (&["-s", ""], &["-s", "''", "path"]),
        (&["-c", "/nonexistent/file"], &["-c", "/nonexistent/file"]),
        (&["--metric", "0"], &["--metric", "'0'", "65534"]),
        (&["--seek-delay", "1s"], &["--seek-delay", "1s", "milliseconds"]),
        (&["--add-prefix", "10.0.0.1/8"], &["--add-prefix", "10.0.0.1/8", "host bits"]),
        (&["--probe", "2001:db8::1"], &["--probe", "needs 2", "1 given"]),
        (&["-i", "eth0", "-m", "eth0"], &["-i", "eth0", "-m"]),
        (&["-x"], &["-x"]),
        (&["--fly"], &["--fly"]),
        (&["-t"], &["-t"]),
        (&["eth0"], &["eth0", "expected an option"]),
        (&["--no-ndp=yes"], &["--no-ndp", "yes"]),
    ] {
        // Without -a where it is the one under test.
        let mandatory: &[&str] = if arguments[0] == "-a" { &MANDATORY[2..] } else { &MANDATORY };
        let text = refused(&[mandatory, arguments].concat());
        for needle in needles {
            assert!(text.contains(needle), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn the_node_address_and_a_client_prefix_are_mandatory() {
    assert!(refused(&MANDATORY[2..]).contains("-a"));
    assert!(refused(&MANDATORY[..2]).contains("-p"));
    let by_command = MANDATORY[..2].iter().chain(&["--add-prefix", "10.0.0.0/8"]);
    assert!(parse(by_command).is_ok());
}

#[test]
fn a_value_that_is_no_text_is_refused_on_one_line() {
    use std::os::unix::ffi::OsStringExt as _;
    let arguments = [OsString::from("-s"), OsString::from_vec(vec![0xff, b'\n'])];
    let text = parse(arguments).unwrap_err().to_string();
    assert!(text.contains("-s") && text.contains("UTF-8"), "{text}");
}

#[test]
fn help_lists_every_option_and_every_command_under_both_names() {
    let text = usage();
    for option in "abcdeimnpPst4DhV".chars() {
        assert!(text.contains(&format!("-{option} ")) || text.contains(&format!("-{option},")), "-{option}");
    }
    for spec in COMMANDS {
        assert!(text.contains(spec.name) && text.contains(spec.c_name.unwrap_or_default()), "{}", spec.name);
    }
    assert_eq!(parse(["-h"]), Ok(Parsed::Help));
    assert_eq!(parse(["-V"]), Ok(Parsed::Version));
    assert_eq!(VERSION, "l3roamd 0.1.0");
}
