//! The status page of a real daemon.

use std::time::Duration;

use serde_json::json;

use crate::Test;
use crate::browser::Screen;
use crate::client::Client;
use crate::measure::{Outcome, bound, eventually, measure, must};
use crate::stage::{CONFIG, ROWS, STATUS, Stage, poll};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("the_status_page_of_a_daemon_without_clients", empty),
    ("a_client_roams_and_the_page_follows_in_place", roaming),
    ("an_operator_probes_seeks_and_drops", operator),
    ("a_login_with_the_read_group_alone_sees_everything_and_changes_nothing", reader),
    ("a_daemon_that_stops_is_told_and_one_that_comes_back_is_shown", stopped),
    ("two_thousand_clients_are_painted_and_updated_in_time", crowd),
];

fn text(stage: &mut Stage, expression: &str) -> String {
    stage.browser.eval(expression).as_str().unwrap_or_default().to_owned()
}

fn has(stage: &mut Stage, wanted: &str) -> Outcome {
    let page = text(stage, "document.querySelector('#view').innerText");
    must(page.contains(wanted), format!("the page does not have {wanted:?}:\n{page}"))
}

fn empty() -> Outcome {
    let mut stage = Stage::new(2);
    stage.open(STATUS, "administrator", Screen::Light);
    stage.browser.wait("/0 of 0 clients/.test(document.body.innerText)");
    for wanted in [
        "No client is served here now.",
        "No client was handed over",
        "No other node was heard.",
        "2001:db8:c::/64",
    ] {
        has(&mut stage, wanted)?;
    }
    stage.browser.picture("empty");
    stage.close()
}

/// A client that came, went to another node and came back.
fn returned(stage: &mut Stage) -> Result<Client, crate::measure::Trouble> {
    let client = Client::new(&mut stage.lab, 1);
    for node in [0, 2, 0] {
        stage.attach(&client, node)?;
        std::thread::sleep(Duration::from_millis(700));
    }
    let hint = json!({ client.mac.to_string().to_uppercase(): { "name": "phone-of-somebody", "ipaddrs": [], "ip6addrs": [] } });
    stage.bridge.world().router.hints = hint;
    Ok(client)
}

fn roaming() -> Outcome {
    let mut stage = Stage::new(3);
    let client = returned(&mut stage)?;
    let second = Client::new(&mut stage.lab, 2);
    stage.open(STATUS, "administrator", Screen::Light);
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    stage.browser.wait("document.querySelectorAll('.l3roamd-timeline circle').length >= 2");
    for wanted in [
        "phone-of-somebody",
        &client.mac.to_string(),
        &client.v6.to_string(),
        "fd00:1::3",
        "usable",
        "active",
    ] {
        has(&mut stage, wanted)?;
    }
    stage.browser.eval("document.querySelector('.l3roamd-open').click(); window.kept = document.querySelector('.l3roamd-details'); 0");
    has(&mut stage, "Node-client address")?;
    stage.browser.eval("const input = document.querySelector('.l3roamd input[type=search]'); input.value = '02'; input.dispatchEvent(new Event('input')); 0");
    stage.browser.picture("light");
    stage.browser.screen(Screen::Dark);
    stage.browser.eval("document.documentElement.setAttribute('data-darkmode', 'true'); 0");
    stage.browser.picture("dark");
    stage.browser.screen(Screen::Light);
    stage
        .browser
        .eval("document.documentElement.setAttribute('data-darkmode', 'false'); window.scrollTo(0, 200); 0");
    // Somebody comes, somebody goes: the row that is open stays the same node, what is searched for stays.
    stage.attach(&second, 0)?;
    stage.poll();
    stage.browser.wait(&format!("{ROWS}.length == 2"));
    let kept = stage.browser.eval("[ document.contains(window.kept), document.querySelector('.l3roamd input[type=search]').value, window.scrollY ]");
    must(kept == json!([true, "02", 200]), format!("a poll changes what an operator did: {kept}"))?;
    stage.attach(&client, 2)?;
    stage.poll();
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    stage.close()?;

    stage.attach(&client, 0)?;
    stage.open(STATUS, "administrator", Screen::Phone);
    stage.browser.wait(&format!("{ROWS}.length == 2"));
    stage.browser.eval("document.querySelector('.l3roamd-open').click(); 0");
    let wide = stage.browser.eval("document.documentElement.scrollWidth");
    stage.browser.picture("phone");
    must(
        wide.as_f64().is_some_and(|wide| wide <= 391.0),
        format!("the page is {wide} pixels wide on a phone of 390"),
    )?;
    stage.close()
}

/// Presses the last button of the open dialogue and waits for the result.
fn confirm(stage: &mut Stage) -> String {
    stage.browser.eval("[...document.querySelectorAll('.modal .button-row button')].pop().click(); 0");
    stage.browser.wait("document.querySelector('.l3roamd-result').textContent");
    let result = text(stage, "document.querySelector('.l3roamd-result').textContent");
    stage.browser.eval("document.querySelector('.modal .button-row button').click(); 0");
    result
}

