//! What became of the last handovers, for people: when somebody asks why a call broke off, the answer is still there.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::Engine;
use super::output::{Direction, Notice};
use crate::net::Mac;
use crate::time::Timestamp;

/// One handover to or from this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// When it ended.
    pub ended: Timestamp,
    /// Who.
    pub client: Mac,
    /// To us, or from us.
    pub direction: Direction,
    /// The other node's address.
    pub peer: Ipv6Addr,
    /// How many addresses were handed over.
    pub addresses: usize,
    /// From the evidence (incoming) or the CLAIM (outgoing) to the end.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// What took how long, as far as it was measured.
    pub steps: Steps,
    /// Packets that waited here for the client's new place.
    pub packets_buffered: u32,
    /// Packets that went to the client by way of the other node.
    pub packets_relayed: u32,
}

/// How a handover ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// INFO came, or was acknowledged.
    Completed,
    /// Our INFO was never acknowledged.
    Unanswered,
}

impl Outcome {
    /// The word for it in status reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Unanswered => "unanswered",
        }
    }
}

/// The parts of a handover. `None` where a part was not measured, or is the other node's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Steps {
    /// From the first evidence of the client to our CLAIM.
    pub evidence_to_claim: Option<Duration>,
    /// From the CLAIM to the INFO.
    pub claim_to_info: Option<Duration>,
    /// From the INFO until the host routes stand.
    pub info_to_routes: Option<Duration>,
}

impl Handover {
    /// A completed handover of which no more is known than this. Its end is the time at which the engine is told of it.
    pub(super) fn completed(
        client: Mac,
        direction: Direction,
        peer: Ipv6Addr,
        addresses: usize,
        duration: Duration,
    ) -> Self {
        Self {
            ended: Timestamp::ZERO,
            client,
            direction,
            peer,
            addresses,
            duration,
            outcome: Outcome::Completed,
            steps: Steps::default(),
            packets_buffered: 0,
            packets_relayed: 0,
        }
    }
}

/// The last handovers, the oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Handover>);

impl History {
    fn push(&mut self, handover: Handover, limit: usize) {
        while self.0.len() >= limit.max(1) {
            self.0.pop_front();
        }
        if limit > 0 {
            self.0.push_back(handover);
        }
    }
}

impl Engine {
    /// The last handovers, the newest first.
    pub fn handovers(&self) -> impl Iterator<Item = &Handover> + '_ {
        self.history.0.iter().rev()
    }

    /// A handover has ended now: it is remembered, and told where it succeeded.
    pub(super) fn handover_ended(&mut self, handover: Handover) {
        let handover = Handover { ended: self.now, ..handover };
        if handover.outcome == Outcome::Completed {
            self.tell(Notice::ClientHandedOver {
                client: handover.client,
                direction: handover.direction,
                peer: handover.peer,
                addresses: handover.addresses,
                duration: handover.duration,
            });
        }
        self.history.push(handover, self.config.tunables.max_handovers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handover_makes_room_and_none_is_kept_where_none_may_be() {
        let handover = |n: u8| {
            let (direction, peer) = (Direction::Incoming, Ipv6Addr::LOCALHOST);
            Handover::completed(Mac([2, 0, 0, 0, 0, n]), direction, peer, 1, Duration::ZERO)
        };
        let mut history = History::default();
        (0..10).for_each(|n| history.push(handover(n), 3));
        let kept: Vec<u8> = history.0.iter().map(|handover| handover.client.0[5]).collect();
        assert_eq!(kept, [7, 8, 9]);
        history.push(handover(10), 0);
        assert!(history.0.is_empty());
    }
}
