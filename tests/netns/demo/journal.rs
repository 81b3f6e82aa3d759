//! What happened in the demonstration, for the view, the table and the report.

use std::time::Duration;

use crate::demo::traffic::Tally;

/// A scene.
pub struct Scene {
    /// A few words.
    pub title: &'static str,
    /// One sentence.
    pub sentence: String,
    /// When it began.
    pub from: Duration,
    /// When it ended, as soon as it has.
    pub until: Option<Duration>,
    /// What became of each client's packets, as soon as that is known.
    pub tallies: Vec<Tally>,
}

/// A client was moved.
pub struct Move {
    /// Its index.
    pub client: usize,
    /// When.
    pub at: Duration,
    /// Whereto.
    pub to: usize,
    /// How long until the new node alone served it.
    pub handover: Option<Duration>,
}

/// What can be out of order at a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// l3roamd was killed.
    Daemon,
    /// The routing daemon stands still.
    Routing,
}

/// Something of a node was out of order.
pub struct Outage {
    /// Which node.
    pub node: usize,
    /// What of it.
    pub part: Part,
    /// Since when.
    pub from: Duration,
    /// Until when, as soon as it is over.
    pub until: Option<Duration>,
}

/// Where the correspondent's node sends packets for a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the node before it in the chain.
    Before,
    /// To the node after it.
    After,
    /// To its own client port.
    Here,
    /// To its daemon, which relays or seeks.
    Daemon,
    /// It knows none.
    Nowhere,
}

/// All of it.
#[derive(Default)]
pub struct Journal {
    /// The scenes in order.
    pub scenes: Vec<Scene>,
    /// The moves in order.
    pub moves: Vec<Move>,
    /// The outages in order of their beginnings.
    pub outages: Vec<Outage>,
    /// Changes of the correspondent's node's mind: when, the index of the client, whereto.
    pub ways: Vec<(Duration, usize, Direction)>,
}

impl Journal {
    /// Where a client is.
    pub fn place(&self, client: usize) -> Option<usize> {
        self.moves.iter().rev().find(|one| one.client == client).map(|one| one.to)
    }

    /// How long a client's last handover took.
    pub fn last_handover(&self, client: usize) -> Option<Duration> {
        self.moves.iter().rev().find(|one| one.client == client)?.handover
    }

    /// Whether something of a node is out of order now.
    pub fn is_out(&self, node: usize, part: Part) -> bool {
        self.outages.iter().any(|one| one.node == node && one.part == part && one.until.is_none())
    }

    /// Where the correspondent's node sends packets for a client now.
    pub fn way(&self, client: usize) -> Option<Direction> {
        self.ways.iter().rev().find(|(_, index, _)| *index == client).map(|(.., direction)| *direction)
    }

    /// What became of all packets of a client.
    pub fn total(&self, client: usize) -> Tally {
        let of = |scene: &Scene| scene.tallies.get(client).copied().unwrap_or_default();
        self.scenes.iter().map(of).fold(Tally::default(), Tally::and)
    }
}
