//! What the machine does now and did before: processors, memory, disks, network, GPUs, and which services and processes
//! use them.
//!
//! The figures come from the sampler of all clients; if it is at rest, for this one request. The scripts add plots, and
//! fetch the page again while it is visible.

mod gpus;
mod usage;

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;

use crate::observe::machine::{Disk, Sample, bytes, percent};

use super::figures::{bar, or_dash, part};
use super::shell::{self, Answer, Page};
use super::view::View;

/// What a person chooses on this page.
#[derive(Deserialize)]
pub(super) struct Chosen {
    /// By what services and processes are sorted: `cpu`, or else memory.
    #[serde(default)]
    sort: String,
}

pub(super) async fn page(view: View, Query(Chosen { sort }): Query<Chosen>) -> Answer {
    let report = view.api.machine().report().await;
    let body = html! {
        div.head {
            h1 { "Machine" }
            div #range .actions role="group" aria-label="How far back the plots go" hidden {
                button type="button" data-range="seconds" aria-pressed="true" { "10 minutes" }
                button type="button" data-range="minutes" aria-pressed="false" { "24 hours" }
            }
        }
        p #figures-stale .notice role="status" hidden {}
        @match &report.now {
            Some(sample) => {
                div.tiles { (cpu(sample)) (memory(sample)) (disks(sample)) (network(sample)) }
                (gpus::section(&sample.gpus))
                (usage::section(&view.snapshot, sample, sort == "cpu"))
            }
            None => {
                section.notice role="status" {
                    p { "The figures could not be read in time: the machine is very busy." }
                    p.actions { a.button href="machine" { "Try again" } }
                }
            }
        }
    };
    shell::with_scripts(&view, Page::Machine, "Machine", &["uplot.css", "machine.js"], &body)
}

/// A part of the page about one thing, with its newest figure, what is said about it, and room for a plot.
fn tile(id: &str, title: &str, big: &str, text: &Markup) -> Markup {
    html! {
        section.tile id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            p.big { (big) }
            (text)
            div.plot id={ "plot-" (id) } data-plot=(id) hidden {}
        }
    }
}

fn cpu(sample: &Sample) -> Markup {
    let more = if sample.processes_left_out { "more than " } else { "" };
    let text = html! {
        p {
            @if let Some(cores) = sample.cpu_cores { "of " (cores) " " (if cores > 1.0 { "cores" } else { "core" }) ", " }
            (more) (sample.processes) " process" @if sample.processes != 1 { "es" }
        }
        (bar(&[("used", sample.cpu_share.unwrap_or(0.0))]))
    };
    tile("cpu", "CPU", &or_dash(sample.cpu_share, percent), &text)
}

fn memory(sample: &Sample) -> Markup {
    let limit = sample.memory_limit_bytes;
    let share = |amount: Option<u64>| amount.zip(limit).and_then(|(amount, limit)| part(amount, limit));
    let (used, cache) = (share(sample.memory_used_bytes), share(sample.memory_cache_bytes));
    let text = html! {
        p {
            (or_dash(sample.memory_used_bytes, bytes)) @if let Some(limit) = limit { " of " (bytes(limit)) } " used"
            @if let Some(cache) = sample.memory_cache_bytes { ", " (bytes(cache)) " cache of files" }
            @if let (Some(used), Some(limit)) = (sample.swap_used_bytes, sample.swap_limit_bytes) {
                ", " (bytes(used)) " of " (bytes(limit)) " swap"
            }
            ". " a href="#uses" { "What uses it" }
        }
        (bar(&[("used", used.unwrap_or(0.0)), ("cache", cache.unwrap_or(0.0))]))
    };
    tile("memory", "Memory", &or_dash(used, percent), &text)
}

fn disks(sample: &Sample) -> Markup {
    let share = |disk: &Disk| part(disk.used_bytes, disk.total_bytes);
    let fullest = sample.disks.iter().filter_map(share).max_by(f64::total_cmp);
    let text = html! {
        @if sample.disks.is_empty() { p.empty { "No file system has answered yet." } }
        @for disk in &sample.disks {
            p {
                code { (disk.path) } ": " (bytes(disk.used_bytes)) " of " (bytes(disk.total_bytes)) " used, "
                (bytes(disk.available_bytes)) " free"
                @if disk.stale { strong { "; it does not answer, these are older figures" } }
            }
            (bar(&[("used", share(disk).unwrap_or(0.0))]))
        }
        p.dim {
            (or_dash(sample.disk_read_bytes_per_second, bytes)) "/s read, "
            (or_dash(sample.disk_written_bytes_per_second, bytes)) "/s written"
        }
    };
    tile("disk", "Disks", &or_dash(fullest, percent), &text)
}

fn network(sample: &Sample) -> Markup {
    let (received, sent) = (sample.network_received_bytes_per_second, sample.network_sent_bytes_per_second);
    let both = received.zip(sent).map(|(received, sent)| received.saturating_add(sent));
    let text = html! {
        p { (or_dash(received, bytes)) "/s received, " (or_dash(sent, bytes)) "/s sent" }
    };
    tile("network", "Network", &or_dash(both, |both| format!("{}/s", bytes(both))), &text)
}
