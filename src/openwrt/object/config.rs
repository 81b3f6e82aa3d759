//! `get_config`: the configuration as it is in effect, changes at run time included.

use std::fmt::Display;

use serde_json::{Value, json};

use super::View;
use super::report::millis;
use crate::daemon::log_level;
use crate::engine::config::{Config, Sources, Tunables};
use crate::openwrt::ubus::Table;

/// Every setting by its name. What has no value is absent.
pub(super) fn config(view: &View<'_>) -> Table {
    // Taken apart, so that a setting which is not told does not compile.
    let Config {
        node_address,
        node_client_prefix,
        v4_prefix,
        prefixes,
        node_prefixes,
        mesh_interfaces,
        client_interfaces,
        client_bridge,
        export_table,
        plat_prefix,
        sources,
        tunables,
    } = view.engine.config();
    let Sources { netlink, ndp, nl80211, hostapd } = sources;
    let options = view.options;
    let settings = &options.settings;
    let mut table = Table::new();
    let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
    set("node_address", text(node_address));
    set("node_client_prefix", text(node_client_prefix));
    set("v4_prefix", format!("{}/96", v4_prefix.address()).into());
    set("prefixes", texts(prefixes));
    set("node_prefixes", texts(node_prefixes));
    set("mesh_interfaces", texts(mesh_interfaces));
    set("client_interfaces", texts(client_interfaces));
    set("export_table", (*export_table).into());
    set("metric", settings.metric.into());
    set("tun", text(&settings.capture_device));
    set("sources", json!({ "netlink": netlink, "ndp": ndp, "nl80211": nl80211, "hostapd": hostapd }));
    set("log_level", log_level().name().into());
    set("log_addresses", settings.log_addresses.into());
    set("tunables", Value::Object(tunables_table(tunables)));
    let optional = [
        ("client_bridge", client_bridge.as_ref().map(text)),
        ("plat_prefix", plat_prefix.as_ref().map(|prefix| format!("{prefix}/96").into())),
        ("clat_interface", settings.clat_interface.as_ref().map(|name| name.as_str().into())),
        ("socket", settings.control_socket.as_ref().map(|path| text(&path.display()))),
        ("command_file", options.command_file.as_ref().map(|path| text(&path.display()))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(name, value);
        }
    }
    table
}

fn text(value: &impl Display) -> Value {
    value.to_string().into()
}

fn texts<T: Display>(values: &[T]) -> Value {
    Value::Array(values.iter().map(text).collect())
}

fn tunables_table(tunables: &Tunables) -> Table {
    let Tunables {
        max_clients,
        max_addresses,
        max_former,
        former_age,
        probe_interval,
        probe_interval_associated,
        probe_schedule,
        client_age,
        adoption_age,
        seek_delay,
        seek_interval,
        seek_negative_age,
        seek_rate,
        flood_rate,
        max_searches,
        max_queue_per_address,
        max_queue_packets,
        max_queue_bytes,
        queue_age,
        unreachable_rate,
        max_unicast_copies,
        max_claims_in_flight,
        max_seen_floods,
        seen_flood_age,
        max_peers,
        max_handovers,
        max_timings,
        max_drained,
        overlap,
        overlap_without_relay,
        lost_age,
    } = tunables;
    let mut table = Table::new();
    let bounds = [
        ("max_clients", max_clients),
        ("max_addresses", max_addresses),
        ("max_former", max_former),
        ("max_searches", max_searches),
        ("max_queue_per_address", max_queue_per_address),
        ("max_queue_packets", max_queue_packets),
        ("max_queue_bytes", max_queue_bytes),
        ("max_unicast_copies", max_unicast_copies),
        ("max_claims_in_flight", max_claims_in_flight),
        ("max_seen_floods", max_seen_floods),
        ("max_peers", max_peers),
        ("max_handovers", max_handovers),
        ("max_timings", max_timings),
        ("max_drained", max_drained),
    ];
    let times = [
        ("former_age_ms", former_age),
        ("probe_interval_ms", probe_interval),
        ("probe_interval_associated_ms", probe_interval_associated),
        ("client_age_ms", client_age),
        ("adoption_age_ms", adoption_age),
        ("seek_delay_ms", seek_delay),
        ("seek_interval_ms", seek_interval),
        ("seek_negative_age_ms", seek_negative_age),
        ("queue_age_ms", queue_age),
        ("seen_flood_age_ms", seen_flood_age),
        ("overlap_ms", overlap),
        ("overlap_without_relay_ms", overlap_without_relay),
        ("lost_age_ms", lost_age),
    ];
    let rates =
        [("seek_rate", seek_rate), ("flood_rate", flood_rate), ("unreachable_rate", unreachable_rate)];
    table.extend(bounds.map(|(name, bound)| (name.to_owned(), (*bound).into())));
    table.extend(times.map(|(name, time)| (name.to_owned(), millis(*time))));
    table.extend(rates.map(|(name, rate)| (name.to_owned(), (*rate).into())));
    let schedule = probe_schedule.iter().map(|wait| millis(*wait)).collect();
    table.insert("probe_schedule_ms".to_owned(), Value::Array(schedule));
    table
}
