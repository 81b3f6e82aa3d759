//! The control socket under abuse: real clients on a real socket, a made-up daemon behind it.
//!
//! Answers are compared with those of the C daemon, commit 25f332a, asked over its socket; evidence, port and silent_ms are ours.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command_line;
mod harness;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Daemon, ask, ask_raw, connect};
use l3roamd::control::server::{MAX_CONNECTIONS, MAX_LINE};

const CLIENTS: &str = r#"{ "clients": 1, "clientlist": { "02:00:5e:10:00:01": { "interface": "br-client", "addresses": { "2001:db8:1::5": { "state": 1 }, "::ffff:10.0.0.5": { "state": 1 }, "fe80::5": { "state": 1 } }, "evidence": "frame", "port": "lan1", "silent_ms": 1500 } } }"#;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "a test measures how long a client waits")]
fn stopwatch() -> Instant {
    Instant::now()
}

#[test]
fn requests_are_answered_as_by_the_c_daemon() {
    let daemon = Daemon::start("answers");
    for (request, answer) in [
        ("get_clients\n", CLIENTS),
        ("get_clients foo\n", CLIENTS),
        ("get_clients\r\n", CLIENTS),
        // The end of what is sent ends the line, too.
        ("get_clients", CLIENTS),
        ("get_meshifs\n", r#"{ "mesh_interfaces": [ "mesh0" ] }"#),
        ("add_meshif mesh1\n", ""),
        ("add_prefix 2001:db8:2::/48\n", "Added prefix: 2001:db8:2::/48"),
        ("del_prefix 2001:db8:2::/48\n", "Deleted prefix: 2001:db8:2::/48"),
        ("add_address 2001:db8:1::5 02:00:5e:10:00:01\n", "OK"),
        ("add_address bogus 02:00:5e:10:00:01\n", "NOT OK"),
        ("del_address bogus 02:00:5e:10:00:01\n", "NOT OK"),
        ("has_route 2001:db8:1::5\n", "found route 2001:db8:1::5/128: NO\n"),
        ("verbosity debug\n", ""),
        ("probe 2001:db8:1::5 02:00:5e:10:00:01\n", ""),
        ("drop-client 02:00:5e:10:00:01\n", "OK\n"),
        ("get-clients\n", CLIENTS),
        ("get_clients\nget_meshifs\n", CLIENTS),
    ] {
        assert_eq!(ask(&daemon.path, request), answer, "{request:?}");
    }
}

#[test]
fn nonsense_gets_one_line_of_error_and_the_next_client_its_answer() {
    let daemon = Daemon::start("nonsense");
    let many_words = "add_address ".to_owned() + &"x ".repeat(1000) + "\n";
    for request in [
        &b"\n"[..],
        b" \n",
        b"fly\n",
        b"\0\0\0\n",
        b"\xff\xfe\n",
        b"add_meshif\n",
        b"add_prefix \n",
        b"add_prefix 10.0.0.1/8\n",
        b"add_address\n",
        b"add_address 2001:db8::1\n",
        b"del_address 2001:db8::1 \n",
        b"probe\n",
        b"probe 2001:db8::1\n",
        b"verbosity\n",
        b"verbosity loud\n",
        b"has_route\n",
        b"has_route x\n",
        b"drop-client ff:ff:ff:ff:ff:ff\n",
    ] {
        let answer = ask_raw(&daemon.path, request);
        let text = String::from_utf8(answer).unwrap();
        assert!(
            text.starts_with("error: ") && text.ends_with('\n') && text.lines().count() == 1,
            "{request:?}: {text:?}"
        );
        assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
    }
    assert_eq!(ask(&daemon.path, &many_words), "NOT OK");
    assert_eq!(ask(&daemon.path, ""), "", "who says nothing is told nothing");
}

#[test]
fn a_line_without_end_is_cut_off() {
    let daemon = Daemon::start("long");
    let longest = format!("{:<MAX_LINE$}\n", "get_clients");
    assert_eq!(ask(&daemon.path, &longest), CLIENTS);
    let longer = format!("get_clients{}\n", " ".repeat(MAX_LINE));
    assert!(ask(&daemon.path, &longer).contains("longer than 4096"));

    let mut client = connect(&daemon.path);
    // The daemon hangs up long before the end: writing fails at some point, and that is right.
    let sent = client.write_all(&vec![b'x'; 1024 * 1024]);
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(sent.is_err() || String::from_utf8_lossy(&answer).starts_with("error: "));
    assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
}

#[test]
fn half_a_line_held_open_is_ended_after_5_seconds_and_others_are_served_meanwhile() {
    let daemon = Daemon::start("half");
    let mut silent = connect(&daemon.path);
    let mut half = connect(&daemon.path);
    half.write_all(b"get_cli").unwrap();
    let start = stopwatch();
    assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
    assert!(start.elapsed() < Duration::from_secs(4), "before the 5 seconds are over");
    for client in [&mut silent, &mut half] {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "error: no complete request within 5 seconds\n");
    }
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_line_that_drips_in_counts_from_its_beginning() {
    let daemon = Daemon::start("drip");
    let mut client = connect(&daemon.path);
    let start = stopwatch();
    while client.write_all(b" ").is_ok() && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(200));
    }
    // Each byte would give it 5 seconds more.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn two_hundred_clients_at_once_are_all_served() {
    let daemon = Daemon::start("many");
    let workers: Vec<_> = (0..200)
        .map(|_| {
            let path = daemon.path.clone();
            thread::spawn(move || ask(&path, "get_clients\n"))
        })
        .collect();
    for worker in workers {
        assert_eq!(worker.join().unwrap(), CLIENTS);
    }
}

