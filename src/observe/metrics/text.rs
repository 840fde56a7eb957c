//! Prometheus' text format.

use std::fmt::{Display, Write as _};

/// Appends a metric with its numbers, by their labels.
pub(super) fn print<N: Display>(
    text: &mut String,
    name: &str,
    meaning: &str,
    samples: impl IntoIterator<Item = (String, N)>,
) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
    for (labels, number) in samples {
        let _ = writeln!(text, "{name}{labels} {number}");
    }
}

/// Labels as they are printed after a name.
pub(super) fn labels(labels: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}
