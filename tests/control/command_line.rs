//! The program itself, as far as it gets without touching the kernel.

use std::process::{Command, Output};

use crate::harness::{self, Daemon, ask};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_l3roamd")).args(arguments).output().unwrap()
}

fn one_line_of_error(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("l3roamd: ") && text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    text
}

#[test]
fn help_and_version_go_to_standard_output_and_succeed() {
    for (arguments, needle) in [
        (&["-h"][..], "attach-mesh-interface <interface>"),
        (&["--help"], "--no-nl80211"),
        (&["-V"], "l3roamd 0.1.0\n"),
        (&["--version"], "l3roamd 0.1.0\n"),
        (&["-d", "-h", "-x"], "Usage: l3roamd"),
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(needle), "{arguments:?}");
    }
}

#[test]
fn a_wrong_option_is_one_line_of_error_and_status_2() {
    for (arguments, needles) in [
        (&[][..], &["-a", "mandatory|expected"][..]),
        (&["-a", "2001:db8::1"], &["-p"]),
        (&["-a", "x\ny"], &["-a", "x y"]),
        (&["-a", "2001:db8::1", "-p", "2001:db8::1/64"], &["-p", "2001:db8::1/64", "host bits"]),
        (&["--fly"], &["--fly"]),
        (&["--uci=/nonexistent"], &["--uci", "/nonexistent/l3roamd"]),
        (&["-a", "2001:db8::1", "-p", "10.0.0.0/8", "-c", "/nonexistent"], &["-c", "/nonexistent"]),
        (&["--add-prefix", "10.0.0.0/33", "-a", "2001:db8::1"], &["--add-prefix", "10.0.0.0/33"]),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = one_line_of_error(&output);
        for needle in needles {
            assert!(needle.split('|').any(|needle| text.contains(needle)), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn a_socket_that_cannot_be_had_is_one_line_of_error_and_status_1() {
    let daemon = Daemon::start("second");
    let path = daemon.path.to_str().unwrap();
    for (path, needle) in [(path, "another instance"), ("/nonexistent/socket", "/nonexistent/socket")] {
        let output = run(&["-a", "2001:db8::1", "-p", "10.0.0.0/8", "-s", path]);
        assert_eq!(output.status.code(), Some(1), "{path}");
        let text = one_line_of_error(&output);
        assert!(text.contains("-s") && text.contains(needle), "{text}");
    }
    assert!(ask(&daemon.path, "get_meshifs\n").contains("mesh0"), "the first one is not disturbed");
}

#[test]
fn a_command_file_is_refused_by_file_and_line() {
    let path = harness::path("commands");
    std::fs::write(&path, "# ours\nadd-prefix 10.0.0.0/8\nadd_meshif a/b\n").unwrap();
    let output = run(&["-a", "2001:db8::1", "-c", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = one_line_of_error(&output);
    assert!(text.contains(&format!("{}:3: ", path.display())) && text.contains("a/b"), "{text}");
}