#[test]
fn two_hundred_silent_clients_do_not_keep_others_out() {
    let daemon = Daemon::start("silent");
    let silent: Vec<_> = (0..200).map(|_| connect(&daemon.path)).collect();
    let start = stopwatch();
    let turns = thread::spawn(move || {
        (0..137).for_each(|_| thread::sleep(Duration::from_millis(20)));
        start.elapsed()
    });
    assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
    let waited = start.elapsed();
    // One place of 64 becomes free every 20 ms, the 201st client waits for 137 of them, which takes
    // this machine so long. If each were kept for 5 seconds, it would wait for 15.
    let turns = turns.join().unwrap();
    assert!(waited < 3 * turns, "{waited:?}, 137 turns of 20 ms take {turns:?}");
    assert!(silent.len() > MAX_CONNECTIONS);
}

#[test]
fn a_client_that_does_not_read_its_answer_holds_up_nobody() {
    let daemon = Daemon::start("deaf");
    let start = stopwatch();
    let _ = ask(&daemon.path, "get_prefixes\n");
    let one = start.elapsed();
    let deaf: Vec<_> = (0..8)
        .map(|_| {
            let mut client = connect(&daemon.path);
            // More than 1 MB: no socket buffer holds that.
            client.write_all(b"get_prefixes\n").unwrap();
            client
        })
        .collect();
    let start = stopwatch();
    assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
    // Behind one that does not read it would wait for 5 seconds. Eight large answers are made
    // meanwhile.
    let bearable = Duration::from_secs(2) + 16 * one;
    assert!(start.elapsed() < bearable, "{:?}, one large answer takes {one:?}", start.elapsed());
    for mut client in deaf {
        let hung_up = (0..600).any(|_| {
            thread::sleep(Duration::from_millis(100));
            client.write_all(b"\n").is_err()
        });
        assert!(hung_up, "the daemon waits for ever");
        // The daemon has not read what was written to find that out: the rest of the answer may be
        // gone with it.
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(!answer.ends_with(b"] }"), "the daemon has hung up before the end");
    }
}

