//! The status page of daemons that are played: many clients that roam, and names and addresses that are none.

use serde_json::{Map, Value, json};

use crate::Test;
use crate::bridge::{Bridge, Daemon};
use crate::browser::{Browser, Screen};
use crate::measure::{Outcome, must};
use crate::router::Answer;
use crate::stage::{ROWS, STATUS, poll};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("two_hundred_clients_that_roam", roaming),
    ("what_comes_from_the_network_is_text", hostile),
    ("a_daemon_that_does_not_answer_is_told", silent),
];

/// Would run a script wherever it became HTML.
const BAIT: &str = "<img src=x onerror=\"window.caught=1\"><script>window.caught=2</script>&lt;\"'";

/// A daemon with these clients and handovers, every name of which `dress` may change.
fn play(clients: u64, dress: fn(&str) -> String) -> Daemon {
    Daemon::Script(Box::new(move |method, arguments| Some(reply(method, arguments, clients, dress))))
}

fn mac(n: u64) -> String {
    format!("02:00:5e:30:{:02x}:{:02x}", n >> 8, n & 255)
}

fn reply(method: &str, arguments: &Value, clients: u64, dress: fn(&str) -> String) -> Answer {
    Ok(match method {
        "get_status" => json!({
            "version": dress("0.1.0"), "node_address": dress("2001:db8::1"), "uptime": 90_061, "clients": clients, "former_clients": 17,
            "addresses": clients * 3, "peers": 12, "handovers": { "incoming": 812, "outgoing": 790 }, "waiting": { "packets": 2, "bytes": 180 },
            "export_table": 254, "ubus": { "connected": true, "subscribed": false },
            "problems": [{ "subject": dress("interface mesh1"), "problem": dress("does not exist") }],
        }),
        "get_clients" => {
            let wanted = arguments["mac"].as_str();
            let after = arguments["after"].as_str().unwrap_or_default();
            let limit = usize::try_from(arguments["limit"].as_u64().unwrap_or(100)).unwrap_or(100);
            let behind = (0..clients)
                .filter(|n| mac(*n).as_str() > after && wanted.is_none_or(|wanted| wanted == mac(*n)));
            let all: Vec<u64> = behind.collect();
            if all.is_empty() && wanted.is_some() {
                return Err(4);
            }
            let page: Vec<Value> = all.iter().take(limit).map(|n| client(*n, dress)).collect();
            json!({ "total": clients, "more": all.len() > limit, "clients": page })
        }
        "get_handovers" => {
            json!({ "handovers": (0..clients.min(128)).map(|n| handover(n, dress)).collect::<Vec<_>>() })
        }
        "get_interfaces" => json!({ "interfaces": [
            { "name": dress("br-client"), "role": "client", "usable": true, "device": dress("br-client"), "ifindex": 4 },
            { "name": dress("mesh0"), "role": "mesh", "usable": true, "device": dress("mesh0"), "ifindex": 5 },
            { "name": dress("mesh1"), "role": dress("mesh"), "usable": false, "reason": dress("does not exist") },
        ] }),
        "get_prefixes" => {
            json!({ "prefixes": [{ "prefix": dress("2001:db8:c::/64"), "addresses": clients * 2 }] })
        }
        "get_peers" => json!({ "peers": (2..14).map(|n| json!({
            "address": dress(&format!("fd00:1::{n}")), "last_heard_ms": n * 4321, "capabilities": [dress("tails"), "relay"],
            "c_daemon": n == 7, "round_trip_us": n * 1700,
        })).collect::<Vec<_>>() }),
        "get_statistics" => {
            let mut drops = Map::new();
            for (name, count) in [
                ("own_packet", 913),
                ("duplicate", 40_211),
                ("queue_full", 12),
                ("truncated", 0),
                ("something_new", 3),
            ] {
                drops.insert(dress(name), count.into());
            }
            json!({
                "counters": { "seek_sent": 100, "address_contested": 1, "relay_sent": 1234, "relay_passed_on": 5, dress("claim_sent"): 812 },
                "drops": drops, "kernel": { "netlink_overruns": 0 }, "ubus": { "calls": 7 },
            })
        }
        "get_config" => json!({ "tunables": { "max_handovers": 128 } }),
        _ => return Err(3),
    })
}

