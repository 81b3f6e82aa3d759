//! What became of the last handovers, for people: when somebody asks why a call broke off, the answer is still there.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use super::Engine;
use super::output::{Direction, Notice};
use super::timing::Timing;
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
    /// Its times and packets, once a later handover of the client in this direction has begun, or others have taken their place.
    /// [`Engine::measured_handovers`] adds those that are still being measured.
    pub(super) timing: Option<Timing>,
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
            timing: None,
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

    /// What was measured of a client's last handover in this direction will not change any more.
    pub(super) fn measured(&mut self, client: Mac, direction: Direction, timing: Timing) {
        let last = self.0.iter_mut().rev().find(|h| h.client == client && h.direction == direction);
        if let Some(last) = last {
            last.timing.get_or_insert(timing);
        }
    }
}

impl Engine {
    /// The last handovers, the newest first.
    pub fn handovers(&self) -> impl Iterator<Item = &Handover> + '_ {
        self.history.0.iter().rev()
    }

    /// The same, each with its times and packets where they are known.
    pub fn measured_handovers(&self) -> impl Iterator<Item = (&Handover, Option<&Timing>)> + '_ {
        let mut measured = BTreeSet::new();
        self.handovers().map(move |handover| {
            let newest = measured.insert((handover.client, handover.direction == Direction::Incoming));
            let current = self.handover_timing(handover.client, handover.direction);
            (handover, handover.timing.as_ref().or(current.filter(|_| newest)))
        })
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
    fn what_was_measured_goes_to_the_last_handover_of_the_client_in_that_direction() {
        let client = Mac([2, 0, 0, 0, 0, 1]);
        let handover = |client, direction| {
            Handover::completed(client, direction, Ipv6Addr::LOCALHOST, 1, Duration::ZERO)
        };
        let mut history = History::default();
        history.push(handover(client, Direction::Incoming), 8);
        history.push(handover(client, Direction::Outgoing), 8);
        history.push(handover(Mac([2, 0, 0, 0, 0, 2]), Direction::Incoming), 8);
        let timing = Timing::default();
        history.measured(client, Direction::Incoming, timing);
        history.measured(client, Direction::Incoming, Timing { relayed: 1, ..timing });
        let timings: Vec<Option<Timing>> = history.0.iter().map(|handover| handover.timing).collect();
        assert_eq!(timings, [Some(timing), None, None], "and it does not change any more");
    }

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
