//! The report: a picture with the time to the right, a lane for each node, and beneath them what the correspondent's node and the
//! clients noticed.

use std::time::Duration;

use crate::demo::journal::{Direction, Journal, Part};
use crate::demo::report::verdict;
use crate::demo::stage::{MIDDLE, Stage, milliseconds};
use crate::demo::xml::Picture;
use crate::watch::{DRAINED, SERVED, What};

const STYLE: &str = include_str!("report.css");

const WIDTH: f64 = 1240.0;
/// Where the time begins and ends.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 1215.0;
/// Where the lanes begin, and their heights.
const TOP: f64 = 118.0;
const LANE: f64 = 52.0;
const BAR: f64 = 18.0;
/// The height of a scene's words.
const SCENE: f64 = 42.0;
/// A pause is the longest of so much time.
const BUCKET: Duration = Duration::from_millis(250);

/// From times to the picture.
#[derive(Clone, Copy)]
struct Axis {
    from: Duration,
    until: Duration,
}

impl Axis {
    fn x(&self, at: Duration) -> f64 {
        let part = |time: Duration| time.saturating_sub(self.from).as_secs_f64();
        LEFT + (RIGHT - LEFT) * (part(at) / part(self.until).max(0.001)).min(1.0)
    }

    /// A bar between two times.
    fn bar(&self, from: Duration, until: Duration, y: f64, height: f64) -> [f64; 4] {
        [self.x(from), y, self.x(until) - self.x(from), height]
    }

    fn seconds(&self, at: Duration) -> f64 {
        at.saturating_sub(self.from).as_secs_f64()
    }
}

/// When a node had a route of that kind for a client.
fn spans(stage: &Stage, node: usize, guest: usize, protocol: u8, end: Duration) -> Vec<(Duration, Duration)> {
    let address = stage.guests[guest].client.v6;
    let (mut spans, mut since) = (Vec::new(), None);
    for event in stage.lab.watch.events(Duration::ZERO) {
        if event.node == node && event.what == What::Route(protocol) && event.address == address {
            match (event.came, since) {
                (true, None) => since = Some(event.at),
                (false, Some(from)) => {
                    spans.push((from, event.at));
                    since = None;
                }
                _ => {}
            }
        }
    }
    spans.extend(since.map(|from| (from, end)));
    spans
}

/// The whole picture.
pub fn draw(stage: &Stage) -> String {
    let journal = stage.journal();
    let from = journal.moves.first().map_or(Duration::ZERO, |first| first.at);
    let until = journal.scenes.last().and_then(|last| last.until).unwrap_or(from);
    let axis = Axis { from: from.saturating_sub(Duration::from_millis(500)), until };
    drop(journal);
    // Beneath each other: where each part ends the next begins.
    let ways = TOP + LANE * stage.lab.nodes.len() as f64 + 8.0;
    let pauses = ways + 26.0 * stage.guests.len() as f64 + 14.0;
    let scale = pauses + 64.0 * stage.guests.len() as f64;
    let key = scale + 56.0;
    let table = key + 44.0;
    let mut picture = Picture::new(WIDTH, STYLE, "Two clients walk through a mesh of four nodes");
    let height = table + SCENE * stage.journal().scenes.len() as f64;
    picture.rectangle("back", [0.0, 0.0, WIDTH, height], "");
    picture.text("title", 24.0, 38.0, "Two clients walk through a mesh of four nodes");
    picture.text("words", 24.0, 64.0, &verdict(stage));
    bands(&mut picture, &stage.journal(), axis, scale);
    for node in 0..stage.lab.nodes.len() {
        lane(&mut picture, stage, axis, node);
    }
    directions(&mut picture, stage, axis, ways);
    for guest in 0..stage.guests.len() {
        quiet(&mut picture, stage, axis, guest, pauses + 64.0 * guest as f64);
    }
    ticks(&mut picture, axis, scale);
    legend(&mut picture, stage, key);
    scenes(&mut picture, stage, table);
    picture.finish(height)
}

/// The scenes behind it all.
fn bands(picture: &mut Picture, journal: &Journal, axis: Axis, bottom: f64) {
    for (index, scene) in journal.scenes.iter().enumerate() {
        let until = scene.until.unwrap_or(axis.until);
        let [x, y, width, height] = axis.bar(scene.from, until, TOP - 30.0, bottom - TOP + 30.0);
        let class = if index % 2 == 0 { "band" } else { "band other" };
        picture.rectangle(class, [x, y, width, height], &scene.sentence);
        // A scene that is too short for its title has its number.
        let title = format!("{}  {}", index + 1, scene.title);
        let fits = 7.0 * title.chars().count() as f64 + 8.0 <= width;
        let title = if fits { title } else { (index + 1).to_string() };
        picture.text("scene", x + 6.0, TOP - 13.0, &title);
    }
}

