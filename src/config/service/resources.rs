//! The keys `umask`, `nice` and `oom-score-adj`, and the resource limits of a service (`man setrlimit`): `open-files` and
//! `[limits]`.

use std::ops::RangeInclusive;

use toml::Value;

use crate::config::quantity::{duration, size};
use crate::config::table::Reader;
use crate::sys::launch::Resources;
use crate::sys::limits::{Limit, Resource, UNLIMITED};

/// The lowest limit of open files: the dynamic linker alone needs some.
const FEWEST_FILES: u64 = 16;

/// The unit of a number.
#[derive(Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    Seconds,
}

impl Unit {
    fn expected(self) -> &'static str {
        match self {
            Self::Count => "a number, \"unlimited\", or { soft = …, hard = … } of these",
            Self::Bytes => {
                "a size such as \"8MiB\", a number of bytes, \"unlimited\", or { soft = …, hard = … } of these"
            }
            Self::Seconds => {
                "a time such as \"10m\", a number of seconds, \"unlimited\", or { soft = …, hard = … } of these"
            }
        }
    }

    fn read(self, value: &Value) -> Option<u64> {
        match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::String(text) if text == "unlimited" => Some(UNLIMITED),
            Value::String(text) => match self {
                Self::Count => text.parse().ok(),
                Self::Bytes => size(text),
                Self::Seconds => duration(text).map(|time| time.as_secs()),
            },
            _ => None,
        }
    }
}

const TABLE: [(&str, Resource, Unit); 8] = [
    ("as", Resource::AddressSpace, Unit::Bytes),
    ("core", Resource::Core, Unit::Bytes),
    ("cpu", Resource::Cpu, Unit::Seconds),
    ("fsize", Resource::FileSize, Unit::Bytes),
    ("memlock", Resource::LockedMemory, Unit::Bytes),
    ("nproc", Resource::Processes, Unit::Count),
    ("rtprio", Resource::RealtimePriority, Unit::Count),
    ("stack", Resource::Stack, Unit::Bytes),
];

/// Reads all these keys.
pub(super) fn read(file: &mut Reader<'_>) -> Resources {
    Resources {
        umask: file.octal("umask", "an octal mask such as \"0022\"").unwrap_or(Resources::default().umask),
        nice: ranged(file, "nice", -20..=19),
        oom_score_adj: ranged(file, "oom-score-adj", -1000..=1000),
        limits: limits(file),
    }
}

fn ranged(file: &mut Reader<'_>, key: &'static str, range: RangeInclusive<i32>) -> Option<i32> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    let number = file.get(key, &expected)?;
    if range.contains(&number) {
        return Some(number);
    }
    file.problem(key, format!("{number} is not {expected}"));
    None
}

fn limits(file: &mut Reader<'_>) -> Vec<Limit> {
    let files = one(file, "open-files", Resource::OpenFiles, Unit::Count);
    if files.is_some_and(|limit| limit.soft < FEWEST_FILES) {
        file.problem("open-files", format!("a program needs at least {FEWEST_FILES} to start"));
    }
    let others = file.table("limits", |table| {
        TABLE
            .into_iter()
            .filter_map(|(key, resource, unit)| one(table, key, resource, unit))
            .collect::<Vec<_>>()
    });
    files.into_iter().chain(others.into_iter().flatten()).collect()
}

fn one(table: &mut Reader<'_>, key: &'static str, resource: Resource, unit: Unit) -> Option<Limit> {
    let expected = unit.expected();
    let value: Value = table.get(key, expected)?;
    let (soft, hard) = match &value {
        Value::Table(pair) if pair.len() == 2 => {
            let part = |name| unit.read(pair.get(name)?);
            (part("soft"), part("hard"))
        }
        value => (unit.read(value), unit.read(value)),
    };
    let Some((soft, hard)) = soft.zip(hard) else {
        table.problem(key, format!("{value} is not {expected}"));
        return None;
    };
    if soft > hard {
        table.problem(key, format!("{value}: the soft limit is above the hard one"));
        return None;
    }
    Some(Limit { resource, soft, hard })
}