#[test]
fn a_large_answer_arrives_whole() {
    let daemon = Daemon::start("large");
    let answer = ask(&daemon.path, "get_prefixes\n");
    assert!(answer.len() > 1_000_000 && answer.ends_with(" ] }"), "{}", answer.len());
}

/// What respondd modules do: they keep their side open, read blocks of 255 bytes, and take the first that is not full for the last.
#[test]
fn a_reader_that_stops_at_the_first_short_block_has_the_whole_answer() {
    let daemon = Daemon::start("short");
    for _ in 0..50 {
        let mut client = connect(&daemon.path);
        client.write_all(b"get_clients\n").unwrap();
        let (mut answer, mut block) = (Vec::new(), [0; 255]);
        loop {
            let count = client.read(&mut block).unwrap();
            answer.extend_from_slice(&block[..count]);
            if count < block.len() {
                break;
            }
        }
        assert_eq!(String::from_utf8(answer).unwrap(), CLIENTS);
    }
}

/// What Gluon's program uc does: everything at once, then the end; whatever comes until the end is the answer, and an error is a failure
/// for which its users try again for ever.
#[test]
fn many_requests_in_a_row_all_end_in_order() {
    let daemon = Daemon::start("row");
    for turn in 0..200 {
        let interface = format!("mesh{}", turn % 4);
        assert_eq!(ask(&daemon.path, &format!("add_meshif {interface}\n")), "");
        assert_eq!(ask(&daemon.path, &format!("del_meshif {interface}\n")), "");
        assert_eq!(ask(&daemon.path, "get_meshifs\n"), r#"{ "mesh_interfaces": [ "mesh0" ] }"#);
    }
}

#[test]
fn a_client_that_goes_away_before_the_answer_disturbs_nobody() {
    let daemon = Daemon::start("gone");
    for _ in 0..50 {
        let mut client = connect(&daemon.path);
        client.write_all(b"get_prefixes\n").unwrap();
        client.shutdown(Shutdown::Both).unwrap();
    }
    assert_eq!(ask(&daemon.path, "get_clients\n"), CLIENTS);
}

#[test]
fn a_stale_socket_is_replaced_a_living_one_and_other_files_are_not() {
    let path = harness::path("stale");
    drop(UnixListener::bind(&path).unwrap());
    let daemon = Daemon::start_at(path.clone());
    assert_eq!(ask(&path, "get_clients\n"), CLIENTS);

    let second = harness::bind_error(&path);
    assert!(second.contains("another instance") && second.contains("-s"), "{second}");
    assert_eq!(ask(&path, "get_clients\n"), CLIENTS, "the first one is not disturbed");
    daemon.stop();
    assert!(!path.exists(), "the file is removed at the end");

    std::fs::write(&path, "precious").unwrap();
    assert!(harness::bind_error(&path).contains("no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();

    assert!(harness::bind_error("/nonexistent/socket".as_ref()).contains("/nonexistent/socket"));
    let long = format!("/tmp/{}", "x".repeat(200));
    assert!(harness::bind_error(long.as_ref()).contains("xxx"));
}

#[test]
fn an_instance_that_is_too_busy_to_accept_counts_as_alive() {
    let path = harness::path("busy");
    let listener = UnixListener::bind(&path).unwrap();
    let mut filling = Vec::new();
    // Fills the backlog: the kernel then answers "try again" instead of "refused".
    loop {
        let socket = match harness::connect_now(&path) {
            Ok(socket) => socket,
            Err(_) => break,
        };
        filling.push(socket);
        assert!(filling.len() < 100_000);
    }
    assert!(harness::bind_error(&path).contains("another instance"));
    drop(listener);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_file_of_another_instance_is_not_removed() {
    let path = harness::path("other");
    let daemon = Daemon::start_at(path.clone());
    std::fs::remove_file(&path).unwrap();
    let _other: UnixListener = UnixListener::bind(&path).unwrap();
    daemon.stop();
    assert!(path.exists());
    let _: UnixStream = connect(&path);
    std::fs::remove_file(&path).unwrap();
}
