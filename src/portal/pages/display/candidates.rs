//! The displays that were considered, the best first.

use maud::{Markup, html};

use crate::plan::display::report::Row;
use crate::plan::display::{Outcome, Report};

use super::super::words::chip;
use super::parts;

pub(super) fn section(report: &Report) -> Markup {
    html! {
        section #candidates aria-labelledby="candidates-title" {
            h2 #candidates-title { "Displays that were considered" }
            @if let Some(asked) = report.asked {
                p.note { "DESKTOPD_DISPLAY=" (asked.word()) " asks for this kind first." }
            }
            ol #candidates-list .cards { @for group in groups(&report.candidates) { (item(report, &group)) } }
        }
    }
}

/// Eight equal GPUs are one item.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let same = |other: &Row| {
            other.kind == row.kind && other.outcome == row.outcome && other.reason == row.reason
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same(first))) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn item(report: &Report, group: &[&Row]) -> Markup {
    let Some(one) = group.first() else { return html! {} };
    let (class, word) = match one.outcome {
        Outcome::Chosen => ("ready", "chosen"),
        Outcome::Possible => ("", "possible, another is preferred"),
        Outcome::Doubtful => ("waiting", "in doubt"),
        Outcome::Impossible => ("", "not possible"),
        Outcome::Failed => ("failed", "failed"),
    };
    let mark = match one.outcome {
        Outcome::Chosen => "chosen",
        Outcome::Failed => "failed",
        _ => "",
    };
    let label = one.gpu.as_ref().map_or_else(|| one.name.clone(), |gpu| format!("{} on {gpu}", one.name));
    // The commands are beside the GPU of which the reason is.
    let of_gpu = report.probe.gpus.iter().any(|gpu| gpu.reason == one.reason);
    html! {
        li class=(mark) aria-current=[(one.outcome == Outcome::Chosen).then_some("true")] {
            div { h3 { (one.name) } @for row in group { (device(row)) } }
            div {
                (chip(class, word))
                @if one.outcome != Outcome::Possible {
                    @if of_gpu { (parts::said(report, &one.reason)) }
                    @else { (parts::reason(report, &one.reason, &label)) }
                }
            }
        }
    }
}

fn device(Row { gpu, device, .. }: &Row) -> Markup {
    let named = |device: &&String| !gpu.as_ref().is_some_and(|gpu| gpu.contains(device.as_str()));
    let device = device.as_ref().filter(named);
    html! {
        @if gpu.is_some() || device.is_some() {
            p.on {
                @if let Some(gpu) = gpu { bdi { (gpu) } " " }
                @if let Some(device) = device { code { (device) } }
            }
        }
    }
}
