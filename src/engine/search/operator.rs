//! An operator asks where an address is: the same search, without a packet that waits.

use std::net::IpAddr;
use std::time::Duration;

use super::super::Engine;
use super::super::apply::CommandError;
use super::super::output::{Action, Notice, Place};

impl Engine {
    /// An operator wants to know where the address is. [`Notice::AddressFound`] tells, at once or within `patience`, or never.
    pub(in crate::engine) fn seek_for_operator(
        &mut self,
        address: IpAddr,
        patience: Duration,
    ) -> Result<(), CommandError> {
        if !self.is_routable(address) {
            return Err(CommandError::OutsidePrefixes(address));
        }
        if let Some((client, interface)) =
            self.served_client(address).map(|client| (client.mac, client.interface))
        {
            self.tell(Notice::AddressFound { address, place: Place::Here { client, interface } });
            return Ok(());
        }
        self.searches.negatives.remove(&address);
        if !self.searches.searches.contains_key(&address) {
            if self.searches.searches.len() >= self.config.tunables.max_searches {
                return Err(CommandError::Limit("max_searches"));
            }
            self.begin_search(address, false);
        }
        let until = self.now + patience;
        if let Some(search) = self.searches.searches.get_mut(&address) {
            search.wanted = Some(search.wanted.map_or(until, |before| before.max(until)));
        }
        // Its route may stand already: no packet would ever have come here then.
        self.act(Action::LookupRoute(address));
        self.rearm_search(address);
        Ok(())
    }

    /// Tells an operator who seeks the address, if one does, that it is found.
    pub(super) fn sought_address_found(&mut self, address: IpAddr, place: Place) {
        let wanted = self.searches.searches.get_mut(&address).and_then(|search| search.wanted.take());
        if wanted.is_some_and(|until| until > self.now) {
            self.tell(Notice::AddressFound { address, place });
        }
    }
}
