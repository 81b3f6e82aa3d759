//! Bytes to meaning and back: total, pure, never panicking.

pub mod frame;
pub mod intercom;
pub mod ip;
