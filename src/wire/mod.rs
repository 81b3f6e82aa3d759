//! Bytes to meaning and back: total, pure, never panicking.

mod codec;
mod extension;
pub mod frame;
pub mod icmp;
pub mod intercom;
pub mod ip;
mod ipv6;
