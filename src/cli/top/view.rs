//! A sample as text: what the machine does in a few lines, and a table of the services.

use crate::cli::Screen;
use crate::cli::args::Sort;
use crate::cli::layout::cut;
use crate::cli::table::table;
use crate::observe::machine::{GpuFigures, Sample, Usage, bytes, percent};
use crate::sys::terminal::safe_line;

/// The columns that the numbers of a row need, with the gaps.
const NUMBERS: usize = 31;

/// In fewer columns than this, the number of processes is left out.
const NARROW: usize = 50;

/// The least width of a name.
const NAME: usize = 8;

/// What processes without a service are called. No service can have a name with brackets.
const OTHERS: &str = "(others)";

/// The text, as wide and as high as the screen is.
pub(super) fn text(sample: &Sample, sort: Sort, screen: Screen) -> String {
    let width = screen.limit.unwrap_or(usize::MAX);
    let mut text = String::new();
    for line in header(sample) {
        text.extend([&cut(&safe_line(&line), width), "\n"]);
    }
    let room = screen.height.map_or(usize::MAX, |height| height.saturating_sub(text.lines().count() + 2));
    text.push('\n');
    text + &services(sample, sort, width, room)
}

/// The machine's lines.
fn header(sample: &Sample) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, parts: Vec<Option<String>>| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            lines.push(format!("{name:<8} {}", parts.join(", ")));
        }
    };
    let of = |used: Option<u64>, all: Option<u64>, word: &str| {
        let used = bytes(used?);
        Some(all.map_or_else(|| format!("{used} {word}"), |all| format!("{used} of {} {word}", bytes(all))))
    };
    let cores = sample.cpu_cores.map(|cores| format!(" of {cores} cores")).unwrap_or_default();
    let more = if sample.processes_left_out { "more than " } else { "" };
    line(
        "CPU",
        vec![
            sample.cpu_share.map(|share| format!("{}{cores}", percent(share))),
            Some(format!("{more}{} processes", sample.processes)),
        ],
    );
    line(
        "memory",
        vec![
            of(sample.memory_used_bytes, sample.memory_limit_bytes, "used"),
            sample.memory_cache_bytes.map(|cache| format!("{} cache", bytes(cache))),
            of(sample.swap_used_bytes, sample.swap_limit_bytes, "swap"),
        ],
    );
    for gpu in &sample.gpus {
        line("GPU", vec![Some(format!("{}: {}", gpu.name, of_gpu(gpu)))]);
    }
    let disk = sample.disks.iter().map(|disk| {
        let stale = if disk.stale { " (does not answer)" } else { "" };
        let of = format!("{} of {}", bytes(disk.used_bytes), bytes(disk.total_bytes));
        Some(format!("{}: {of} used{stale}", disk.path))
    });
    let each = |rate: Option<u64>, word: &str| rate.map(|rate| format!("{}/s {word}", bytes(rate)));
    line(
        "disk",
        disk.chain([
            each(sample.disk_read_bytes_per_second, "read"),
            each(sample.disk_written_bytes_per_second, "written"),
        ])
        .collect(),
    );
    line(
        "network",
        vec![
            each(sample.network_received_bytes_per_second, "in"),
            each(sample.network_sent_bytes_per_second, "out"),
        ],
    );
    lines
}

