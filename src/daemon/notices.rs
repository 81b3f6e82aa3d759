//! The engine's news as log lines: fixed messages with fields. What names a client is told at debug only.

use std::fmt;

use tracing::{debug, info, warn};

use super::log::Sensitive;
use crate::engine::client::AddressState;
use crate::engine::output::{Notice, Place};

/// Logs one piece of news.
pub fn log(notice: &Notice) {
    match notice {
        Notice::ClientArrived { client, interface } => {
            debug!(client = %Sensitive(client), interface = interface.0, "client arrived");
        }
        Notice::ClientLeft { client, reason } => {
            debug!(client = %Sensitive(client), reason = reason.name(), "client left");
        }
        Notice::ClientHandedOver { client, direction, peer, addresses, duration } => {
            let milliseconds = duration.as_millis();
            let direction = direction.name();
            info!(direction, node = %peer, addresses, milliseconds, "handover completed");
            debug!(client = %Sensitive(client), direction, node = %peer, "client handed over");
        }
        Notice::AddressChanged { client, address, from, to } => debug!(
            client = %Sensitive(client),
            address = %Sensitive(address),
            from = %State(*from),
            to = %State(*to),
            "address state changed"
        ),
        Notice::AddressFound { address, place } => match place {
            Place::Here { client, interface } => debug!(
                address = %Sensitive(address),
                client = %Sensitive(client),
                interface = interface.0,
                "address found here"
            ),
            Place::Node(node) => {
                debug!(address = %Sensitive(address), node = %node, "address found at a node")
            }
            Place::Mesh => debug!(address = %Sensitive(address), "address found by its host route"),
        },
        Notice::AddressContested { address, holder, rival } => {
            warn!("an address is used by two clients, the first one keeps it");
            debug!(
                address = %Sensitive(address),
                client = %Sensitive(holder),
                rival = %Sensitive(rival),
                "address contested"
            );
        }
        Notice::ClientDuplicate { client, peer } => {
            warn!(node = %peer, "a client is alive at two nodes, the one that had it keeps it");
            debug!(client = %Sensitive(client), node = %peer, "client duplicated");
        }
        Notice::InterfaceChanged { name, problem: Some(problem) } => {
            warn!(interface = %name, problem, "interface cannot be used");
        }
        Notice::InterfaceChanged { name, problem: None } => info!(interface = %name, "interface is in use"),
        Notice::RouteOccupied { address } => {
            warn!("another program's route stands where a host route should go");
            debug!(address = %Sensitive(address), "host route occupied");
        }
        Notice::NodeBehindPort { port, node } => {
            warn!(interface = %port, node = %node, "another node's clients are behind a port of ours, they are left to it");
        }
        Notice::LimitReached { limit } => warn!(limit, "limit reached"),
    }
}

/// The state of an address, or that it was not known.
struct State(Option<AddressState>);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("unknown", AddressState::name))
    }
}
