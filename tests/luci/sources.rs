//! The app's files as they are: scripts without faults, strings for translators, rules and menu that fit the daemon.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Failed};

use crate::access;

/// A test that needs no namespace.
type Test = (&'static str, fn() -> Result<Completion, Failed>);

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("eslint_has_nothing_to_say", eslint),
    ("every_script_is_valid_javascript", valid),
    ("no_script_makes_html_of_text", text_only),
    ("the_template_for_translators_has_every_string", template),
    ("the_access_rules_name_methods_that_there_are", rules),
];

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The app's scripts and what they say.
fn scripts() -> Vec<(PathBuf, String)> {
    let resources = access::package().join("htdocs/luci-static/resources");
    let mut scripts = Vec::new();
    for directory in ["l3roamd", "view/l3roamd"] {
        let files = std::fs::read_dir(resources.join(directory)).unwrap();
        for path in
            files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "js"))
        {
            let text = std::fs::read_to_string(&path).unwrap();
            scripts.push((path, text));
        }
    }
    scripts.sort();
    scripts
}

fn done(wrong: Vec<String>) -> Result<Completion, Failed> {
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}

fn eslint() -> Result<Completion, Failed> {
    let program = std::env::var_os("L3ROAMD_ESLINT")
        .map_or_else(|| PathBuf::from("target/eslint/node_modules/.bin/eslint"), PathBuf::from);
    let output = Command::new(&program)
        .current_dir(tree())
        .args([
            "--config",
            "tests/luci/eslint.config.mjs",
            "--max-warnings",
            "0",
            "openwrt-package/luci-app-l3roamd/htdocs",
            "tests/luci/standin",
        ])
        .output();
    match output {
        Err(_) => Ok(Completion::ignored_with(
            "needs eslint: tests/run installs it with npm, or set L3ROAMD_ESLINT",
        )),
        Ok(output) if output.status.success() => Ok(Completion::Completed),
        Ok(output) => Err(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}

/// LuCI runs a script as the body of a function.
fn valid() -> Result<Completion, Failed> {
    let mut wrong = Vec::new();
    for (path, text) in scripts() {
        let check = "try { new Function('L', require('fs').readFileSync(0, 'utf8')); } catch (error) { console.log(error.message); process.exit(1); }";
        let mut child = match Command::new("node")
            .args(["-e", check])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(_) => return Ok(Completion::ignored_with("needs node")),
        };
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            wrong.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stdout)));
        }
        if !text.starts_with("'use strict';\n") {
            wrong.push(format!("{}: not strict", path.display()));
        }
    }
    done(wrong)
}

/// LuCI's E() and dom.content() take a bare string for HTML: children are arrays or nodes.
fn text_only() -> Result<Completion, Failed> {
    let mut wrong = Vec::new();
    for (path, text) in scripts() {
        for (number, line) in text.lines().enumerate() {
            let mut say = |what: &str| {
                wrong.push(format!("{}:{}: {what}: {}", path.display(), number + 1, line.trim()))
            };
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "dom.content",
                "dom.append",
                "E('<",
            ] {
                if line.contains(word) {
                    say(word);
                }
            }
            for call in line.split("E('").skip(1) {
                let after = call.split_once('\'').map_or("", |(_, after)| after);
                // E(name), E(name, {...}) or E(name, {...}, [...]): the attributes' end is on another line where they are long.
                if let Some((_, children)) = after.split_once("}, ") {
                    let nested = children.starts_with('[')
                        || children.starts_with("COLUMNS.")
                        || children.starts_with("WINDOWS.")
                        || children.starts_with("titles.")
                        || children.starts_with("cells")
                        || children.starts_with("this.heads")
                        || children.starts_with("contents[")
                        || children.starts_with("Object.values(");
                    let own = !after.split("}, ").next().unwrap_or("").contains(')');
                    if own && !nested {
                        say("a child that is no array");
                    }
                }
            }
        }
    }
    done(wrong)
}

