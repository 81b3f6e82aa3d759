//! The form for /etc/config/l3roamd, held against uci/schema.md.

use serde_json::{Value, json};

use crate::Test;
use crate::bridge::{Bridge, Daemon};
use crate::browser::{Browser, Screen};
use crate::measure::{Outcome, must};
use crate::router::sections;
use crate::stage::CONFIG;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("the_form_has_every_option_with_the_daemons_default", complete),
    ("the_form_refuses_what_the_daemon_would_refuse", ranges),
    ("what_is_saved_goes_to_the_section_of_its_option", saves),
    ("a_login_that_may_only_read_sees_the_form_and_cannot_save", reader),
];

fn open(bridge: &Bridge, session: &str, screen: Screen) -> Browser {
    let mut browser = Browser::start();
    browser.open(&bridge.page(CONFIG, session), screen, "");
    browser.wait("document.querySelector('.cbi-value[data-name=unreachable_rate]')");
    browser
}

fn start() -> Bridge {
    Bridge::start(Daemon::Script(Box::new(|_, _| None)))
}

/// A row of uci/schema.md.
struct Row {
    name: String,
    default: String,
    /// The default is a value, and no description of what stands for it.
    has_value: bool,
    /// For numbers.
    range: Option<(u64, u64)>,
    restarts: bool,
}

/// Every option of the schema.
fn options() -> Vec<Row> {
    let schema = include_str!("../../uci/schema.md");
    let rows = schema.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, default, range, meaning] = cells[..] else { panic!("{line}") };
        let bounds =
            range.split_once(" to ").and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        Row {
            name: name.trim_matches('`').to_owned(),
            default: default.trim_matches('`').to_owned(),
            has_value: default.starts_with('`'),
            range: bounds.filter(|_| matches!(kind, "number" | "milliseconds")),
            restarts: meaning.contains("*restarts*"),
        }
    });
    let rows: Vec<Row> = rows.collect();
    assert!(rows.len() > 40, "{} options", rows.len());
    rows
}

fn complete() -> Outcome {
    let bridge = start();
    let mut browser = open(&bridge, "administrator", Screen::Light);
    let shown = browser.eval(
        "Object.fromEntries([...document.querySelectorAll('.cbi-value[data-name]')].map((node) => {
            const box = node.querySelector('input[type=checkbox]');
            const select = node.querySelector('select');
            const input = node.querySelector('input[placeholder]');
            const empty = node.querySelector('.cbi-dropdown li[placeholder]');
            return [ node.dataset.name, {
                shown: box ? (box.checked ? '1' : '0') : select ? select.value : input ? input.placeholder : empty ? empty.textContent : null,
                text: node.textContent,
            } ];
        }))",
    );
    let table = shown.as_object().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for row in options() {
        let Some(option) = table.get(&row.name) else {
            wrong.push(format!("{} is not in the form", row.name));
            continue;
        };
        let text = option["text"].as_str().unwrap_or_default();
        // The shipped file, which the form shows here, says 0.
        let expected = if row.name == "enabled" { "0" } else { &row.default };
        let placeholder = option["shown"].as_str().unwrap_or_default();
        if placeholder != expected && (row.has_value || !text.to_lowercase().contains(expected)) {
            wrong.push(format!("{}: {placeholder:?} is shown as default and not {expected:?}", row.name));
        }
        if text.contains("restarts the daemon") != row.restarts {
            wrong.push(format!("{}: whether a change restarts is wrong", row.name));
        }
    }
    for name in table.keys().filter(|name| !options().iter().any(|row| row.name == **name)) {
        wrong.push(format!("{name} is no option of the daemon"));
    }
    must(wrong.is_empty(), wrong.join("\n"))?;
    browser.picture("form");
    for tab in ["interfaces", "routing", "timers", "limits"] {
        browser.eval(&format!("document.querySelector('.cbi-tabmenu [data-tab={tab}] a').click(); 0"));
        // Tabs fade in.
        std::thread::sleep(std::time::Duration::from_millis(400));
        browser.picture(&format!("form-{tab}"));
    }
    finish(browser)
}

fn finish(mut browser: Browser) -> Outcome {
    let complaints = browser.close();
    must(complaints.is_empty(), format!("{complaints:#?}"))
}

/// Types a value into the field of an option. Gives whether the form takes it.
fn takes(browser: &mut Browser, name: &str, value: &str) -> bool {
    let taken = browser.eval(&format!(
        "(() => {{
            const input = document.querySelector('.cbi-value[data-name={name}] input[type=text], .cbi-value[data-name={name}] input:not([type])');
            input.value = '{value}';
            for (const name of [ 'input', 'keyup', 'change', 'blur' ])
                input.dispatchEvent(new Event(name, {{ bubbles: true }}));
            return !input.classList.contains('cbi-input-invalid');
        }})()"
    ));
    taken == true
}

