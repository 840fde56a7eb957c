//! Prometheus' text format: metric families, each with its help text, type and samples.

use std::fmt::Write as _;

/// The type of a metric.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The text so far.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a metric family; its samples must follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, meaning: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
    }

    /// Adds one sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], number: u64) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {number}");
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "how many");
        text.sample("a_total", &[("x", "1\"} 7\n\\"), ("y", "z")], 5);
        text.sample("a_total", &[], 6);
        let expected = "# HELP a_total how many\n# TYPE a_total counter\n\
                        a_total{x=\"1\\\"} 7\\n\\\\\",y=\"z\"} 5\na_total 6\n";
        assert_eq!(text.finish(), expected);
    }
}
