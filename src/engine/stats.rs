//! Plain counters, one for each reason why something was dropped or refused, and a few of what was done.

use crate::wire::intercom::ParseError;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All of them, in the order of their names' appearance.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in status reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// SEEK packets sent (each flood counts once).
    SeekSent => "seek_sent",
    /// CLAIM packets sent.
    ClaimSent => "claim_sent",
    /// INFO packets sent.
    InfoSent => "info_sent",
    /// ACK packets sent.
    AckSent => "ack_sent",
    /// Valid SEEK packets received.
    SeekReceived => "seek_received",
    /// Valid CLAIM packets received.
    ClaimReceived => "claim_received",
    /// Valid INFO packets received.
    InfoReceived => "info_received",
    /// Valid ACK packets received.
    AckReceived => "ack_received",
    /// Flooded packets passed on.
    FloodForwarded => "flood_forwarded",
    /// Clients handed over to this node.
    HandoverIncoming => "handover_incoming",
    /// Clients handed over to another node.
    HandoverOutgoing => "handover_outgoing",
    /// Packets that waited and were delivered.
    QueueReleased => "queue_released",
    /// Intercom: came in on an interface that is no mesh interface.
    DropNotMeshInterface => "drop_not_mesh_interface",
    /// Intercom: source or sender address cannot be a node's.
    DropBadSender => "drop_bad_sender",
    /// Intercom: not sent from the intercom's port.
    DropBadPort => "drop_bad_port",
    /// Intercom: the source or the sender is a client's address or a node-client address.
    DropNotANode => "drop_not_a_node",
    /// Intercom: it names another sender than where it comes from.
    DropForgedSender => "drop_forged_sender",
    /// Intercom: no host route over the mesh leads to the sender, as one leads to a node.
    DropNoHostRoute => "drop_no_host_route",
    /// Intercom: too many senders whose routes are not known yet.
    DropSenderUnknown => "drop_sender_unknown",
    /// Intercom: our own packet came back.
    DropOwnPacket => "drop_own_packet",
    /// Intercom: shorter than it says.
    DropTruncated => "drop_truncated",
    /// Intercom: a version other than 0.
    DropVersion => "drop_version",
    /// Intercom: unknown packet type.
    DropUnknownType => "drop_unknown_type",
    /// Intercom: a TLV of impossible length.
    DropBadLength => "drop_bad_length",
    /// Intercom: the TLV with the meaning is missing.
    DropMissingTlv => "drop_missing_tlv",
    /// Intercom: sent with ttl 0.
    DropTtlZero => "drop_ttl_zero",
    /// Intercom: a flooded packet seen before.
    DropDuplicate => "drop_duplicate",
    /// Intercom: duplicate table full.
    DropFloodTableFull => "drop_flood_table_full",
    /// Intercom: more floods than allowed.
    DropFloodRate => "drop_flood_rate",
    /// Intercom: INFO, ACK or RELAY by multicast.
    DropMulticastOnlyUnicast => "drop_multicast_of_unicast_type",
    /// Intercom: the MAC in it is no station's.
    DropBadClient => "drop_bad_client",
    /// Clients' packets relayed to the node that has their client now.
    RelaySent => "relay_sent",
    /// Clients' packets relayed to us by a node that may.
    RelayReceived => "relay_received",
    /// Those of them that went to the kernel at once.
    RelayInjected => "relay_injected",
    /// Those of them that went on to another node.
    RelayPassedOn => "relay_passed_on",
    /// RELAY without an IP packet in it.
    DropRelayNoPacket => "drop_relay_no_packet",
    /// RELAY to an address that is no client's: outside the client prefixes, link-local, or one of this node.
    DropRelayForbidden => "drop_relay_forbidden",
    /// RELAY from a node that the client was not claimed from.
    DropRelayUnclaimed => "drop_relay_unclaimed",
    /// RELAY to an address that nobody has or had here.
    DropRelayUnknown => "drop_relay_unknown",
    /// RELAY that has been relayed too often.
    DropRelayHops => "drop_relay_hops",
    /// Host route removed rather than drained: too many are.
    DrainLimit => "drain_limit",
    /// A tail that could not be read; the packet was used without it.
    TailBroken => "tail_broken",
    /// CLAIM for a client that is not known here.
    ClaimUnknown => "claim_unknown",
    /// CLAIM that is older than what we know of the client.
    ClaimOutdated => "claim_outdated",
    /// CLAIM from a node that loses against our own claim.
    ClaimLost => "claim_lost",
    /// CLAIM refused: its client is alive here.
    ClaimRefused => "claim_refused",
    /// CLAIM passed on to the node that has the client now.
    ClaimPassedOn => "claim_passed_on",
    /// INFO without an open claim or search: not used.
    InfoUnexpected => "info_unexpected",
    /// INFO that refuses a claim.
    InfoRefused => "info_refused",
    /// Address in INFO outside the client prefixes, or link-local.
    InfoAddressOutside => "info_address_outside",
    /// Address held by another client that answers.
    AddressContested => "address_contested",
    /// Address refused because its client has too many.
    AddressLimit => "address_limit",
    /// Client refused because there are too many.
    ClientLimit => "client_limit",
    /// Evidence that names an interface that is not a client's.
    EvidenceElsewhere => "evidence_elsewhere",
    /// Evidence of what is behind another node's client bridge.
    EvidenceBehindNode => "evidence_behind_node",
    /// Evidence of a client that was not claimed, because another node refused that a moment ago.
    EvidenceRefused => "evidence_refused",
    /// A node's sign on a client port that cannot lead to one, or of a node that the intercom does not know.
    ForeignSignIgnored => "foreign_sign_ignored",
    /// Captured packet that is no IP packet or not for a client.
    CaptureIgnored => "capture_ignored",
    /// Captured packet dropped: too many wait, for one address or in all.
    QueueFull => "queue_full",
    /// Captured packet dropped: too many addresses are searched.
    SearchLimit => "search_limit",
    /// SEEK not sent: more than allowed per second.
    SeekRate => "seek_rate",
    /// Packet that waited too long.
    QueueExpired => "queue_expired",
    /// Packet for an address that was just sought in vain.
    SearchNegative => "search_negative",
    /// ICMP error not sent: more than allowed per second, or the packet allows none.
    UnreachableSuppressed => "unreachable_suppressed",
    /// Actions that failed.
    ActionFailed => "action_failed",
    /// `now` went back.
    TimeWentBack => "time_went_back",
}

/// Packets that nobody will see again, beyond the counters whose names say so.
const PACKET_DROPS: [Counter; 5] = [
    Counter::CaptureIgnored,
    Counter::QueueFull,
    Counter::SearchLimit,
    Counter::QueueExpired,
    Counter::SearchNegative,
];

impl Counter {
    /// The reason for which something was dropped, where that is what is counted.
    pub fn drop_reason(self) -> Option<&'static str> {
        self.name().strip_prefix("drop_").or_else(|| PACKET_DROPS.contains(&self).then(|| self.name()))
    }
}

/// The counts of one engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Counters {
    pub(super) fn add(&mut self, counter: Counter) {
        if let Some(count) = self.0.get_mut(counter as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// How often it happened.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Name and count of every counter.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Counter::ALL.iter().map(|counter| (counter.name(), self.get(*counter)))
    }
}

impl From<ParseError> for Counter {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Truncated => Self::DropTruncated,
            ParseError::UnsupportedVersion(_) => Self::DropVersion,
            ParseError::UnknownType(_) => Self::DropUnknownType,
            ParseError::BadLength { .. } => Self::DropBadLength,
            ParseError::Missing => Self::DropMissingTlv,
            ParseError::TtlZero => Self::DropTtlZero,
        }
    }
}
