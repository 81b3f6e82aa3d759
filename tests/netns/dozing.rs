//! A client that saves power: frames to it wait in its access point and reach it only now and then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use l3roamd::net::Mac;

use crate::claims::Claims;
use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::evidence::{Returns, ask_from_link_local, hasten_doubt_in_short_form, refusals};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::relay::{Air, Loss};
use crate::roam::{attach, served_by};
use crate::sys::{self, Tap};
use crate::{Needs, Test, long};

/// The tests of this file.
pub const TESTS: &[Test] =
    &[("a_dozing_client_loses_nothing_and_is_served_where_it_is", Needs::Nothing, dozing)];

/// How often a dozing client wakes: a usual beacon interval.
const WAKES: Duration = Duration::from_millis(100);

/// The wire of a dozing client: what it sends passes at once, what is sent to it waits until it
/// wakes. Nothing is lost.
struct Doze {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Doze {
    /// Makes client `number` of the lab on such a wire.
    fn client(lab: &mut Lab, number: u8) -> (Client, Self) {
        let mut taps = None;
        let mac = Mac([2, 0xc1, 0, 0, 0, number]);
        let client = Client::wired(lab, number, mac, |namespace, port| {
            taps = Some((Tap::open("air", port), Tap::open(namespace, "eth0")));
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (air, own) = taps.expect("the wire is made");
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || carry(&air, &own, &stop)
        });
        (client, Self { stop, thread: Some(thread) })
    }
}

impl Drop for Doze {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries frames between the air and the client until told to stop.
fn carry(air: &Tap, client: &Tap, stop: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let mut wakes = sys::now() + WAKES;
    while !stop.load(Ordering::Relaxed) {
        sys::readable(&[air.descriptor(), client.descriptor()], wakes.saturating_sub(sys::now()));
        while let Some(frame) = client.receive(&mut buffer) {
            air.send(frame);
        }
        while let Some(frame) = air.receive(&mut buffer) {
            held.push_back(frame.to_vec());
        }
        if sys::now() >= wakes {
            for frame in held.drain(..) {
                client.send(&frame);
            }
            wakes = sys::now() + WAKES;
        }
    }
}

fn dozing() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    hasten_doubt_in_short_form(&lab);
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let (count, watched) = if long() { (5, Duration::from_secs(60)) } else { (2, Duration::from_secs(8)) };
    let (clients, wires): (Vec<Client>, Vec<Doze>) =
        (1..=count).map(|number| Doze::client(&mut lab, number)).unzip();
    for client in &clients {
        attach(&lab, client, true, 0)?;
    }
    std::thread::sleep(Duration::from_secs(3));
    let mut result = Ok(());
    // One flow at a time: all are numbered from 0, and the air knows them by number.
    let flow = Flow::start(clients[0].v6.into(), Some(&clients[0].namespace), INTERVAL * 2);
    must(eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let (air, claims) = (Air::watch(&lab), Claims::watch(&lab));
    std::thread::sleep(Duration::from_millis(300));
    let (start, before) = (sys::now(), refusals(&daemons));
    let (mut moves, mut returns) = (Vec::new(), Returns::default());
    for (from, to) in [(0, 2), (2, 0)] {
        let mut left = Vec::new();
        for client in &clients {
            ask_from_link_local(&lab, from, lab.client_interface(), client)?;
        }
        std::thread::sleep(Duration::from_millis(500));
        for client in &clients {
            left.push(sys::now());
            client.roam(Some(to));
            client.ask_gateway(true);
            let here = eventually(Duration::from_secs(30), || served_by(&lab, client, true, to));
            must(here, format!("{} is never served at {}", client.mac, lab.nodes[to]))?;
            std::thread::sleep(Duration::from_millis(300));
        }
        moves.push(left[0]);
        std::thread::sleep(watched);
        for (client, left) in clients.iter().zip(left) {
            returns.add(&lab, &claims, client, from, left);
            let right = served_by(&lab, client, true, to);
            result = result.and(must(right, format!("{} is not served where it is", client.mac)));
        }
    }
    let end = sys::now();
    std::thread::sleep(Duration::from_secs(1));
    let loss = Loss::count(&flow, start, end, &moves, &air.stop());
    let refused = refusals(&daemons) - before;
    loss.tell("a dozing client roams");
    measure(
        &format!("{} roams of dozing clients, each watched for {watched:.0?}", clients.len() * 2),
        format!("by nodes that were left: {returns:?}; {refused} refusals"),
    );
    drop(wires);
    returns.judge()?;
    must(refused == 0, format!("{refused} claims were refused"))?;
    result?;
    must(loss.lost_down + loss.lost_up == 0, format!("{} packets lost", loss.lost_down + loss.lost_up))
}
