//! Handover between access points.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::air::{ACCESS_POINTS, STATION};
use crate::daemon::Kind;
use crate::lab::CORRESPONDENT;
use crate::measure::{Outcome, eventually, measure, must};
use crate::probe::{Flow, PORT};
use crate::signs::Sign;
use crate::site::Site;
use crate::stay::{milliseconds, since};
use crate::sys::PacketSocket;
use crate::{Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_silent_station_is_handed_over", Kind::Ours, |site| roams(site, Kind::Ours, false)),
    ("a_talking_station_is_handed_over", Kind::Ours, |site| roams(site, Kind::Ours, true)),
    ("c_a_silent_station_roams", Kind::C, |site| roams(site, Kind::C, false)),
    ("c_a_talking_station_roams", Kind::C, |site| roams(site, Kind::C, true)),
];

/// Between two packets of a station that talks.
const INTERVAL: Duration = Duration::from_millis(10);
/// Between two probes to it.
const PROBES: Duration = Duration::from_millis(5);
/// What the daemon may add to the radio's own gap, in milliseconds.
const ADDED: f64 = 10.0;
/// A roam that took longer is counted as not recovered.
const PATIENCE: Duration = Duration::from_secs(6);

/// Sends a packet to the correspondent every 10 ms, whatever comes back.
struct Talk {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _heard: UdpSocket,
}

impl Talk {
    fn start(from: IpAddr) -> Self {
        let heard = sys::inside(CORRESPONDENT, || UdpSocket::bind("[::]:9")).expect("bind the correspondent");
        let socket = sys::inside(STATION, || UdpSocket::bind((from, 0))).expect("bind the station");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // Off the air that fails; nobody minds.
                    let _ = socket.send_to(&[0; 64], "[2001:db8:b::2]:9");
                    std::thread::sleep(INTERVAL);
                }
            }
        });
        Self { stop, thread: Some(thread), _heard: heard }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The numbers of the probes that access points were given to send.
