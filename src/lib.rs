//! l3roamd: layer-3 roaming for routed wireless meshes.

pub mod engine;
pub mod net;
pub mod time;
pub mod wire;

#[cfg(feature = "linux")]
pub mod control;
#[cfg(feature = "linux")]
pub mod daemon;
#[cfg(feature = "linux")]
pub mod kernel;
