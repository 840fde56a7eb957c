//! The figures of one moment, as the API, `desktopd top` and Prometheus get them.
//!
//! Names say the unit. A share is a number from 0 to 1. A figure that the machine does not report is null, never 0.

use serde::{Deserialize, Serialize};

/// The figures of one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "MachineSample"))]
pub struct Sample {
    /// Counts the samples since the daemon's start.
    pub seq: u64,
    /// When the figures were read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// How much of the processor time that the container may use was used since the last sample. Null in the first sample
    /// after a pause, like all figures that are differences.
    pub cpu_share: Option<f64>,
    /// How many cores the container may keep busy; with a fraction where its limit has one.
    pub cpu_cores: Option<f64>,
    /// The memory that programs and the kernel hold for this container and cannot give back: without the cache of files.
    pub memory_used_bytes: Option<u64>,
    /// The cache of files, which the kernel gives up when memory is needed.
    pub memory_cache_bytes: Option<u64>,
    /// The memory that the container may use: its limit, or that of the whole machine.
    pub memory_limit_bytes: Option<u64>,
    /// Memory that was moved to the swap space; null where the container's swap space is not limited.
    pub swap_used_bytes: Option<u64>,
    /// The container's limit of swap space.
    pub swap_limit_bytes: Option<u64>,
    /// Bytes that all network interfaces but loopback received in a second.
    pub network_received_bytes_per_second: Option<u64>,
    /// Bytes that they sent in a second.
    pub network_sent_bytes_per_second: Option<u64>,
    /// Bytes that the container read from disks in a second.
    pub disk_read_bytes_per_second: Option<u64>,
    /// Bytes that the container wrote to disks in a second.
    pub disk_written_bytes_per_second: Option<u64>,
    /// The file systems: that of the container, and that of the workspace if it is another one.
    pub disks: Vec<Disk>,
    /// The GPUs, in the order of `desktopd probe`.
    pub gpus: Vec<GpuFigures>,
    /// The services that have processes, and the daemon itself. Processes are looked at in every other sample.
    pub services: Vec<ServiceFigures>,
    /// Processes that belong to no service: shells, detached jobs, helpers of the daemon.
    pub others: Usage,
    /// The processes that use the most memory, and those that use the most processor time: those with more memory first.
    /// The others are only in the sums.
    #[serde(default)]
    pub largest: Vec<ProcessFigures>,
    /// The number of all processes.
    pub processes: u32,
    /// Whether there were too many processes to look at all of them.
    pub processes_left_out: bool,
    /// Figures that count up from some start, for programs that make their own differences.
    #[serde(skip)]
    pub totals: Totals,
    /// Whether an answer about a GPU is still awaited, for the first time.
    #[serde(skip)]
    pub gpus_pending: bool,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disk {
    /// The folder at which it was looked.
    pub path: String,
    /// The space in use.
    pub used_bytes: u64,
    /// All space.
    pub total_bytes: u64,
    /// What a user without special rights can still write.
    pub available_bytes: u64,
    /// Whether the file system does not answer now, and the figures are older ones.
    pub stale: bool,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuFigures {
    /// The name for people.
    pub name: String,
    /// The PCI address, or else the device node.
    pub place: String,
    /// How much of the time the GPU worked.
    pub busy_share: Option<f64>,
    /// How much of the time the GPU was not in its sleep state: at least as much as it worked. Intel's drivers report
    /// this and no busy share.
    pub awake_share: Option<f64>,
    /// How much of the time its video encoder worked.
    pub encoder_share: Option<f64>,
    /// Its own memory in use.
    pub memory_used_bytes: Option<u64>,
    /// All of its own memory.
    pub memory_total_bytes: Option<u64>,
    /// The temperature.
    pub temperature_celsius: Option<f64>,
    /// The power that it draws.
    pub power_watts: Option<f64>,
    /// Why figures are missing, if that is known.
    pub reason: Option<String>,
}

/// What processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Usage {
    /// How much of the processor time that the container may use they used since the last sample.
    pub cpu_share: Option<f64>,
    /// Memory of their own: without files and without memory that is shared with other processes.
    pub memory_bytes: u64,
    /// How many there are.
    pub processes: u32,
    /// The processor time that they have used since their start, or since the daemon first looked. In seconds.
    #[serde(skip)]
    pub cpu_seconds: f64,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceFigures {
    /// Its name.
    pub name: String,
    /// What its processes use.
    #[serde(flatten)]
    pub usage: Usage,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessFigures {
    /// Its number.
    pub pid: i32,
    /// Its name, of which the kernel keeps 15 bytes. Not its command line, which may have secrets.
    pub name: String,
    /// The service that it belongs to, if there is one.
    pub service: Option<String>,
    /// How much of the processor time that the container may use it used since the last look.
    pub cpu_share: Option<f64>,
    /// Memory of its own.
    pub memory_bytes: u64,
}

/// Figures that count up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// The processor time that the container has used.
    pub cpu_seconds: Option<f64>,
    /// Bytes that the network interfaces received.
    pub network_received_bytes: Option<u64>,
    /// Bytes that they sent.
    pub network_sent_bytes: Option<u64>,
    /// Bytes read from disks.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written to disks.
    pub disk_written_bytes: Option<u64>,
}

/// The figures of the past, as far as the machine was looked at: two charts of the machine, one of each service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "MachineHistory"))]
pub struct History {
    /// The last 10 minutes, second by second.
    pub seconds: Chart,
    /// The last 24 hours, minute by minute. A value is the mean of a minute.
    pub minutes: Chart,
    /// The last 10 minutes of the services, in steps of 10 seconds.
    pub services: ServiceCharts,
}

/// Values at equal distances. All lists of a chart have the same length; the last value belongs to `until_at`. Null where
/// nothing is known, because no client looked or the machine did not report the figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Chart {
    /// The distance between two values.
    pub step_seconds: u64,
    /// The time of the last value, in milliseconds since the Unix epoch.
    pub until_at: i64,
    /// See [`Sample::cpu_share`]; the others in the same way.
    pub cpu_share: Vec<Option<f64>>,
    /// Memory in use.
    pub memory_used_bytes: Vec<Option<f64>>,
    /// The cache of files.
    pub memory_cache_bytes: Vec<Option<f64>>,
    /// Swap space in use.
    pub swap_used_bytes: Vec<Option<f64>>,
    /// Received from the network.
    pub network_received_bytes_per_second: Vec<Option<f64>>,
    /// Sent to the network.
    pub network_sent_bytes_per_second: Vec<Option<f64>>,
    /// Read from disks.
    pub disk_read_bytes_per_second: Vec<Option<f64>>,
    /// Written to disks.
    pub disk_written_bytes_per_second: Vec<Option<f64>>,
    /// The GPUs.
    pub gpus: Vec<GpuChart>,
}

/// The past of a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GpuChart {
    /// As in [`GpuFigures::place`].
    pub place: String,
    /// How much of the time it worked; where that is not reported, how much of the time it was awake.
    pub busy_share: Vec<Option<f64>>,
    /// How much of the time its encoder worked.
    pub encoder_share: Vec<Option<f64>>,
    /// Its memory in use.
    pub memory_used_bytes: Vec<Option<f64>>,
    /// Its temperature.
    pub temperature_celsius: Vec<Option<f64>>,
    /// The power that it draws.
    pub power_watts: Vec<Option<f64>>,
}

/// The past of the services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceCharts {
    /// The distance between two values.
    pub step_seconds: u64,
    /// The time of the last value, in milliseconds since the Unix epoch.
    pub until_at: i64,
    /// The services.
    pub services: Vec<ServiceChart>,
}

/// The past of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceChart {
    /// Its name.
    pub name: String,
    /// How much of the processor time it used.
    pub cpu_share: Vec<Option<f64>>,
    /// The memory of its own processes.
    pub memory_bytes: Vec<Option<f64>>,
}

/// The answer to one question about the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "MachineReport"))]
pub struct Report {
    /// The figures now; null if they could not be read in time.
    pub now: Option<Sample>,
    /// The past.
    pub history: History,
}