/// The figures of a GPU that there are.
fn of_gpu(gpu: &GpuFigures) -> String {
    let memory = gpu.memory_used_bytes.map(|used| {
        let all = gpu.memory_total_bytes.map(|all| format!(" of {}", bytes(all))).unwrap_or_default();
        format!("{}{all}", bytes(used))
    });
    let parts = [
        gpu.busy_share.map(|share| format!("{} busy", percent(share))),
        gpu.awake_share.map(|share| format!("{} awake", percent(share))),
        gpu.encoder_share.map(|share| format!("encoder {}", percent(share))),
        memory,
        gpu.temperature_celsius.map(|degrees| format!("{degrees:.0} °C")),
        gpu.power_watts.map(|watts| format!("{watts:.0} W")),
        gpu.reason.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no figures".to_owned() } else { parts.join(", ") }
}

/// The table of the services, with at most `room` rows.
fn services(sample: &Sample, sort: Sort, width: usize, room: usize) -> String {
    let mut rows: Vec<(&str, &Usage)> =
        sample.services.iter().map(|service| (service.name.as_str(), &service.usage)).collect();
    if sample.others.processes > 0 {
        rows.push((OTHERS, &sample.others));
    }
    let cpu = |usage: &Usage| usage.cpu_share.unwrap_or(0.0);
    rows.sort_by(|(one, of_one), (other, of_other)| {
        let by_cpu = cpu(of_other).total_cmp(&cpu(of_one));
        let by_memory = of_other.memory_bytes.cmp(&of_one.memory_bytes);
        let order = if sort == Sort::Cpu { by_cpu.then(by_memory) } else { by_memory.then(by_cpu) };
        order.then(one.cmp(other))
    });
    let narrow = width < NARROW;
    let name = width.saturating_sub(if narrow { NUMBERS - 11 } else { NUMBERS }).max(NAME);
    let last = |text: String| if narrow { String::new() } else { text };
    let mut cells = vec![[
        "NAME".to_owned(),
        format!("{:>6}", "CPU"),
        format!("{:>10}", "MEMORY"),
        last("PROCESSES".to_owned()),
    ]];
    let left_out = rows.len().saturating_sub(room);
    // The last row says how many are left out.
    let shown = if left_out > 0 { room.saturating_sub(1) } else { rows.len() };
    for (service, usage) in &rows[..shown] {
        cells.push([
            cut(service, name),
            format!("{:>6}", usage.cpu_share.map_or_else(|| "-".to_owned(), percent)),
            format!("{:>10}", bytes(usage.memory_bytes)),
            last(format!("{:>9}", usage.processes)),
        ]);
    }
    let mut text = table(&cells, Some(width), |_, _, cell| cell);
    if shown < rows.len() {
        text += &cut(&format!("{} more services", rows.len() - shown), width);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::machine::{Disk, ServiceFigures};

    fn usage(cpu_share: Option<f64>, memory_bytes: u64, processes: u32) -> Usage {
        Usage { cpu_share, memory_bytes, processes, cpu_seconds: 0.0 }
    }

    fn sample() -> Sample {
        let service = |name: &str, usage| ServiceFigures { name: name.into(), usage };
        Sample {
            cpu_share: Some(0.1234),
            cpu_cores: Some(3.5),
            memory_used_bytes: Some(3 << 30),
            memory_cache_bytes: Some(5 << 29),
            memory_limit_bytes: Some(16 << 30),
            network_received_bytes_per_second: Some(1_500_000),
            network_sent_bytes_per_second: Some(0),
            disk_read_bytes_per_second: Some(2048),
            disks: vec![Disk {
                path: "/".into(),
                used_bytes: 40 << 30,
                total_bytes: 100 << 30,
                available_bytes: 0,
                stale: true,
            }],
            gpus: vec![
                GpuFigures {
                    name: "NVIDIA T4".into(),
                    busy_share: Some(0.37),
                    memory_used_bytes: Some(1 << 30),
                    memory_total_bytes: Some(15 << 30),
                    temperature_celsius: Some(46.0),
                    power_watts: Some(31.5),
                    ..GpuFigures::default()
                },
                GpuFigures { name: "\u{1b}[2JIntel GPU".into(), ..GpuFigures::default() },
            ],
            services: vec![
                service("desktopd", usage(Some(0.001), 12 << 20, 1)),
                service("kde", usage(Some(0.08), 600 << 20, 12)),
                service("selkies", usage(Some(0.04), 900 << 20, 3)),
            ],
            others: usage(None, 4096, 2),
            processes: 18,
            ..Sample::default()
        }
    }

    #[test]
    fn the_machine_comes_first_and_then_the_services_by_what_they_use() {
        let by_cpu = text(&sample(), Sort::Cpu, Screen::PLAIN);
        assert_eq!(
            by_cpu,
            "CPU      12.3% of 3.5 cores, 18 processes\n\
             memory   3.0 GiB of 16.0 GiB used, 2.5 GiB cache\n\
             GPU      NVIDIA T4: 37.0% busy, 1.0 GiB of 15.0 GiB, 46 °C, 32 W\n\
             GPU      \\x1b[2JIntel GPU: no figures\n\
             disk     /: 40.0 GiB of 100.0 GiB used (does not answer), 2.0 KiB/s read\n\
             network  1.4 MiB/s in, 0 B/s out\n\
             \n\
             NAME         CPU      MEMORY  PROCESSES\n\
             kde         8.0%   600.0 MiB         12\n\
             selkies     4.0%   900.0 MiB          3\n\
             desktopd    0.1%    12.0 MiB          1\n\
             (others)       -     4.0 KiB          2\n"
        );
        let by_memory = text(&sample(), Sort::Memory, Screen::PLAIN);
        let names: Vec<&str> = by_memory.lines().skip(8).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["selkies", "kde", "desktopd", "(others)"]);
        assert_eq!(
            text(&Sample::default(), Sort::Cpu, Screen::PLAIN).lines().count(),
            3,
            "no figure, no line"
        );
    }

    #[test]
    fn a_small_terminal_gets_what_fits() {
        let mut sample = sample();
        sample.services[1].name = "a-service-of-a-very-long-name-indeed".into();
        for (width, height) in [(60, 24), (49, 24), (30, 12), (20, 10), (80, 9), (5, 3)] {
            let screen = Screen { limit: Some(width), height: Some(height), ..Screen::PLAIN };
            let text = text(&sample, Sort::Cpu, screen);
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > width).collect();
            assert_eq!(wide, [""; 0], "{width}: {text}");
            assert!(text.lines().count() <= height.max(9), "{height}: {text}");
            if width >= 30 && height > 9 {
                assert!(text.contains("a-servic") && text.contains("8.0%   600.0 MiB"), "{width}: {text}");
            }
        }
        let low = text(&sample, Sort::Cpu, Screen { limit: Some(80), height: Some(11), ..Screen::PLAIN });
        assert!(low.ends_with("2 more services\n"), "{low}");
    }
}
