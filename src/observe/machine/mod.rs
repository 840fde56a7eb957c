//! The figures of the machine: processor, memory, disks, network, GPUs and services, now and in the past. Read only while
//! a client looks.
//!
//! `sampler.rs` has the thread and its clients, `reader.rs` what is read for one sample, `sample.rs` the figures as
//! clients get them, `history.rs` those of the past. Where a control group is found, and what its files mean in either
//! version: `groups.rs`, `memory.rs`, `counters.rs`. Which process belongs to which service: `processes.rs`.

mod aside;
mod counters;
mod disks;
mod gpus;
mod groups;
mod history;
mod memory;
mod processes;
mod rate;
mod reader;
mod sample;
mod sampler;
mod stat;
mod words;

pub use sample::{
    Chart, Disk, GpuChart, GpuFigures, History, ProcessFigures, Report, Sample, ServiceChart, ServiceCharts,
    ServiceFigures, Usage,
};
pub use sampler::{Machine, Places, View};
pub use words::{bytes, percent};
