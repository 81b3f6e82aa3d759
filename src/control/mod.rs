//! The unix socket of the C daemon.
