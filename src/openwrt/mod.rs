//! The OpenWrt side: what configures, watches and scripts the daemon there. None of it decides about roaming, and without any of it
//! the daemon works.

#[cfg(feature = "linux")]
pub mod hostapd;
#[cfg(feature = "linux")]
pub mod netifd;
#[cfg(feature = "linux")]
pub mod object;
#[cfg(feature = "linux")]
pub mod ubus;
pub mod uci;
