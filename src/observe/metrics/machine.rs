//! The machine's figures as metrics. What counts up is a counter, so that Prometheus makes its own rates; a figure that is
//! not reported is left out.

use super::text::{labels, print};
use crate::observe::machine::{GpuFigures, Sample, Usage};

/// The numbers of a metric, by their labels.
type Numbers = Vec<(String, f64)>;

/// A metric: name, meaning, and numbers.
type Metric = (&'static str, &'static str, fn(&Sample) -> Numbers);

/// All metrics of the machine.
const OF_THE_MACHINE: [Metric; 25] = [
    ("desktopd_cpu_seconds_total", "processor time that the container has used", |all| {
        one(all.totals.cpu_seconds)
    }),
    ("desktopd_cpu_cores", "cores that the container may keep busy", |all| one(all.cpu_cores)),
    ("desktopd_memory_used_bytes", "memory in use, without the cache of files", |all| {
        bytes(all.memory_used_bytes)
    }),
    ("desktopd_memory_cache_bytes", "the cache of files", |all| bytes(all.memory_cache_bytes)),
    ("desktopd_memory_limit_bytes", "memory that the container may use", |all| bytes(all.memory_limit_bytes)),
    ("desktopd_swap_used_bytes", "swap space in use, where it is limited", |all| bytes(all.swap_used_bytes)),
    ("desktopd_swap_limit_bytes", "limit of the swap space", |all| bytes(all.swap_limit_bytes)),
    ("desktopd_network_receive_bytes_total", "bytes received, without loopback", |all| {
        bytes(all.totals.network_received_bytes)
    }),
    ("desktopd_network_transmit_bytes_total", "bytes sent, without loopback", |all| {
        bytes(all.totals.network_sent_bytes)
    }),
    ("desktopd_disk_read_bytes_total", "bytes read from disks", |all| bytes(all.totals.disk_read_bytes)),
    ("desktopd_disk_written_bytes_total", "bytes written to disks", |all| {
        bytes(all.totals.disk_written_bytes)
    }),
    ("desktopd_filesystem_size_bytes", "all space of a file system", |all| {
        all.disks.iter().map(|disk| (labels(&[("path", &disk.path)]), float(disk.total_bytes))).collect()
    }),
    ("desktopd_filesystem_used_bytes", "space in use", |all| {
        all.disks.iter().map(|disk| (labels(&[("path", &disk.path)]), float(disk.used_bytes))).collect()
    }),
    ("desktopd_filesystem_avail_bytes", "space that a user without special rights can still write", |all| {
        all.disks.iter().map(|disk| (labels(&[("path", &disk.path)]), float(disk.available_bytes))).collect()
    }),
    ("desktopd_gpu_utilization_ratio", "how much of the time the GPU worked", |all| {
        gpus(all, |gpu| gpu.busy_share)
    }),
    ("desktopd_gpu_awake_ratio", "how much of the time the GPU was not in its sleep state", |all| {
        gpus(all, |gpu| gpu.awake_share)
    }),
    ("desktopd_gpu_encoder_utilization_ratio", "how much of the time the video encoder worked", |all| {
        gpus(all, |gpu| gpu.encoder_share)
    }),
    ("desktopd_gpu_memory_used_bytes", "memory of the GPU in use", |all| {
        gpus(all, |gpu| gpu.memory_used_bytes.map(float))
    }),
    ("desktopd_gpu_memory_size_bytes", "all memory of the GPU", |all| {
        gpus(all, |gpu| gpu.memory_total_bytes.map(float))
    }),
    ("desktopd_gpu_temperature_celsius", "temperature of the GPU", |all| {
        gpus(all, |gpu| gpu.temperature_celsius)
    }),
    ("desktopd_gpu_power_watts", "power that the GPU draws", |all| gpus(all, |gpu| gpu.power_watts)),
    ("desktopd_unit_cpu_seconds_total", "processor time that a service has used", |all| {
        units(all, |usage| usage.cpu_seconds)
    }),
    ("desktopd_unit_memory_bytes", "memory of a service's own processes, without what they share", |all| {
        units(all, |usage| float(usage.memory_bytes))
    }),
    ("desktopd_unit_processes", "processes of a service", |all| units(all, |usage| usage.processes.into())),
    ("desktopd_processes", "processes of the container", |all| one(Some(all.processes.into()))),
];

/// Appends the figures of a sample.
pub(super) fn append(text: &mut String, sample: &Sample) {
    for (name, meaning, read) in OF_THE_MACHINE {
        let numbers = read(sample);
        if !numbers.is_empty() {
            print(text, name, meaning, numbers);
        }
    }
}

fn one(number: Option<f64>) -> Numbers {
    number.map(|number| (String::new(), number)).into_iter().collect()
}

fn bytes(number: Option<u64>) -> Numbers {
    one(number.map(float))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn float(number: u64) -> f64 {
    number as f64
}

fn gpus(sample: &Sample, figure: fn(&GpuFigures) -> Option<f64>) -> Numbers {
    let of = |gpu: &GpuFigures| Some((labels(&[("gpu", &gpu.place), ("name", &gpu.name)]), figure(gpu)?));
    sample.gpus.iter().filter_map(of).collect()
}

fn units(sample: &Sample, figure: fn(&Usage) -> f64) -> Numbers {
    let of = |name: &str, usage: &Usage| (labels(&[("unit", name)]), figure(usage));
    sample.services.iter().map(|service| of(&service.name, &service.usage)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::machine::{Disk, ServiceFigures};

    #[test]
    fn figures_have_units_in_their_names_and_absent_ones_are_left_out() {
        let gpu = GpuFigures {
            name: "NVIDIA \"T4\"".into(),
            place: "0000:01:00.0".into(),
            busy_share: Some(0.37),
            ..GpuFigures::default()
        };
        let usage = Usage { cpu_share: None, memory_bytes: 4096, processes: 2, cpu_seconds: 1.25 };
        let sample = Sample {
            memory_used_bytes: Some(12_345_678_901),
            gpus: vec![gpu],
            disks: vec![Disk { path: "/".into(), used_bytes: 5, ..Disk::default() }],
            services: vec![ServiceFigures { name: "kde".into(), usage }],
            ..Sample::default()
        };
        let mut text = String::new();
        append(&mut text, &sample);
        for line in [
            "# TYPE desktopd_memory_used_bytes gauge\ndesktopd_memory_used_bytes 12345678901\n",
            "desktopd_gpu_utilization_ratio{gpu=\"0000:01:00.0\",name=\"NVIDIA \\\"T4\\\"\"} 0.37\n",
            "desktopd_filesystem_used_bytes{path=\"/\"} 5\n",
            "# TYPE desktopd_unit_cpu_seconds_total counter\ndesktopd_unit_cpu_seconds_total{unit=\"kde\"} 1.25\n",
            "desktopd_unit_memory_bytes{unit=\"kde\"} 4096\n",
            "desktopd_unit_processes{unit=\"kde\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        for name in ["swap", "temperature", "power", "encoder", "network", "cpu_cores"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}
