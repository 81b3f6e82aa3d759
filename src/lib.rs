//! l3roamd: layer-3 roaming for routed wireless meshes.
//!
//! A node notices its clients, installs a host route for each of their addresses, lets the mesh's routing protocol carry it, and takes
//! clients over from the node that had them. This is the tour for whoever will change it.
//!
//! # Shape
//! ```text
//!            facts                                   meaning                    bytes
//!  kernel ----------+                      +------------------------+
//!  control, ubus ---+--> daemon (loop) --> | engine: decides, no I/O | --> wire --> net, time
//!  signals, clock --+         ^            +-----------+------------+
//!                             +-- ordered actions, news -+
//! ```
//! Dependencies point one way: `main -> daemon -> { kernel, control, openwrt } -> engine -> wire -> { net, time }`. The engine and the wire format
//! build without any operating system (`cargo check --lib --no-default-features`), and so does the reading of UCI; everything else is behind the
//! feature `linux`.
//!
//! | module | room |
//! |---|---|
//! | [`engine`] | all decisions: clients, handovers, searches, desired kernel state. Time and randomness are arguments |
//! | [`wire`] | bytes to meaning and back, total and panic-free: intercom packets (their specification is there), neighbour discovery, IP |
//! | `kernel` | one driver for each kernel interface, no policy: netlink, packet sockets, intercom socket, TUN |
//! | `control` | the control socket of the C daemon |
//! | `openwrt` | the ubus object, UCI, netifd and hostapd |
//! | `daemon` | options, log, and the loop: wait, read the clock once, feed the engine, carry out what it orders |
//! | [`net`], [`mod@time`] | the words that all share: MAC, prefix, interface; a clock reading as an integer |
//! | `gather` | how trees are collected with little code |
//!
//! # Rules that keep it so
//! 1. The engine decides, drivers act. A driver that needs an `if` about roaming lacks an action.
//! 2. What comes from outside is a fact in past tense ([`engine::Input`]), what goes out an order ([`engine::Action`]) or news
//!    ([`engine::Notice`]), in one queue whose order is part of the protocol.
//! 3. Facts are told by events for speed and by dumps for truth. [`engine::Engine::desired_state`] names all that should stand in the
//!    kernel; after lost events, a restart or somebody's `ip route flush` the daemon compares and repairs.
//! 4. Everything that grows has a bound in [`engine::config::Tunables`], and a test that hits it. Whatever is dropped is counted by reason
//!    ([`engine::stats::Counter`]).
//! 5. Commands are one enum with one grammar and one table ([`engine::command`]): nothing can be asked in one way only.
//! 6. `unsafe` lives in files called `sys`. No 64-bit atomics, no native byte order on the wire: routers are 32-bit and big-endian.

pub mod engine;
mod gather;
pub mod net;
pub mod time;
pub mod wire;

#[cfg(feature = "linux")]
pub mod control;
#[cfg(feature = "linux")]
pub mod daemon;
#[cfg(feature = "linux")]
pub mod kernel;
pub mod openwrt;
