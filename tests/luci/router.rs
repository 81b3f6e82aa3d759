//! The rest of the router, as far as the views ask for it: host hints, interfaces, devices, and UCI.

use serde_json::{Map, Value, json};

/// What the views' surroundings answer.
pub struct Router {
    /// `luci-rpc getHostHints`.
    pub hints: Value,
    /// /etc/config/l3roamd: sections by name.
    pub config: Map<String, Value>,
    /// Every change of it that was asked for.
    pub changes: Vec<Value>,
}

impl Default for Router {
    fn default() -> Self {
        Self { hints: json!({}), config: sections(&[]), changes: Vec::new() }
    }
}

/// The three sections, with these options of them beside what the shipped file sets.
pub fn sections(options: &[(&str, &str, Value)]) -> Map<String, Value> {
    let mut sections = Map::new();
    for (index, (kind, name)) in l3roamd::openwrt::uci::table::SECTIONS.iter().enumerate() {
        let section = json!({ ".type": kind, ".name": name, ".anonymous": false, ".index": index });
        sections.insert((*name).to_owned(), section);
    }
    sections["main"]["enabled"] = "0".into();
    for (section, name, value) in options {
        sections[*section][*name] = value.clone();
    }
    sections
}

/// What a call comes to: a reply, or a ubus status.
pub type Answer = Result<Value, i32>;

impl Router {
    /// Answers a call; `None` where there is no such object.
    pub fn call(&mut self, object: &str, method: &str, arguments: &Value) -> Option<Answer> {
        let name = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
        Some(match (object, method) {
            ("luci", "getFeatures") => Ok(json!({ "ipv6": true, "firewall4": true })),
            ("luci-rpc", "getHostHints") => Ok(self.hints.clone()),
            ("luci-rpc", "getNetworkDevices") => Ok(devices()),
            ("luci-rpc", "getWirelessDevices" | "getBoardJSON") => Ok(json!({})),
            ("network", "get_proto_handlers") => Ok(json!({ "static": {}, "none": {}, "dhcp": {} })),
            ("network.interface", "dump") => {
                Ok(json!({ "interface": [interface("lan", "br-lan"), interface("mesh", "mesh0")] }))
            }
            ("file", "list") => Err(4),
            ("uci", "get") => match name("config").as_str() {
                "l3roamd" => Ok(json!({ "values": self.config })),
                "network" => Ok(json!({ "values": {
                    "lan": { ".type": "interface", ".name": "lan", "proto": "static", "device": "br-lan" },
                    "mesh": { ".type": "interface", ".name": "mesh", "proto": "none", "device": "mesh0" },
                } })),
                _ => Ok(json!({ "values": {} })),
            },
            ("uci", "changes") => Ok(json!({ "changes": {} })),
            ("uci", "set" | "add") => {
                self.changes.push(json!({ "method": method, "arguments": arguments }));
                let section = self
                    .config
                    .entry(if method == "add" { name("name") } else { name("section") })
                    .or_insert(json!({}));
                for (option, value) in arguments["values"].as_object().into_iter().flatten() {
                    section[option] = value.clone();
                }
                Ok(json!({ "section": name("name") }))
            }
            ("uci", "delete") => {
                self.changes.push(json!({ "method": method, "arguments": arguments }));
                if let Some(section) = self.config.get_mut(&name("section")).and_then(Value::as_object_mut) {
                    for option in
                        arguments["options"].as_array().into_iter().flatten().filter_map(Value::as_str)
                    {
                        section.remove(option);
                    }
                }
                Ok(json!({}))
            }
            ("uci", "order" | "apply" | "confirm") => Ok(json!({})),
            _ => return None,
        })
    }
}

fn interface(name: &str, device: &str) -> Value {
    json!({ "interface": name, "up": true, "l3_device": device, "device": device, "proto": "static" })
}

fn devices() -> Value {
    let device = |name: &str, kind: &str, index: u32| {
        json!({ "name": name, "type": 1, "devtype": kind, "ifindex": index, "up": true, "mac": "02:00:00:00:00:01",
                "flags": { "up": true }, "link": { "carrier": true }, "stats": {}, "mtu": 1500, "qlen": 1000,
                "ipaddrs": [], "ip6addrs": [] })
    };
    let mut bridge = device("br-lan", "bridge", 3);
    bridge["bridge"] = true.into();
    bridge["ports"] = json!(["eth0"]);
    json!({ "eth0": device("eth0", "ethernet", 2), "br-lan": bridge, "mesh0": device("mesh0", "ethernet", 4) })
}
