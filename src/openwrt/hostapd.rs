//! hostapd: what access points say of stations, on ubus.
//!
//! | notification | what it says of the station |
//! |---|---|
//! | `auth`, `assoc` | it asks to come in and may still be refused |
//! | `sta-authorized` | it is in |
//! | `disassoc`, `deauth` | it left |
//! | `local-deauth`, `inactive-deauth` | it was sent away |
//! | `probe` and all others | nothing |
//!
//! The object of a BSS that goes says nothing of its stations: hostapd begins anew, or its interface goes, which the kernel tells.

use super::ubus::Table;
use crate::engine::input::StationReport;
use crate::net::{InterfaceName, Mac};

/// The objects to follow: one for each BSS, called after its interface.
pub const OBJECTS: &str = "hostapd.*";
/// How their paths begin.
const PREFIX: &str = "hostapd.";

/// What was said of a station.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// The access-point interface.
    pub interface: InterfaceName,
    /// The station.
    pub client: Mac,
    /// What was said.
    pub report: StationReport,
}

/// Reads a notification of the object at `path`. `None` where it says nothing of a station.
pub fn read(path: &str, name: &str, data: &Table) -> Option<Said> {
    let bss = path.strip_prefix(PREFIX)?;
    let report = match name {
        "auth" | "assoc" => StationReport::Expected,
        "sta-authorized" => StationReport::Authorized,
        "disassoc" | "deauth" | "local-deauth" | "inactive-deauth" => StationReport::Left,
        _ => return None,
    };
    let text = |field| data.get(field).and_then(|value| value.as_str());
    let client = text("address")?.parse().ok()?;
    // The interfaces of one multi-link device share an object.
    let interface = text("ifname").unwrap_or(bss).parse().ok()?;
    Some(Said { interface, client, report })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(path: &str, name: &str, data: serde_json::Value) -> Option<Said> {
        read(path, name, data.as_object().unwrap())
    }

    fn station(address: &str) -> serde_json::Value {
        json!({ "address": address, "ifname": "phy0-ap0" })
    }

    #[test]
    fn notifications_of_stations_are_read() {
        let of = |name| said("hostapd.phy0-ap0", name, station("02:00:5E:10:00:01"));
        for (name, report) in [
            ("auth", StationReport::Expected),
            ("assoc", StationReport::Expected),
            ("sta-authorized", StationReport::Authorized),
            ("disassoc", StationReport::Left),
            ("deauth", StationReport::Left),
            ("local-deauth", StationReport::Left),
            ("inactive-deauth", StationReport::Left),
        ] {
            let (interface, client) = ("phy0-ap0".parse().unwrap(), Mac([2, 0, 0x5e, 0x10, 0, 1]));
            assert_eq!(of(name), Some(Said { interface, client, report }), "{name}");
        }
        for name in ["probe", "key-mismatch", "beacon-report", "vlan_add", "bss.add", "", "AUTH"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn an_authentication_as_hostapd_tells_it_is_read() {
        let data = json!({
            "address": "02:00:5e:10:00:01", "ifname": "phy1-ap0", "target": "06:00:00:00:00:01", "signal": -45, "freq": 5180,
            "ht_capabilities": { "ht_capability_info": { "ldpc_coding_capability": true } }
        });
        let told = said("hostapd.phy0-ap0", "auth", data).unwrap();
        assert_eq!(told.interface.as_str(), "phy1-ap0", "the object is that of the first link");
        let told = said("hostapd.lan1", "sta-authorized", json!({ "address": "02:00:5e:10:00:01" })).unwrap();
        assert_eq!(told.interface.as_str(), "lan1");
    }

    #[test]
    fn what_hostapd_cannot_mean_is_ignored() {
        for (path, data) in [
            ("hostapd", station("02:00:5e:10:00:01")),
            ("network.interface", station("02:00:5e:10:00:01")),
            ("hostapd.ap0", json!({ "ifname": "ap0" })),
            ("hostapd.ap0", station("02:00:5e:10:00")),
            ("hostapd.ap0", json!({ "address": 5, "ifname": "ap0" })),
            ("hostapd.ap0", json!({ "address": "02:00:5e:10:00:01", "ifname": "../ap0" })),
            ("hostapd.", json!({ "address": "02:00:5e:10:00:01" })),
        ] {
            assert_eq!(said(path, "sta-authorized", data.clone()), None, "{path} {data}");
        }
    }
}