/// Where the clients are, as the host routes say.
fn lane(picture: &mut Picture, stage: &Stage, axis: Axis, node: usize) {
    let y = TOP + LANE * node as f64;
    let name = &stage.lab.nodes[node];
    picture.line("grid", [24.0, y + LANE - 2.0, RIGHT, y + LANE - 2.0]);
    picture.text("node", 24.0, y + 30.0, name);
    if node == MIDDLE {
        picture.text("small", 44.0, y + 29.0, "correspondent");
    }
    let journal = stage.journal();
    for outage in journal.outages.iter().filter(|outage| outage.node == node) {
        let until = outage.until.unwrap_or(axis.until);
        let (class, what) = match outage.part {
            Part::Daemon => ("killed", "no l3roamd".to_owned()),
            Part::Routing => ("frozen", format!("{} stands still", stage.routing)),
        };
        let place = axis.bar(outage.from, until, y, LANE - 4.0);
        picture.rectangle(class, place, &format!("{name}: {what}"));
        picture.text("small", place[0] + 4.0, y + LANE - 6.0, &what);
    }
    for (index, guest) in stage.guests.iter().enumerate() {
        let top = y + 2.0 + (BAR + 2.0) * index as f64;
        for (class, protocol, verb) in [("drains", DRAINED, "drains"), ("serves", SERVED, "serves")] {
            for (from, until) in spans(stage, node, index, protocol, axis.until) {
                let title = format!(
                    "{name} {verb} the {} from {:.2} to {:.2} s",
                    guest.name,
                    axis.seconds(from),
                    axis.seconds(until)
                );
                let place = axis.bar(from, until.min(axis.until), top, BAR);
                picture.rectangle(&format!("{} {class}", guest.name), place, &title);
            }
        }
        for one in journal.moves.iter().filter(|one| one.client == index && one.to == node) {
            picture.line("move", [axis.x(one.at), top - 3.0, axis.x(one.at), top + BAR + 3.0]);
            let text = one.handover.map_or("never".to_owned(), milliseconds);
            picture.text("inside", axis.x(one.at) + 5.0, top + BAR - 5.0, &text);
        }
    }
}

/// Whereto the correspondent's node sends packets.
fn directions(picture: &mut Picture, stage: &Stage, axis: Axis, top: f64) {
    let journal = stage.journal();
    let middle = &stage.lab.nodes[MIDDLE];
    for (index, guest) in stage.guests.iter().enumerate() {
        let y = top + 26.0 * index as f64;
        picture.text("small", 24.0, y + 10.0, &format!("{middle} sends packets"));
        picture.text("small", 24.0, y + 21.0, &format!("for the {}", guest.name));
        let ways: Vec<_> = journal.ways.iter().filter(|(_, client, _)| *client == index).collect();
        for (position, (at, _, direction)) in ways.iter().enumerate() {
            let until = ways.get(position + 1).map_or(axis.until, |(next, ..)| *next);
            let [x, y, width, height] = axis.bar((*at).max(axis.from), until.min(axis.until), y + 3.0, 18.0);
            let (class, text) = match direction {
                Direction::Before => ("way before", format!("\u{2190} {}", stage.lab.nodes[MIDDLE - 1])),
                Direction::After => ("way after", format!("{} \u{2192}", stage.lab.nodes[MIDDLE + 1])),
                Direction::Here => ("way here", middle.clone()),
                Direction::Daemon => ("way daemon", "l3roamd".to_owned()),
                Direction::Nowhere => ("way", "nowhere".to_owned()),
            };
            picture.rectangle(class, [x, y, width, height], &text);
            if width > 6.5 * text.chars().count() as f64 + 4.0 {
                picture.text("small middle", x + width / 2.0, y + 13.0, &text);
            }
        }
    }
}

