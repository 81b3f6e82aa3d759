//! The OpenWrt side: what configures, watches and scripts the daemon there. None of it decides about roaming, and without any of it
//! the daemon works.

pub mod hostapd;
pub mod netifd;
pub mod object;
pub mod ubus;