fn client(n: u64, dress: fn(&str) -> String) -> Value {
    let state = ["active", "active", "tentative", "inactive"];
    let addresses = (0..1 + n % 5).map(|i| json!({
        "address": dress(&if i == 1 { format!("10.42.{}.{}", n >> 8, n & 255) } else { format!("2001:db8:c::{n:x}:{i}") }),
        "state": dress(state[usize::try_from((n + i) % 4).unwrap_or(0)]), "last_seen_ms": n * 97 + i * 1500, "source": dress("client"),
    }));
    let mut client = json!({
        "mac": mac(n), "interface": dress("br-client"), "port": dress(&format!("phy{}-ap0", n % 2)), "evidence": dress("station"),
        "since_ms": n * 31_000 + 900, "last_seen_ms": n * 97, "settled": n % 9 != 0, "node_client_address": dress("fec0::5eff:fe30:1"),
        "addresses": addresses.collect::<Vec<_>>(),
    });
    if n % 3 != 0 {
        client["last_handover"] = json!({
            "age_ms": n * 31_000 + 500, "direction": "incoming", "peer": dress(&format!("fd00:1::{}", 2 + n % 12)),
            "duration_ms": 12 + n * 7 % 300, "outcome": dress("completed"),
        });
    }
    client
}

/// Every client comes and goes some times, at different nodes.
fn handover(n: u64, dress: fn(&str) -> String) -> Value {
    let who = n % 17;
    json!({
        "age_ms": n * n * 190 + 2000, "mac": mac(who), "direction": if (n / 17) % 2 == 0 { "incoming" } else { "outgoing" },
        "peer": dress(&format!("fd00:1::{}", 2 + (n / 34 + who) % 12)), "addresses": 2, "duration_ms": 9 + n * 37 % 240,
        "steps": { dress("evidence_to_claim_us"): 800, "claim_to_info_us": 14_200 }, "packets_buffered": n % 4, "packets_relayed": n % 6,
        "outcome": if n == 5 { "unanswered" } else { "completed" },
    })
}

fn roaming() -> Outcome {
    let bridge = Bridge::start(play(200, str::to_owned));
    bridge.world().router.hints = (0..150)
        .map(|n| {
            (mac(n).to_uppercase(), json!({ "name": format!("phone-{n}"), "ipaddrs": [], "ip6addrs": [] }))
        })
        .collect::<Map<_, _>>()
        .into();
    let mut browser = Browser::start();
    for (screen, name) in [
        (Screen::Light, "clients-200"),
        (Screen::Dark, "clients-200-dark"),
        (Screen::Phone, "clients-200-phone"),
    ] {
        browser.open(&bridge.page(STATUS, "administrator"), screen, "");
        browser.wait(&format!(
            "{ROWS}.length == 25 && document.querySelectorAll('.l3roamd-timeline circle').length > 20"
        ));
        let cards = browser.eval("document.querySelector('.l3roamd-cards').innerText.replace(/\\s+/g, ' ')");
        let cards = cards.as_str().unwrap_or_default();
        for wanted in [
            "Clients now 200",
            "median of",
            "Packets relayed 1,239",
            "Drops that want attention 16",
            "queue_full: 12",
        ] {
            must(cards.contains(wanted), format!("the cards do not have {wanted:?}: {cards}"))?;
        }
        browser.picture(name);
        let complaints = browser.close();
        must(complaints.is_empty(), format!("{complaints:#?}"))?;
    }
    browser.open(&bridge.page(STATUS, "administrator"), Screen::Light, "");
    browser.wait(&format!("{ROWS}.length == 25"));
    // Sorted, searched and shown on; the list comes in pages.
    for client in [mac(0), mac(199)] {
        browser.eval("document.querySelectorAll('.l3roamd-sort')[4].click(); 0");
        browser.wait(&format!("{ROWS}[0].innerText.includes('{client}')"));
    }
    browser.eval("const input = document.querySelector('.l3roamd input[type=search]'); input.value = 'phone-14 ap0'; input.dispatchEvent(new Event('input')); 0");
    must(
        browser.eval(&format!("{ROWS}.length")) == 11,
        "the search finds others than phone-14, phone-140 to phone-149",
    )?;
    browser.eval("const again = document.querySelector('.l3roamd input[type=search]'); again.value = ''; again.dispatchEvent(new Event('input')); [...document.querySelectorAll('.l3roamd button')].find((button) => button.textContent == 'Show more').click(); 0");
    must(browser.eval(&format!("{ROWS}.length")) == 125, "the others are not shown")?;
    // Those without a name are in the order of their MACs.
    browser.eval("document.querySelectorAll('.l3roamd-sort')[0].click(); [...document.querySelectorAll('.l3roamd button')].find((button) => button.textContent == 'Show more').click(); 0");
    let last = browser
        .eval(&format!("[...{ROWS}].map((row) => row.innerText.match(/02:[0-9a-f:]+/)[0]).slice(-1)[0]"));
    must(last == mac(199), format!("the last one shown is {last}"))?;
    // A poll makes no node anew where nothing has changed.
    browser.eval(&format!("window.marked = [...{ROWS}]; 0"));
    poll(&mut browser, &bridge);
    must(
        browser.eval(&format!("[...{ROWS}].every((row, i) => row === marked[i])")) == true,
        "rows are made anew",
    )?;
    let complaints = browser.close();
    must(complaints.is_empty(), format!("{complaints:#?}"))
}

