//! Who may call what: rpcd's rules, read from the app's own file in acl.d, and logins with some of the groups.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The app's package.
pub fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openwrt-package/luci-app-l3roamd")
}

/// A JSON file of the app.
pub fn file(path: &str) -> Value {
    let path = package().join("root").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The app's group, which its menu entries depend on.
pub const GROUP: &str = "luci-app-l3roamd";

/// What every LuCI has beside, as far as the views' runtime calls it.
fn base() -> Value {
    json!({
        "unauthenticated": { "read": { "ubus": { "luci": ["getFeatures"], "session": ["access"] } } },
        "luci-base": {
            "read": { "ubus": { "uci": ["changes", "get"], "file": ["list"] } },
            "write": { "ubus": { "uci": ["add", "apply", "confirm", "delete", "order", "set"] } },
        },
        "luci-base-network-status": {
            "read": {
                "ubus": { "luci-rpc": ["getWirelessDevices"] },
                "uci": ["luci", "network", "wireless"],
            },
        },
    })
}

/// All rules.
pub struct Rules(BTreeMap<String, Value>);

/// Somebody who is logged in: groups, each with whether it is granted for writing.
#[derive(Clone, Debug)]
pub struct Login(pub Vec<(&'static str, bool)>);

impl Login {
    /// Root.
    pub fn administrator() -> Self {
        Self(vec![
            ("unauthenticated", false),
            ("luci-base", true),
            ("luci-base-network-status", true),
            (GROUP, true),
        ])
    }

    /// A login with the app's group for reading and nothing else.
    pub fn reader() -> Self {
        Self(vec![("unauthenticated", false), (GROUP, false)])
    }

    /// A login without the app.
    pub fn stranger() -> Self {
        Self(vec![("unauthenticated", false), ("luci-base", true)])
    }

    /// Whether it has the app at all, and whether for writing.
    pub fn app(&self) -> Option<bool> {
        self.0.iter().find(|(group, _)| *group == GROUP).map(|(_, write)| *write)
    }
}

impl Rules {
    /// Those of LuCI and of the app.
    pub fn new() -> Self {
        let mut rules = BTreeMap::new();
        for source in [base(), file("usr/share/rpcd/acl.d/luci-app-l3roamd.json")] {
            let Value::Object(groups) = source else { panic!("groups by name") };
            rules.extend(groups);
        }
        Self(rules)
    }

    /// Whether a login may call a method.
    pub fn may_call(&self, login: &Login, object: &str, method: &str) -> bool {
        self.sections(login, &["read", "write"]).any(|section| lists(&section["ubus"][object], method))
    }

    /// Whether a login may read, or write, a configuration.
    pub fn may_configure(&self, login: &Login, config: &str, write: bool) -> bool {
        let modes: &'static [&'static str] = if write { &["write"] } else { &["read", "write"] };
        self.sections(login, modes).any(|section| lists(&section["uci"], config))
    }

    fn sections<'a>(
        &'a self,
        login: &'a Login,
        modes: &'static [&'static str],
    ) -> impl Iterator<Item = &'a Value> {
        login.0.iter().flat_map(move |(group, write)| {
            let rules = &self.0[*group];
            modes.iter().filter(move |mode| **mode == "read" || *write).map(move |mode| &rules[*mode])
        })
    }
}

fn lists(names: &Value, name: &str) -> bool {
    names.as_array().is_some_and(|names| names.iter().any(|listed| listed == name))
}