fn press(stage: &mut Stage, label: &str) {
    let expression = format!(
        "[...document.querySelectorAll('.l3roamd button')].find((button) => button.textContent == '{label}')"
    );
    stage.browser.wait(&expression);
    stage.browser.eval(&format!("{expression}.click(); 0"));
}

fn operator() -> Outcome {
    let mut stage = Stage::new(3);
    let client = returned(&mut stage)?;
    stage.open(STATUS, "administrator", Screen::Light);
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    stage.browser.eval("document.querySelector('.l3roamd-open').click(); 0");
    press(&mut stage, "Probe…");
    stage.browser.picture("dialogue");
    let mut probed = confirm(&mut stage);
    // The page does not wait for an answer for long; the client may.
    for _ in 0..20 {
        if !probed.contains("so far") {
            break;
        }
        press(&mut stage, "Probe…");
        probed = confirm(&mut stage);
    }
    must(probed.contains("in use"), format!("probe: {probed}"))?;
    for (address, wanted) in [
        (client.v6.to_string(), "Found here"),
        ("2001:db8:c::9:9".to_owned(), "Nobody has it."),
        ("2001:db8:ffff::1".to_owned(), "refuses"),
        ("nonsense".to_owned(), "refuses"),
    ] {
        press(&mut stage, "Seek an address…");
        stage.browser.eval(&format!("document.querySelector('.modal input').value = '{address}'; 0"));
        let sought = confirm(&mut stage);
        must(sought.contains(wanted), format!("seek {address}: {sought}"))?;
    }
    press(&mut stage, "Drop client…");
    // Nothing happens before it is confirmed.
    must(stage.ask("get_status", json!({}))["clients"] == 1, "dropped without a question")?;
    client.roam(None);
    let dropped = confirm(&mut stage);
    must(dropped.starts_with("Dropped"), format!("drop: {dropped}"))?;
    must(stage.ask("get_status", json!({}))["clients"] == 0, "not dropped")?;
    stage.browser.wait(&format!("{ROWS}.length == 0"));
    stage.close()
}

fn reader() -> Outcome {
    let mut stage = Stage::new(3);
    let client = returned(&mut stage)?;
    stage.open(STATUS, "reader", Screen::Light);
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    stage.browser.eval("document.querySelector('.l3roamd-open').click(); 0");
    for wanted in ["phone-of-somebody", &client.v6.to_string(), "fd00:1::3", "usable"] {
        has(&mut stage, wanted)?;
    }
    let buttons = text(
        &mut stage,
        "[...document.querySelectorAll('.l3roamd button')].filter((button) => /…$/.test(button.textContent)).map((button) => button.textContent).join()",
    );
    must(buttons.is_empty(), format!("a reader is offered {buttons}"))?;
    stage.browser.picture("reader");
    // The bridge refuses what the page does not offer.
    for (method, arguments) in [
        ("probe", json!({ "address": client.v6.to_string(), "mac": client.mac.to_string() })),
        ("drop_client", json!({ "mac": client.mac.to_string() })),
    ] {
        let call = format!(
            "fetch('/ubus/', {{ method: 'POST', body: JSON.stringify({{ jsonrpc: '2.0', id: 1, method: 'call', params: [ 'reader', 'l3roamd', '{method}', {arguments} ] }}) }}).then((reply) => reply.json())"
        );
        let reply = stage.browser.eval(&call);
        must(reply["error"]["code"] == -32002, format!("{method} is not refused: {reply}"))?;
    }
    let mut refused = std::mem::take(&mut stage.bridge.world().refused);
    // What LuCI itself tries with every login.
    refused.retain(|call| call != "reader: file list");
    must(
        refused == ["reader: l3roamd probe", "reader: l3roamd drop_client"],
        format!("the page asks for what a reader may not see: {refused:?}"),
    )?;
    stage.close()?;
    for path in [STATUS, CONFIG] {
        let url = stage.bridge.page(path, "stranger");
        stage.browser.open(&url, Screen::Light, "");
        stage.browser.wait("/Forbidden/.test(document.body.innerText)");
        stage.browser.close();
    }
    Ok(())
}

