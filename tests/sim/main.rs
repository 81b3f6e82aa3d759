//! Many engines in one process, in virtual time, with a seeded network between them.
//!
//! | file | concept |
//! |---|---|
//! | `world` | nodes, clients, the queue of events; time jumps to the next one |
//! | `node`, `kernel` | an engine (or a C daemon's model) and the kernel state that its actions make |
//! | `network`, `routing` | intercom datagrams hop by hop; what the routing daemons know, and when |
//! | `lifecycle` | start, crash, orderly end of a daemon; dumps |
//! | `packets` | clients' packets: delivered, forwarded, captured, lost |
//! | `clients` | what clients do and answer |
//! | `c_node` | a minimal model of the C daemon |
//! | `model` | the invariants |
//! | others | the tests |
//!
//! A failing test prints its seed and the command that repeats it. `L3ROAMD_LONG=1` runs more seeds.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod c_node;
mod clients;
mod kernel;
mod lifecycle;
mod model;
mod network;
mod node;
mod packets;
mod random;
mod routing;
mod world;

mod faults;
mod handover;
mod memory;
mod mixed;
mod relay;
mod replay;
mod restart;
mod search;
mod soak;
mod stall;
