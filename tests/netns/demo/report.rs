//! The table at the end, and what it comes to in words.

use std::time::Duration;

use crate::demo::stage::{Stage, milliseconds};
use crate::demo::traffic::Tally;

/// How many packets of a client were lost in all.
pub fn lost(stage: &Stage, guest: usize) -> usize {
    stage.journal().total(guest).lost
}

fn line(title: &str, name: &str, tally: &Tally) -> String {
    format!(
        "{title:<26} {name:<8} {:>7} {:>6} {:>11} {:>13} {:>10}",
        tally.sent,
        tally.lost,
        tally.on_air,
        tally.late,
        milliseconds(tally.gap)
    )
}

/// What it comes to.
pub fn verdict(stage: &Stage) -> String {
    let journal = stage.journal();
    let totals: Vec<Tally> = (0..stage.guests.len()).map(|guest| journal.total(guest)).collect();
    let all = totals.iter().copied().fold(Tally::default(), Tally::and);
    let never = journal.moves.iter().filter(|one| one.handover.is_none()).count();
    let mut words = match all.lost {
        0 => format!("Not one of {} packets was lost", all.sent),
        lost => format!("{lost} of {} packets were LOST", all.sent),
    };
    words += &match all.on_air {
        0 => ".".to_owned(),
        air => format!("; {air} were on the air while their client changed nodes."),
    };
    if never > 0 {
        words += &format!(" {never} of {} moves were NOT handed over.", journal.moves.len());
    } else {
        let longest = journal.moves.iter().filter_map(|one| one.handover).max().unwrap_or_default();
        words += &format!(
            " All {} moves were handed over, the slowest after {}.",
            journal.moves.len(),
            milliseconds(longest)
        );
    }
    words
}

/// Prints it. `delay` is the longest time for which the machine let a sleeper wait.
pub fn print(stage: &Stage, delay: Duration) {
    let mut text = format!(
        "\n{:<26} {:<8} {:>7} {:>6} {:>11} {:>13} {:>10}\n",
        "scene", "client", "sent", "lost", "on the air", "out of order", "gap"
    );
    {
        let journal = stage.journal();
        for (scene, number) in journal.scenes.iter().zip(1..) {
            for (guest, tally) in stage.guests.iter().zip(&scene.tallies) {
                text += &line(&format!("{number}. {}", scene.title), guest.name, tally);
                text += "\n";
            }
        }
    }
    let again: usize = stage.guests.iter().map(|guest| guest.traffic.again()).sum();
    text += &format!("\n{}", verdict(stage));
    if again > 0 {
        text += &format!(" {again} packets came twice.");
    }
    text += &format!(
        "\nLost is what the mesh had and did not deliver; on the air is what left a node, or a client, and found nobody.\n\
         Gap is the longest time without a packet, less the 5 ms between two; the machine itself paused for up to {}.",
        milliseconds(delay)
    );
    stage.screen.print(&text);
}
