//! Which services and processes use the memory and the processors.

use maud::{Markup, html};

use crate::config::own;
use crate::observe::Snapshot;
use crate::observe::machine::{ProcessFigures, Sample, Usage, bytes, percent};
use crate::portal::pages::events::encoded;
use crate::portal::pages::figures::or_dash;

/// How many services are shown. The page of the services has all.
const MOST: usize = 15;

/// How many processes of one service are shown.
const MOST_PROCESSES: usize = 8;

/// A service, or the processes without one, and the largest of its processes.
struct Owner<'a> {
    name: Option<&'a str>,
    usage: &'a Usage,
    processes: Vec<&'a ProcessFigures>,
}

/// The table, sorted by processor time or else by memory.
pub(super) fn section(snapshot: &Snapshot, sample: &Sample, by_cpu: bool) -> Markup {
    let owners = owners(sample, by_cpu);
    let (shown, rest) = owners.split_at(owners.len().min(MOST));
    let title = if by_cpu { "What uses the processors" } else { "What uses the memory" };
    html! {
        section #uses aria-labelledby="uses-title" {
            div.head {
                h2 #uses-title { (title) }
                nav.actions aria-label="Order of the services" {
                    (order("By memory", "machine#uses", !by_cpu)) (order("By CPU", "machine?sort=cpu#uses", by_cpu))
                }
            }
            p.dim {
                "Private memory of each process: no file cache, no shared memory. The sum is less than the memory in use."
            }
            table.figures {
                thead { tr {
                    th scope="col" { "Service and process" } th.figure scope="col" { "CPU" } th.figure scope="col" { "Memory" }
                } }
                @for owner in shown { (group(snapshot, owner)) }
            }
            @if !rest.is_empty() {
                p.more { a href="services" { (rest.len()) " more services" } " use less." }
            }
        }
    }
}

fn order(text: &str, address: &str, is_chosen: bool) -> Markup {
    html! { a.button href=(address) aria-current=[is_chosen.then_some("true")] { (text) } }
}

fn owners(sample: &Sample, by_cpu: bool) -> Vec<Owner<'_>> {
    let own = |name: Option<&str>| {
        let mut own: Vec<&ProcessFigures> =
            sample.largest.iter().filter(|process| process.service.as_deref() == name).collect();
        if by_cpu {
            own.sort_by(|one, other| cpu(other.cpu_share).total_cmp(&cpu(one.cpu_share)));
        }
        own.truncate(MOST_PROCESSES);
        own
    };
    let services = sample.services.iter().map(|service| (Some(service.name.as_str()), &service.usage));
    let others = (sample.others.processes > 0).then_some((None, &sample.others));
    let owner = |(name, usage)| Owner { name, usage, processes: own(name) };
    let mut owners: Vec<Owner<'_>> = services.chain(others).map(owner).collect();
    owners.sort_by(|one, other| {
        let by_memory = other.usage.memory_bytes.cmp(&one.usage.memory_bytes);
        if by_cpu {
            cpu(other.usage.cpu_share).total_cmp(&cpu(one.usage.cpu_share)).then(by_memory)
        } else {
            by_memory
        }
    });
    owners
}

fn cpu(share: Option<f64>) -> f64 {
    share.unwrap_or(0.0)
}

fn group(snapshot: &Snapshot, owner: &Owner<'_>) -> Markup {
    let Usage { cpu_share, memory_bytes, processes, .. } = *owner.usage;
    let plural = if processes == 1 { "" } else { "es" };
    html! {
        tbody {
            tr.owner {
                th scope="rowgroup" {
                    @match owner.name {
                        Some(name) if snapshot.unit(name).is_some() => {
                            a.name href={ "service?name=" (encoded(name)) } { (name) }
                        }
                        Some(name) => (name),
                        None => "No service",
                    }
                    small {
                        (processes) " process" (plural)
                        @if owner.name == Some(own::NAMES[0]) { ": this daemon" }
                        @if owner.name.is_none() { ": shells, jobs of people, helpers" }
                    }
                }
                td.figure { (or_dash(cpu_share, percent)) }
                td.figure { (bytes(memory_bytes)) }
            }
            @for process in &owner.processes {
                tr.process {
                    td { bdi { (process.name) } " " small { "PID " (process.pid) } }
                    td.figure { (or_dash(process.cpu_share, percent)) }
                    td.figure { (bytes(process.memory_bytes)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::machine::ServiceFigures;

    #[test]
    fn services_and_their_processes_are_sorted_by_what_is_asked_for() {
        let usage =
            |cpu, memory_bytes| Usage { cpu_share: Some(cpu), memory_bytes, processes: 2, cpu_seconds: 0.0 };
        let service = |name: &str, usage| ServiceFigures { name: name.into(), usage };
        let process = |pid, service: Option<&str>, cpu, memory_bytes| ProcessFigures {
            pid,
            name: format!("<p{pid}>"),
            service: service.map(str::to_owned),
            cpu_share: Some(cpu),
            memory_bytes,
        };
        let sample = Sample {
            services: vec![service("kde", usage(0.5, 100)), service("selkies", usage(0.1, 300))],
            others: usage(0.9, 200),
            largest: vec![
                process(7, Some("selkies"), 0.0, 250),
                process(8, Some("selkies"), 0.1, 50),
                process(9, None, 0.9, 1),
            ],
            ..Sample::default()
        };
        for (by_cpu, names, pids) in [
            (false, [Some("selkies"), None, Some("kde")], [7, 8]),
            (true, [None, Some("kde"), Some("selkies")], [8, 7]),
        ] {
            let owners = owners(&sample, by_cpu);
            assert_eq!(owners.iter().map(|owner| owner.name).collect::<Vec<_>>(), names);
            let selkies = owners.iter().find(|owner| owner.name == Some("selkies")).unwrap();
            assert_eq!(selkies.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), pids);
        }
        let text = section(&Snapshot::default(), &sample, false).into_string();
        assert!(text.contains("&lt;p7&gt;") && text.contains("What uses the memory"), "{text}");
    }
}
