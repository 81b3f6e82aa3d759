//! The scenes.

use std::time::Duration;

use crate::demo::stage::{MIDDLE, NODES, Stage};
use crate::measure::eventually;
use crate::watch::{DRAINED, What};

/// The client that talks.
pub const PHONE: usize = 0;
/// The one that does not.
pub const PRINTER: usize = 1;

/// How long everything takes.
pub struct Pace {
    /// A client stays at a node.
    pub stay: Duration,
    /// The routing settles.
    pub settle: Duration,
    /// The routing daemon stands still.
    pub frozen: Duration,
}

impl Pace {
    /// To be watched.
    pub fn calm() -> Self {
        Self { stay: Duration::from_secs(3), settle: Duration::from_secs(5), frozen: Duration::from_secs(5) }
    }

    /// To be tested.
    pub fn brisk() -> Self {
        Self { stay: Duration::from_secs(1), settle: Duration::from_secs(2), frozen: Duration::from_secs(3) }
    }
}

/// The nodes that a client comes by that walks up and down the chain from its first node.
fn walk(steps: usize) -> Vec<usize> {
    let turn = 2 * (NODES - 1);
    (1..=steps).map(|step| step % turn).map(|at| at.min(turn - at)).collect()
}

/// Plays all of them.
pub fn play(stage: &Stage, roams: usize, pace: &Pace) {
    let name = |node: usize| stage.lab.nodes[node].as_str();
    arrive(stage, pace);
    if roams > 0 {
        let way: Vec<&str> = std::iter::once(0).chain(walk(roams)).map(name).collect();
        let sentence = format!("The phone walks through the mesh while it talks: {}.", way.join(" - "));
        stage.scene("phone walks", sentence, || {
            for node in walk(roams) {
                stage.roam(PHONE, node);
                std::thread::sleep(pace.stay);
            }
        });
    }
    let sentence = format!(
        "The printer is carried to {} and back to {}; it never says a word, its access point reports it.",
        name(0),
        name(2)
    );
    stage.scene("printer carried", sentence, || {
        for node in [0, 2] {
            stage.roam(PRINTER, node);
            std::thread::sleep(pace.stay);
        }
        // Until then the nodes before relay to the one that is about to lose its daemon.
        overlap_ends(stage);
    });
    let here = stage.journal().place(PHONE).unwrap_or_default();
    let next = if here + 1 < NODES { here + 1 } else { here - 1 };
    let sentence = format!(
        "l3roamd at {} is killed under the phone's traffic and started again; then the phone walks on to {}.",
        name(here),
        name(next)
    );
    stage.scene("l3roamd killed", sentence, || {
        stage.kill(here);
        std::thread::sleep(pace.stay);
        stage.restart(here);
        std::thread::sleep(pace.stay);
        stage.roam(PHONE, next);
        std::thread::sleep(pace.stay);
    });
    let target = if next == NODES - 1 { 0 } else { NODES - 1 };
    let sentence = format!(
        "{} at {} stands still for {} s while the phone goes there: the mesh hears of it late.",
        stage.routing,
        name(target),
        pace.frozen.as_secs()
    );
    stage.scene("routing stands still", sentence, || {
        stage.freeze(target);
        std::thread::sleep(Duration::from_millis(500));
        stage.roam(PHONE, target);
        std::thread::sleep(pace.frozen);
        stage.thaw(target);
        // From then on nothing but the routing has the packets get there.
        overlap_ends(stage);
        std::thread::sleep(pace.settle);
    });
}

/// Waits until no node relays anything to the phone any more.
fn overlap_ends(stage: &Stage) {
    let phone = stage.guests[PHONE].client.v6;
    // The first node's stands for as long again if the phone walked by three others.
    eventually(Duration::from_secs(40), || {
        (0..NODES).all(|node| !stage.lab.watch.has(node, What::Route(DRAINED), phone))
    });
}

fn arrive(stage: &Stage, pace: &Pace) {
    let name = |node: usize| stage.lab.nodes[node].as_str();
    let sentence = format!(
        "A phone comes to {}, a printer to {}; a correspondent at {} exchanges packets with both, one every 5 ms each way.",
        name(0),
        name(2),
        name(MIDDLE)
    );
    stage.screen.headline(&sentence);
    stage.roam(PHONE, 0);
    stage.roam(PRINTER, 2);
    stage.guests.iter().for_each(|guest| guest.traffic.begin());
    let flows =
        eventually(Duration::from_secs(30), || stage.guests.iter().all(|guest| guest.traffic.flows()));
    assert!(flows, "no packet comes through before the first roam");
    std::thread::sleep(pace.settle);
}