fn stopped() -> Outcome {
    let mut stage = Stage::new(2);
    let client = Client::new(&mut stage.lab, 1);
    stage.attach(&client, 0)?;
    stage.open(STATUS, "administrator", Screen::Light);
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    stage.daemons[0].signal(libc::SIGTERM);
    stage.daemons[0].wait(Duration::from_secs(5));
    eventually(Duration::from_secs(60), || stage.ask("get_status", json!({}))["status"].is_number());
    stage.poll();
    stage.browser.wait("/l3roamd is not running/.test(document.body.innerText)");
    let link = text(&mut stage, "document.querySelector('.l3roamd .alert-message a').getAttribute('href')");
    must(link == "/cgi-bin/luci/admin/system/startup", format!("the link leads to {link}"))?;
    let hidden = stage.browser.eval("document.querySelector('.l3roamd-clients').offsetParent == null");
    must(hidden == true, "what is old is shown")?;
    stage.browser.picture("stopped");
    stage.daemons[0] = stage.start(0);
    client.ask_gateway(true);
    eventually(Duration::from_secs(60), || stage.ask("get_status", json!({}))["clients"] == 1);
    stage.poll();
    stage
        .browser
        .wait(&format!("{ROWS}.length == 1 && document.querySelector('.l3roamd-clients').offsetParent"));
    stage.close()?;
    // The same for who comes when it is stopped already.
    stage.daemons[0].signal(libc::SIGTERM);
    stage.daemons[0].wait(Duration::from_secs(5));
    eventually(Duration::from_secs(60), || stage.ask("get_status", json!({}))["status"].is_number());
    stage.open(STATUS, "reader", Screen::Light);
    stage.browser.wait("/l3roamd is not running/.test(document.body.innerText)");
    stage.close()
}

/// What a poll costs, in milliseconds: script, and everything.
fn polls(stage: &mut Stage) -> (f64, f64) {
    const POLLS: u32 = 5;
    stage.poll();
    let Stage { browser, bridge, .. } = stage;
    let task = browser.metric("TaskDuration");
    for _ in 0..POLLS {
        poll(browser, bridge);
    }
    let task = browser.metric("TaskDuration") - task;
    let script = browser.profile(|browser| {
        for _ in 0..POLLS {
            poll(browser, bridge);
        }
    });
    (script / f64::from(POLLS), task * 1000.0 / f64::from(POLLS))
}

fn crowd() -> Outcome {
    const CLIENTS: u16 = 2000;
    let mut stage = Stage::new(2);
    for n in 0..CLIENTS {
        let [high, low] = n.to_be_bytes();
        let mac = format!("02:00:5e:20:{high:02x}:{low:02x}");
        for address in [format!("2001:db8:c::2:{n:x}"), format!("10.42.{}.{}", 100 + high, low)] {
            let reply = stage.ask("add_address", json!({ "address": address, "mac": mac }));
            must(reply["status"].is_null(), format!("add_address {address}: {reply}"))?;
        }
    }
    must(stage.ask("get_status", json!({}))["clients"] == CLIENTS, "not all clients are served")?;
    stage.open(STATUS, "administrator", Screen::Light);
    stage.browser.wait("seen.completePainted");
    has(&mut stage, "25 of 2000 clients")?;
    let times = stage.browser.eval(
        "(() => {
            const arrivals = performance.getEntriesByType('resource').filter((entry) => /ubus/.test(entry.name)).map((entry) => entry.responseEnd);
            const after = (at, painted) => painted - Math.max(...arrivals.filter((arrival) => arrival <= at));
            return [ after(seen.first, seen.firstPainted), after(seen.complete, seen.completePainted), seen.firstPainted, seen.completePainted ];
        })()",
    );
    let ms = |index: usize| times[index].as_f64().unwrap_or(f64::INFINITY);
    measure(
        "first paint, 2000 clients, after the data arrived",
        format!("{:.0} ms, {:.0} ms after the page was asked for", ms(0), ms(2)),
    );
    measure(
        "whole list of 2000 clients, after the last data arrived",
        format!("{:.0} ms, {:.0} ms after the page was asked for", ms(1), ms(3)),
    );
    bound(
        ms(0) <= 1000.0 && ms(1) <= 1000.0,
        format!("painted after {:.0} and {:.0} ms, more than 1000", ms(0), ms(1)),
    )?;
    stage.browser.picture("clients-2000");
    let (script, task) = polls(&mut stage);
    measure(
        "poll update, 2000 clients",
        format!("{script:.1} ms of script, {task:.1} ms with layout and paint"),
    );
    bound(script <= 100.0, format!("a poll takes {script:.1} ms of script, more than 100"))?;
    // They do not answer, and are forgotten after a minute.
    bound(stage.ask("get_status", json!({}))["clients"] == CLIENTS, "the test took more than a minute")?;
    stage.browser.eval("const more = [...document.querySelectorAll('.l3roamd button')].find((button) => button.textContent == 'Show more'); while (!more.hidden) more.click(); 0");
    stage.browser.wait(&format!("{ROWS}.length == {CLIENTS}"));
    let (script, task) = polls(&mut stage);
    measure(
        "the same with all of them shown",
        format!("{script:.1} ms of script, {task:.1} ms with layout and paint"),
    );
    bound(script <= 100.0, format!("a poll with all rows takes {script:.1} ms of script, more than 100"))?;
    // Search and sort are of all of them, not of those shown.
    stage.browser.eval("const input = document.querySelector('.l3roamd input[type=search]'); input.value = '2:7cf'; input.dispatchEvent(new Event('input')); 0");
    stage.browser.wait(&format!("{ROWS}.length == 1"));
    has(&mut stage, "02:00:5e:20:07:cf")?;
    stage.close()
}