/// The longest pause of each while, and what was lost.
fn quiet(picture: &mut Picture, stage: &Stage, axis: Axis, index: usize, top: f64) {
    let guest = &stage.guests[index];
    let (base, full) = (top + 52.0, 40.0);
    picture.text("node", 24.0, top + 28.0, guest.name);
    picture.text("small", 24.0, top + 42.0, "pauses, packets lost");
    let mut pauses = vec![Duration::ZERO; 1 + (axis.seconds(axis.until) / BUCKET.as_secs_f64()) as usize];
    let first = stage.journal().scenes.first().map_or(axis.until, |scene| scene.from);
    for arrivals in guest.traffic.arrivals() {
        let scenes = |pair: &&[Duration]| pair[0] >= first && pair[1] <= axis.until;
        for pair in arrivals.windows(2).filter(scenes) {
            let bucket = (axis.seconds(pair[1]) / BUCKET.as_secs_f64()) as usize;
            if let Some(longest) = pauses.get_mut(bucket) {
                *longest = (*longest).max(pair[1] - pair[0]);
            }
        }
    }
    let longest = pauses.iter().max().copied().unwrap_or_default().max(Duration::from_millis(20));
    let ceiling = [20_u32, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000];
    let ceiling =
        ceiling.into_iter().find(|ms| longest <= Duration::from_millis(u64::from(*ms))).unwrap_or(60_000);
    for (part, text) in [(0.0, "0".to_owned()), (1.0, format!("{ceiling} ms"))] {
        picture.line("grid", [LEFT, base - full * part, RIGHT, base - full * part]);
        picture.text("small end", LEFT - 5.0, base - full * part + 4.0, &text);
    }
    for (bucket, pause) in pauses.iter().enumerate().filter(|(_, pause)| !pause.is_zero()) {
        let from = axis.from + BUCKET * u32::try_from(bucket).unwrap_or(u32::MAX);
        let height = full * (pause.as_secs_f64() * 1e3 / f64::from(ceiling)).min(1.0);
        let [x, y, width, height] = axis.bar(from, from + BUCKET, base - height, height);
        let title = format!("{:.2} s: a pause of {}", axis.seconds(from), milliseconds(*pause));
        picture.rectangle(guest.name, [x, y, (width - 1.0).max(0.8), height], &title);
    }
    for (at, air) in guest.traffic.missing(axis.until) {
        if at >= first {
            let x = axis.x(at);
            let (class, length) = if air { ("air", 8.0) } else { ("lost", 46.0) };
            picture.line(class, [x, base - length, x, base]);
        }
    }
}

fn ticks(picture: &mut Picture, axis: Axis, y: f64) {
    picture.line("axis", [LEFT, y, RIGHT, y]);
    for second in (0..=axis.seconds(axis.until) as u64).step_by(5) {
        let x = axis.x(axis.from + Duration::from_secs(second));
        picture.line("axis", [x, y, x, y + 5.0]);
        picture.text("small middle", x, y + 18.0, &format!("{second} s"));
    }
}

fn legend(picture: &mut Picture, stage: &Stage, y: f64) {
    let mut x = 24.0;
    let mut entry = |class: &str, text: &str| {
        picture.rectangle(class, [x, y - 11.0, 22.0, 13.0], "");
        picture.text("small", x + 28.0, y, text);
        x += 52.0 + 6.3 * text.chars().count() as f64;
    };
    for guest in &stage.guests {
        entry(&format!("{} serves", guest.name), &format!("serves the {}", guest.name));
    }
    entry("phone drains", "drains: what still comes for the phone is relayed");
    entry("killed", "l3roamd is dead");
    entry("frozen", &format!("{} stands still", stage.routing));
    entry("lostbox", "lost");
    entry("airbox", "on the air");
    picture.text(
        "small",
        24.0,
        y + 17.0,
        "In the bars: how long after the client was there until the new node alone served it. Pauses: the longest time without a packet in each quarter of a second; one is due every 5 ms.",
    );
}

/// The scenes in words, with their numbers.
fn scenes(picture: &mut Picture, stage: &Stage, top: f64) {
    for (scene, index) in stage.journal().scenes.iter().zip(0_u32..) {
        let y = top + SCENE * f64::from(index);
        picture.text("scene", 24.0, y, &format!("{}  {}", index + 1, scene.sentence));
        let numbers: Vec<String> = stage
            .guests
            .iter()
            .zip(&scene.tallies)
            .map(|(guest, tally)| {
                format!(
                    "{}: {} of {} lost, gap {}",
                    guest.name,
                    tally.lost,
                    tally.sent,
                    milliseconds(tally.gap)
                )
            })
            .collect();
        picture.text("small", 41.0, y + 16.0, &numbers.join("; "));
    }
}