pub struct OnAir {
    numbers: Arc<Mutex<BTreeSet<u32>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl OnAir {
    /// Watches both access points.
    pub fn watch(site: &Site) -> Self {
        let (numbers, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let watch = |(radio, node): (usize, &usize)| {
            let socket = PacketSocket::open(&site.lab.nodes[*node], &format!("wlan{radio}"));
            let (numbers, stop) = (Arc::clone(&numbers), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut buffer = vec![0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let frame = socket.receive(&mut buffer, Duration::from_millis(50));
                    if let Some(number) =
                        frame.filter(|(_, leaves)| *leaves).and_then(|(frame, _)| probe(frame))
                    {
                        numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                    }
                }
            })
        };
        Self { threads: ACCESS_POINTS.iter().enumerate().map(watch).collect(), numbers, stop }
    }

    /// Of the probes sent between two times: how many did not arrive and had been given to an access point, and those that had not.
    pub fn missing(&self, flow: &Flow, from: Duration, until: Duration) -> (usize, Vec<u32>) {
        let (sent, arrived, _) = flow.numbers(from, until);
        let arrived: BTreeSet<u32> = arrived.into_iter().collect();
        let given = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = sent.into_iter().filter(|number| !arrived.contains(number));
        let (on_air, lost): (Vec<u32>, Vec<u32>) = missing.partition(|number| given.contains(number));
        (on_air.len(), lost)
    }
}

impl Drop for OnAir {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The number of a probe, which is an IPv6 packet here.
fn probe(frame: &[u8]) -> Option<u32> {
    let is_probe = frame.get(12..14)? == [0x86, 0xdd]
        && frame.get(20)? == &17
        && frame.get(56..58)? == PORT.to_be_bytes();
    if is_probe { Some(u32::from_be_bytes(frame.get(62..66)?.try_into().ok()?)) } else { None }
}

/// What a roam came to, in milliseconds: handshake since NEW_STATION, routes since the handshake, gaps.
#[derive(Default)]
struct Numbers {
    handshake: Vec<Option<f64>>,
    routes: Vec<Option<f64>>,
    served: Vec<Option<f64>>,
    gap: Vec<Option<f64>>,
    radio: Vec<Option<f64>>,
    /// The longest gap less the radio's own.
    added: Vec<Option<f64>>,
    on_air: Vec<usize>,
    lost: Vec<usize>,
}

fn roams(site: &mut Site, kind: Kind, talking: bool) -> Outcome {
    site.start(kind);
    let count = if long() { 20 } else { 2 };
    let mut node = site.air.station.attach().node;
    must(site.introduce(node) || kind == Kind::C, "a station that talks is not served")?;
    if !talking {
        site.air.station.keep_back_reports(true);
    }
    let flow = Flow::start(site.air.station.v6[0].into(), Some(STATION), PROBES);
    let talk = talking.then(|| Talk::start(site.air.station.v6[0].into()));
    let air = OnAir::watch(site);
    let mut numbers = Numbers::default();
    for _ in 0..count {
        site.air.station.look_around();
        std::thread::sleep(Duration::from_millis(500));
        let to = if node == ACCESS_POINTS[0] { ACCESS_POINTS[1] } else { ACCESS_POINTS[0] };
        roam(site, to, (&flow, &air), &mut numbers)?;
        node = to;
    }
    drop((flow, talk, air));
    if !talking {
        site.air.station.keep_back_reports(false);
    }
    site.air.station.leave();
    report(&numbers, kind, talking);
    let good = numbers.routes.iter().all(|at| at.is_some_and(|at| at <= 5.0));
    let whole = numbers.gap.iter().chain(&numbers.served).all(Option::is_some);
    must(whole || kind == Kind::C, "not every roam recovered within 6 s")?;
    must(good || kind == Kind::C, "not every address had its route 5 ms after the handshake")?;
    must(
        numbers.lost.iter().all(|lost| *lost == 0) || kind == Kind::C,
        "packets were lost that were not on the air",
    )?;
    must(
        numbers.added.iter().all(|added| added.is_some_and(|added| added <= ADDED)) || kind == Kind::C,
        format!("a roam took more than {ADDED} ms beside the radio's own gap"),
    )
}

fn roam(site: &Site, to: usize, (flow, air): (&Flow, &OnAir), numbers: &mut Numbers) -> Outcome {
    let start = sys::now();
    site.air.station.roam(to);
    let Some(end) = site.air.station.connected(start, Some(to)) else {
        return must(false, "the station did not roam");
    };
    let new = site.air.signs.first(start, Some(to), Sign::New, site.air.station.mac);
    numbers.handshake.push(new.map(|new| since(end.at, new.at)));
    let routes = site.routes(start, to, PATIENCE);
    let left = (end.at + PATIENCE).saturating_sub(sys::now());
    let served = eventually(left, || site.served_by(to)).then(|| since(sys::now(), end.at));
    let left = (end.at + PATIENCE).saturating_sub(sys::now());
    // Whether packets get through again: not one that the old access point still delivered.
    let back = eventually(left, || flow.first_return(end.at).is_some());
    std::thread::sleep(Duration::from_millis(300));
    let until = sys::now().saturating_sub(Duration::from_millis(100));
    let whole = flow.report(start, until);
    let routes: Vec<Option<f64>> = routes.iter().map(|at| at.map(|at| since(at, end.at))).collect();
    let line =
        format!("routes {routes:.1?}, handshake {:.1?}, served {served:.1?}", numbers.handshake.last());
    println!("log roam to node {to}: {line}, {whole:?}");
    numbers.routes.extend(routes);
    numbers.served.push(served);
    // From the last that the old access point delivered to the end of the handshake at the new one.
    let radio = since(end.at, flow.last_arrival(end.at).unwrap_or(start));
    let gap = back.then(|| since(whole.gap, Duration::ZERO));
    let (on_air, lost) = air.missing(flow, start, until);
    println!("log radio {radio:.1}, on the air {on_air}, lost {lost:?}");
    numbers.gap.push(gap);
    numbers.radio.push(Some(radio));
    numbers.added.push(gap.map(|gap| gap - radio));
    numbers.on_air.push(on_air);
    numbers.lost.push(lost.len());
    Ok(())
}

fn report(numbers: &Numbers, kind: Kind, talking: bool) {
    let who = if talking { "talking" } else { "silent" };
    let name = format!("Wi-Fi, a {who} station roams, {}", kind.name());
    measure(&format!("{name}: routes after the end of the handshake"), milliseconds(&numbers.routes));
    measure(&format!("{name}: served there alone after it"), milliseconds(&numbers.served));
    measure(&format!("{name}: handshake ends after NEW_STATION"), milliseconds(&numbers.handshake));
    measure(
        &format!("{name}: longest gap"),
        format!(
            "{}; the radio's own {}; beside it {}; on the air {:?}, lost {:?}",
            milliseconds(&numbers.gap),
            milliseconds(&numbers.radio),
            milliseconds(&numbers.added),
            numbers.on_air,
            numbers.lost
        ),
    );
}
