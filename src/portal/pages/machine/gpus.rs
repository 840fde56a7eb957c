//! The GPUs: a row with the figures of each, and room for a plot.

use maud::{Markup, html};

use crate::observe::machine::{GpuFigures, bytes, percent};
use crate::portal::pages::figures::or_dash;

/// The GPUs, or that there is none.
pub(super) fn section(gpus: &[GpuFigures]) -> Markup {
    html! {
        section #gpus aria-labelledby="gpus-title" {
            h2 #gpus-title { "GPUs" }
            @if gpus.is_empty() {
                p.empty { "This container has no GPU that reports figures. " a href="display" { "What draws instead" } }
            } @else {
                div.wide tabindex="0" role="region" aria-labelledby="gpus-title" { (table(gpus)) }
                div.tiles { @for (number, gpu) in gpus.iter().enumerate() { (plot(number, gpu)) } }
            }
        }
    }
}

fn table(gpus: &[GpuFigures]) -> Markup {
    html! {
        table.figures {
            thead { tr {
                th scope="col" { "GPU" }
                @for title in ["Busy", "Encoder", "Memory", "Temperature", "Power"] {
                    th.figure scope="col" { (title) }
                }
            } }
            tbody { @for gpu in gpus { (row(gpu)) } }
        }
    }
}

fn row(gpu: &GpuFigures) -> Markup {
    let busy = match (gpu.busy_share, gpu.awake_share) {
        (None, Some(awake)) => format!("awake {}", percent(awake)),
        (busy, _) => or_dash(busy, percent),
    };
    let memory = match (gpu.memory_used_bytes, gpu.memory_total_bytes) {
        (Some(used), Some(total)) => format!("{} of {}", bytes(used), bytes(total)),
        (used, _) => or_dash(used, bytes),
    };
    html! {
        tr {
            td {
                strong { bdi { (gpu.name) } } small { (gpu.place) }
                @if let Some(reason) = &gpu.reason { small.wrong { bdi { (reason) } } }
            }
            td.figure { (busy) }
            td.figure { (or_dash(gpu.encoder_share, percent)) }
            td.figure { (memory) }
            td.figure { (or_dash(gpu.temperature_celsius, |degrees| format!("{degrees:.0} °C"))) }
            td.figure { (or_dash(gpu.power_watts, |watts| format!("{watts:.0} W"))) }
        }
    }
}

fn plot(number: usize, gpu: &GpuFigures) -> Markup {
    html! {
        div.plot id={ "plot-gpu-" (number) } data-plot="gpu" data-place=(gpu.place) data-name=(gpu.name)
            data-total=[gpu.memory_total_bytes] hidden {}
    }
}