/// The first literal of a text, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let start = text.find('\'')? + 1;
    let (mut string, mut escaped) = (String::new(), false);
    for (at, letter) in text[start..].char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            '\'' if !escaped => return Some((string, &text[start + at + 1..])),
            letter => {
                string.push(letter);
                escaped = false;
            }
        }
    }
    None
}

/// What the functions `_` and `N_` are called with, literally; with the plural for the latter.
fn strings(text: &str) -> BTreeSet<(String, Option<String>)> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("_(") {
        let before = text[..start].chars().next_back().unwrap_or(' ');
        let rest = &text[start + 2..];
        if before == 'N' {
            let Some((one, rest)) = rest.split_once(", ").and_then(|(_, rest)| literal(rest)) else {
                continue;
            };
            found.insert((one, literal(rest).map(|(many, _)| many)));
        } else if !before.is_ascii_alphanumeric() && before != '_' && rest.starts_with('\'') {
            found.extend(literal(rest).map(|(string, _)| (string, None)));
        }
    }
    found
}

fn template() -> Result<Completion, Failed> {
    let mut all: BTreeSet<(String, Option<String>)> =
        scripts().iter().flat_map(|(_, text)| strings(text)).collect();
    let menu = access::file("usr/share/luci/menu.d/luci-app-l3roamd.json");
    let rules = access::file("usr/share/rpcd/acl.d/luci-app-l3roamd.json");
    for (file, key) in [(menu, "title"), (rules, "description")] {
        let texts = file.as_object().unwrap().values().filter_map(|entry| entry[key].as_str());
        all.extend(texts.map(|text| (text.to_owned(), None)));
    }
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut expected = "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\"\n".to_owned();
    for (one, many) in &all {
        expected += &format!("\nmsgid \"{}\"\n", quote(one));
        expected += &match many {
            Some(many) => {
                format!("msgid_plural \"{}\"\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n", quote(many))
            }
            None => "msgstr \"\"\n".to_owned(),
        };
    }
    let path = access::package().join("po/templates/l3roamd.pot");
    if std::env::var_os("L3ROAMD_UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    if std::fs::read_to_string(&path).unwrap_or_default() == expected {
        return Ok(Completion::Completed);
    }
    Err(format!(
        "{} is old: L3ROAMD_UPDATE=1 cargo test --test luci template writes it again",
        path.display()
    )
    .into())
}

fn rules() -> Result<Completion, Failed> {
    let methods = l3roamd::openwrt::object::spec(&[]).methods;
    let group = &access::file("usr/share/rpcd/acl.d/luci-app-l3roamd.json")[access::GROUP];
    let mut wrong = Vec::new();
    for mode in ["read", "write"] {
        for listed in group[mode]["ubus"]["l3roamd"].as_array().unwrap() {
            let name = listed.as_str().unwrap();
            if !methods.iter().any(|method| method.name == name) {
                wrong.push(format!("{mode}: the object has no method {name}"));
            }
            if (mode == "read") != (name.starts_with("get_") || name == "has_route") {
                wrong.push(format!("{mode}: {name}"));
            }
        }
    }
    for method in methods.iter().filter(|method| method.name.starts_with("get_")) {
        if !group["read"]["ubus"]["l3roamd"].as_array().unwrap().iter().any(|name| name == method.name) {
            wrong.push(format!("read: {} is missing", method.name));
        }
    }
    for (path, entry) in access::file("usr/share/luci/menu.d/luci-app-l3roamd.json").as_object().unwrap() {
        let view = entry["action"]["path"].as_str().unwrap_or_default();
        if !access::package().join(format!("htdocs/luci-static/resources/view/{view}.js")).is_file() {
            wrong.push(format!("{path}: no view {view}"));
        }
        if entry["depends"]["acl"] != serde_json::json!([access::GROUP]) {
            wrong.push(format!("{path}: does not depend on {}", access::GROUP));
        }
    }
    done(wrong)
}
