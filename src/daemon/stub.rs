//! A kernel that has nothing and does nothing, in the shape of `crate::kernel`, until that is there.
#![allow(missing_docs, dead_code)]

use std::net::Ipv6Addr;

use crate::engine::config::Sources;
use crate::engine::{Action, DesiredState, Input};
use crate::net::{InterfaceName, Prefix};

#[derive(Debug)]
pub struct Settings {
    pub tun: InterfaceName,
    pub node_address: Ipv6Addr,
    pub node_client_prefix: Prefix,
    pub metric: u32,
    pub sources: Sources,
}

#[derive(Debug, thiserror::Error)]
#[error("no kernel")]
pub struct KernelError;

pub enum Event {
    Input(Input),
    StateLost(&'static str),
    Broken(KernelError),
}

#[derive(Debug, Default)]
pub struct Repairs {
    pub added: usize,
    pub removed: usize,
    pub failed: usize,
}

pub struct Kernel;

#[expect(clippy::unused_async, reason = "the shape of the real one")]
impl Kernel {
    pub async fn open(_: Settings) -> Result<Self, KernelError> {
        Ok(Self)
    }
    pub async fn dump(&mut self) -> Result<Vec<Input>, KernelError> {
        Ok(Vec::new())
    }
    pub async fn dump_own(&mut self) -> Result<Vec<Input>, KernelError> {
        Ok(Vec::new())
    }
    pub async fn next(&mut self) -> Event {
        std::future::pending().await
    }
    pub fn try_next(&mut self) -> Option<Event> {
        None
    }
    pub async fn apply(&mut self, _: Action) -> Option<Input> {
        None
    }
    pub async fn reconcile(&mut self, _: &DesiredState) -> Result<Repairs, KernelError> {
        Ok(Repairs::default())
    }
    pub async fn shut_down(self) {}
}