fn ranges() -> Outcome {
    let bridge = start();
    let mut browser = open(&bridge, "administrator", Screen::Light);
    let mut wrong = Vec::new();
    let mut check = |browser: &mut Browser, name: &str, value: &str, good: bool| {
        if takes(browser, name, value) != good {
            wrong.push(format!("{name}: {value:?} is {}", if good { "refused" } else { "taken" }));
        }
        takes(browser, name, "");
    };
    for row in options() {
        let Some((low, high)) = row.range else { continue };
        check(&mut browser, &row.name, &low.to_string(), true);
        check(&mut browser, &row.name, &high.to_string(), true);
        check(&mut browser, &row.name, &(high + 1).to_string(), false);
        if low > 0 {
            check(&mut browser, &row.name, &(low - 1).to_string(), false);
        }
        check(&mut browser, &row.name, "1.5", false);
    }
    for (name, value, good) in [
        ("node_address", "fd00::1", true),
        ("node_address", "fd00::1/64", false),
        ("node_address", "10.0.0.1", false),
        ("prefix", "2001:db8::/64", true),
        ("prefix", "10.0.0.0/8", true),
        ("prefix", "everything", false),
        ("node_client_prefix", "fd00:2::/64", true),
        ("node_client_prefix", "fd00:2::/65", false),
        ("v4_prefix", "64:ff9b::/96", true),
        ("v4_prefix", "64:ff9b::/64", false),
        ("plat_prefix", "64:ff9b::/95", false),
        ("mesh_proto", "gluon_mesh", true),
        ("mesh_proto", "gluon mesh", false),
        ("control_socket", "none", true),
        ("control_socket", "/var/run/x.sock", true),
        ("control_socket", "nonsense", false),
        ("capture_device", "l3roam0", true),
        ("capture_device", "sixteen-letters-", false),
        ("probe_schedule", "300", true),
        ("probe_schedule", "10", false),
    ] {
        check(&mut browser, name, value, good);
    }
    must(wrong.is_empty(), wrong.join("\n"))?;
    finish(browser)
}

fn saves() -> Outcome {
    let bridge = start();
    // As Gluon writes it: no sections for timers and limits.
    {
        let mut world = bridge.world();
        world.router.config = sections(&[
            ("main", "mesh_interface", json!(["mesh", "wan7"])),
            ("main", "client_interface", json!(["local-node"])),
        ]);
        world.router.config.remove("timers");
        world.router.config.remove("limits");
    }
    let mut browser = open(&bridge, "administrator", Screen::Light);
    browser.eval("document.querySelector('.cbi-value[data-name=enabled] input[type=checkbox]').click(); document.querySelector('.cbi-value[data-name=source_ndp] input[type=checkbox]').click(); 0");
    must(takes(&mut browser, "seek_delay", "45"), "seek_delay 45 is refused")?;
    must(takes(&mut browser, "max_clients", "500"), "max_clients 500 is refused")?;
    browser.eval("document.querySelector('.cbi-page-actions .cbi-button-save').click(); 0");
    browser.wait("!document.querySelector('.cbi-page-actions .spinning')");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let world = bridge.world();
    let config = Value::Object(world.router.config.clone());
    let saved = json!([
        config["main"]["enabled"],
        config["main"]["source_ndp"],
        config["timers"]["seek_delay"],
        config["limits"]["max_clients"],
        config["main"]["mesh_interface"],
        config["main"]["client_interface"],
        config["main"]["export_table"],
    ]);
    let expected = json!(["1", "0", "45", "500", ["mesh", "wan7"], ["local-node"], null]);
    must(saved == expected, format!("saved {saved} and not {expected}: {:?}", world.router.changes))?;
    must(world.refused.is_empty(), format!("refused: {:?}", world.refused))?;
    drop(world);
    finish(browser)
}

fn reader() -> Outcome {
    let bridge = start();
    let mut browser = open(&bridge, "reader", Screen::Phone);
    let enabled = browser.eval("[...document.querySelectorAll('.cbi-page-actions button, .cbi-value input[type=text]')].filter((node) => !node.disabled && !node.closest('[disabled]')).map((node) => (node.closest('[data-name]') || node.parentNode).outerHTML.slice(0, 300)).join(' | ')");
    must(enabled == "", format!("fields and buttons are enabled: {enabled}"))?;
    browser.picture("form-reader-phone");
    finish(browser)
}
