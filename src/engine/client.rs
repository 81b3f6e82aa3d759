//! A client, its addresses, and how two opinions about it are merged.

/// How an address of a client stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressState {
    /// Known, not used: no host route.
    Inactive,
    /// In use as far as somebody said (INFO, adoption), being verified by probes; has a host route.
    Tentative,
    /// In use as the client itself showed; has a host route.
    Active,
}