fn hostile() -> Outcome {
    fn dress(word: &str) -> String {
        // What decides how something is shown stays; everything else is bait.
        if word == "completed" { word.to_owned() } else { format!("{word}{BAIT}") }
    }
    let bridge = Bridge::start(play(25, dress));
    bridge.world().router.hints = (0..25)
        .map(|n| {
            (
                mac(n).to_uppercase(),
                json!({ "name": format!("{n}{BAIT}"), "ipaddrs": [BAIT], "ip6addrs": [BAIT] }),
            )
        })
        .collect::<Map<_, _>>()
        .into();
    let mut browser = Browser::start();
    browser.open(&bridge.page(STATUS, "administrator"), Screen::Light, "");
    browser.wait(&format!("{ROWS}.length == 25"));
    browser.eval("document.querySelectorAll('.l3roamd-open').forEach((button) => button.click()); document.querySelectorAll('.l3roamd details').forEach((details) => { details.open = true; }); 0");
    poll(&mut browser, &bridge);
    for label in ["Probe…", "Drop client…"] {
        browser.eval(&format!("[...document.querySelectorAll('.l3roamd button')].find((button) => button.textContent == '{label}').click(); 0"));
        let dialogue = browser.eval("document.querySelector('.modal').innerText");
        must(
            dialogue.as_str().is_some_and(|text| text.contains("onerror=")),
            format!("the dialogue does not show the name: {dialogue}"),
        )?;
        must(
            browser.eval("document.querySelectorAll('.modal img, .modal script').length") == 0,
            "the dialogue has HTML of the name",
        )?;
        browser.eval("document.querySelector('.modal .button-row button').click(); 0");
    }
    browser.picture("hostile");
    let found = browser.eval("[ window.caught || 0, document.querySelectorAll('#view img, #view script').length, document.querySelector('#view').innerText.split('onerror=').length > 100 ]");
    must(found == json!([0, 0, true]), format!("bait was taken: {found}"))?;
    // Replies that are no replies.
    bridge.world().daemon = Daemon::Script(Box::new(|_, _| {
        Some(Ok(json!({ "clients": "x", "handovers": 7, "problems": {}, "drops": [] })))
    }));
    poll(&mut browser, &bridge);
    browser.wait("document.querySelector('.l3roamd')");
    let complaints = browser.close();
    must(complaints.is_empty(), format!("{complaints:#?}"))
}

fn silent() -> Outcome {
    let bridge = Bridge::start(Daemon::Script(Box::new(|_, _| Some(Err(7)))));
    let mut browser = Browser::start();
    browser.open(&bridge.page(STATUS, "administrator"), Screen::Light, "");
    browser.wait("/l3roamd does not answer/.test(document.body.innerText)");
    bridge.world().daemon = play(3, str::to_owned);
    poll(&mut browser, &bridge);
    browser.wait(&format!("{ROWS}.length == 3"));
    let complaints = browser.close();
    must(complaints.is_empty(), format!("{complaints:#?}"))
}
