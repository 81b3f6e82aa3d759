//! What the command line accepts and how it refuses.

use std::path::Path;

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
    assert_eq!(options.settings.mesh_interfaces.len(), 2);
    assert_eq!(options.config.prefixes.len(), 2);
    assert_eq!(options.config.export_table, 10);
    assert_eq!(options.config.plat_prefix, Some("64:ff9b::".parse().unwrap()));
    assert_eq!(options.config.v4_prefix.address(), "64:ff9b::".parse::<Ipv6Addr>().unwrap());
    assert_eq!(options.settings.capture_device.as_str(), "tun7");
    assert_eq!(options.settings.clat_interface.unwrap().as_str(), "clat");
    assert_eq!(options.settings.control_socket.unwrap(), Path::new("/var/run/l3roamd.sock"));
    let sources = options.config.sources;
    assert!(sources.netlink && sources.ndp && !sources.nl80211, "--no-nl80211 means what it says");
}

/// As its init script passes it since 2025: ` -P PREFIX` is one argument.
#[test]
fn an_option_and_its_value_in_one_quoted_argument_are_read_as_two() {
    let options = run(&["-b", "br-client", " -P fdd7:cd15:6f42:2a8b::/64"]);
    assert_eq!(options.config.node_client_prefix, "fdd7:cd15:6f42:2a8b::/64".parse().unwrap());
    assert!(refused(&["-a", "2001:db8::1", " -Q x"]).contains("-Q"));
    assert!(refused(&["-a", "2001:db8::1", " x"]).contains("unexpected argument ' x'"));
}

#[test]
fn defaults_are_those_of_the_c_daemon() {
    let options = run(&[]);
    assert_eq!(options.config.export_table, 254);
    assert_eq!(options.config.node_client_prefix.to_string(), "fec0::/64");
    assert_eq!(options.settings.capture_device.as_str(), "l3roam0");
    assert_eq!(
        (options.settings.control_socket, options.settings.log_level, options.settings.metric),
        (None, LogLevel::Info, 16)
    );
    assert!(options.config.tunables.overlap.is_zero(), "their routing daemons know no drained routes");
}

#[test]
fn options_are_read_as_getopt_reads_them_in_any_order() {
    let options = run(&["-vdt5", "-mmesh0", "--seek-delay=300", "--metric", "20"]);
    assert_eq!(options.config.export_table, 5);
    assert_eq!(options.settings.log_level, LogLevel::Debug);
    assert_eq!(options.settings.metric, 20);
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
    let text = crate::daemon::help::usage();
    assert!(text.contains("--uci[=<directory>]"));
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

/// A directory of UCI files, gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, text: &str) -> Self {
        let place = Self(std::env::temp_dir().join(format!("l3roamd-options-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&place.0).unwrap();
        place.write(text);
        std::fs::write(place.0.join("network"), "config interface loopback\noption proto static\n").unwrap();
        place
    }

    fn write(&self, text: &str) {
        std::fs::write(self.0.join("l3roamd"), format!("config l3roamd main\n{text}\n")).unwrap();
    }

    fn option(&self) -> String {
        format!("--uci={}", self.0.display())
    }

    fn run(&self, arguments: &[&str]) -> Options {
        match parse([self.option().as_str()].iter().chain(arguments)).unwrap() {
            Parsed::Run(options) => *options,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn options_beside_uci_add_to_its_lists_and_replace_the_rest() {
    let place = Place::new(
        "beside",
        "option node_address 2001:db8::1\nlist prefix 10.0.0.0/8\noption metric 5\noption export_table 9",
    );
    let options =
        place.run(&["-p", "2001:db8:1::/64", "-p", "10.0.0.0/8", "--metric", "7", "-d", "--no-ndp"]);
    assert_eq!((options.settings.prefixes.len(), options.settings.metric), (2, 7));
    assert_eq!((options.settings.export_table, options.settings.log_level), (9, LogLevel::Debug));
    assert!(!options.settings.sources.ndp && options.problems.is_empty());
    assert_eq!(options.settings.control_socket.as_deref(), Some(Path::new("/var/run/l3roamd.sock")));
    place.write("option node_address 2001:db8::1\noption metric 6\noption log_level trace");
    let again = options.read_again().unwrap();
    assert_eq!(
        (again.settings.metric, again.settings.prefixes.len()),
        (7, 2),
        "the command line still counts"
    );
    assert_eq!(again.settings.export_table, 254);
    assert_eq!(options.settings.restart_for(&again.settings), None);
}

#[test]
fn only_a_missing_node_address_stops_a_start_from_uci() {
    let place = Place::new("address", "option metric 0\noption prefix x");
    let text = parse([place.option()]).unwrap_err().to_string();
    assert!(text.contains("metric"), "the first that is wrong: {text}");
    place.write("");
    let text = parse([place.option()]).unwrap_err().to_string();
    assert!(text.contains("option --uci: ") && text.contains("'node_address': missing"), "{text}");
    std::fs::remove_file(place.0.join("network")).unwrap();
    let text = parse([place.option()]).unwrap_err().to_string();
    assert!(text.contains("/network: "), "{text}");
    let options = place.run(&["-a", "2001:db8::1"]);
    assert!(options.read_again().is_ok(), "nobody needs what netifd is told");
    assert!(options.problems.iter().all(Problem::is_warning) && options.problems.len() == 1, "no prefix");
    place.write("option node_address 2001:db8::1\noption metric 0\noption export_table x");
    let options = place.run(&[]);
    assert_eq!((options.settings.metric, options.settings.export_table), (16, 254));
    assert_eq!(options.problems.iter().filter(|problem| !problem.is_warning()).count(), 2);
}

#[test]
fn what_is_wrong_is_refused_when_uci_is_read_again() {
    let place = Place::new("again", "option node_address 2001:db8::1\noption prefix 10.0.0.0/8");
    let options = place.run(&[]);
    for (text, needle) in [
        ("option node_address 2001:db8::1\noption prefix '10.0.0.0/8 x'", "'x'"),
        ("option node_address 2001:db8::1\nfoo bar", ":3: 'foo'"),
        ("option prefix 10.0.0.0/8", "node_address"),
    ] {
        place.write(text);
        let error = options.read_again().unwrap_err().to_string();
        assert!(error.contains(needle), "{text}: {error}");
    }
    place.write("option node_address 2001:db8::1\noption fly 1");
    assert_eq!(options.read_again().unwrap().problems.len(), 2, "unknown option, no prefix: warnings");
}
