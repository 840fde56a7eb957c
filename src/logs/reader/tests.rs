//! Tests of the order and completeness of what a reader passes.

use proptest::prelude::*;

use super::*;
use crate::logs::{Console, Limits, Pattern};

fn logs(ring: usize) -> Logs {
    Logs::new(Limits { dir: None, file_size: 0, files: 0, ring }, Console::silent())
}

fn all(reader: &mut Reader) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let step = reader.step(1 << 20, 10_000);
        rows.extend(step.rows);
        if !step.more {
            return rows;
        }
    }
}

fn texts(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| &*row.text).collect()
}

fn grep(text: &str) -> Filter {
    Filter { pattern: Some(Pattern::new(text, false, false).unwrap()), ..Filter::default() }
}

#[test]
fn rows_of_all_logs_have_one_order_and_numbers_without_gaps() {
    let logs = logs(100_000);
    let mut expected = Vec::new();
    for n in 0..100 {
        let unit = ["a", "b", "c"][n * 7 % 3];
        logs.push(unit, &n.to_string());
        expected.push((n as u64 + 1, unit.to_owned(), n.to_string()));
    }
    let rows = all(&mut logs.reader(Chosen::All, Filter::default(), Start::Oldest));
    let found: Vec<_> =
        rows.iter().map(|row| (row.seq, row.service.to_string(), row.text.to_string())).collect();
    assert_eq!(found, expected);
    let chosen = Chosen::Some(BTreeSet::from(["b".to_owned(), "none".to_owned()]));
    let rows = all(&mut logs.reader(chosen, Filter::default(), Start::Tail(2)));
    let of_b: Vec<&str> =
        expected.iter().filter(|(_, unit, _)| unit == "b").map(|(.., text)| &**text).collect();
    assert_eq!(texts(&rows), of_b[of_b.len() - 2..]);
}

#[test]
fn unfinished_rows_are_replaced_and_leave_when_the_filter_refuses_them() {
    let logs = logs(100_000);
    let mut plain = logs.reader(Chosen::All, Filter::default(), Start::Oldest);
    let mut filtered = logs.reader(Chosen::All, grep("1"), Start::Oldest);
    let brief = |rows: Vec<Row>| {
        rows.iter().map(|row| (row.text.to_string(), row.id(), row.open, row.gone)).collect::<Vec<_>>()
    };
    let row = |text: &str, id, open, gone| (text.to_owned(), id, open, gone);
    let id = logs.show_row("a", "10 %", None, true);
    assert_eq!(brief(all(&mut plain)), [row("10 %", id, true, false)]);
    assert_eq!(brief(all(&mut filtered)), [row("10 %", id, true, false)]);
    let continued = plain.cursor();
    logs.show_row("a", "20 %", Some(id), true);
    logs.push("a", "between 1");
    assert_eq!(brief(all(&mut plain)), [row("20 %", id, true, false), row("between 1", 3, false, false)]);
    assert_eq!(brief(all(&mut filtered)), [row("", id, true, true), row("between 1", 3, false, false)]);
    assert_eq!(brief(all(&mut filtered)), []);
    logs.show_row("a", "31 %", Some(id), true);
    assert_eq!(brief(all(&mut filtered)), [row("31 %", id, true, false)]);
    // The end comes while the client is away.
    let log = logs.unit("a");
    logs.keep(&log, "99 %\n", Some(id), false);
    assert_eq!(brief(all(&mut plain)), [row("99 %", id, false, false)]);
    assert_eq!(brief(all(&mut filtered)), [row("", id, false, true)]);
    let mut again = logs.reader(Chosen::All, Filter::default(), Start::After(continued));
    assert_eq!(brief(all(&mut again)), [row("between 1", 3, false, false), row("99 %", id, false, false)]);
    assert_eq!(logs.tail("a", 10).len(), 2);
}

#[test]
fn a_tail_counts_unfinished_rows() {
    let logs = logs(100_000);
    for n in 0..5 {
        logs.push("a", &n.to_string());
    }
    logs.show_row("a", "bar 1", None, true);
    logs.show_row("b", "bar 2", None, true);
    for (rows, expected) in [
        (0, &[][..]),
        (1, &["bar 2"]),
        (2, &["bar 1", "bar 2"]),
        (3, &["4", "bar 1", "bar 2"]),
        (100, &["0", "1", "2", "3", "4", "bar 1", "bar 2"]),
    ] {
        let mut reader = logs.reader(Chosen::All, Filter::default(), Start::Tail(rows));
        assert_eq!(texts(&all(&mut reader)), expected, "{rows}");
    }
}

#[test]
fn a_log_that_comes_later_is_read_from_its_first_row() {
    let logs = logs(500);
    logs.push("a", "0");
    let mut reader = logs.reader(Chosen::All, Filter::default(), Start::Tail(0));
    assert_eq!(all(&mut reader), []);
    let cursor = reader.cursor();
    for n in 0..100 {
        logs.push("b", &n.to_string());
    }
    for mut reader in [reader, logs.reader(Chosen::All, Filter::default(), Start::After(cursor))] {
        let rows = all(&mut reader);
        assert_eq!(rows[0].lost, Some(100 - (rows.len() as u64 - 1)));
        assert_eq!(&*rows.last().unwrap().text, "99");
    }
    let beyond = Cursor { boot: logs.inner.boot, passed: [("a".to_owned(), u64::MAX)].into() };
    let mut reader =
        logs.reader(Chosen::Some(["a".to_owned()].into()), Filter::default(), Start::After(beyond));
    assert_eq!(all(&mut reader), []);
    logs.push("a", "1");
    assert_eq!(texts(&all(&mut reader)), ["1"]);
}

/// Writers on threads, and a reader that continues again and again: nothing is missing and nothing comes twice.
#[test]
fn no_row_is_missed_or_repeated_while_others_write() {
    let logs = logs(1 << 24);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let logs = logs.clone();
            std::thread::spawn(move || {
                (0..2000).for_each(|n| logs.push(&format!("unit{writer}"), &n.to_string()))
            })
        })
        .collect();
    let mut rows = Vec::new();
    let mut cursor = logs.reader(Chosen::All, Filter::default(), Start::Oldest).cursor();
    loop {
        let done = writers.iter().all(std::thread::JoinHandle::is_finished);
        let mut reader = logs.reader(Chosen::All, Filter::default(), Start::After(cursor));
        loop {
            let step = reader.step(2000, 100);
            rows.extend(step.rows);
            if !step.more || rows.len() % 3 == 0 {
                break;
            }
        }
        cursor = reader.cursor();
        if done && rows.len() >= 8000 {
            break;
        }
    }
    let numbers: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(numbers, (1..=8000).collect::<Vec<_>>());
    for writer in 0..4 {
        let name = format!("unit{writer}");
        let of: Vec<_> =
            rows.iter().filter(|row| *row.service == name).map(|row| row.text.to_string()).collect();
        assert_eq!(of, (0..2000).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the sizes of rings, batches and steps are: rows that come and rows that are lost are all rows.
    #[test]
    fn rows_and_lost_rows_are_all_rows(
        ring in 200..20_000usize,
        batches in prop::collection::vec((0..3usize, 1..60usize, 0..4u8), 1..60),
        most in 1..5000usize,
    ) {
        let logs = logs(ring);
        let mut reader = logs.reader(Chosen::All, Filter::default(), Start::Oldest);
        let mut written = [0u64; 3];
        let mut seen = [0u64; 3];
        let mut last = 0;
        let mut take = |reader: &mut Reader, seen: &mut [u64; 3]| loop {
            let step = reader.step(most, 1000);
            for row in step.rows {
                let unit = row.service[1..].parse::<usize>().unwrap();
                if let Some(lost) = row.lost {
                    seen[unit] += lost;
                } else {
                    prop_assert!(row.seq > last, "{} after {last}", row.seq);
                    last = row.seq;
                    prop_assert_eq!(&*row.text, seen[unit].to_string());
                    seen[unit] += 1;
                }
            }
            if !step.more {
                return Ok(());
            }
        };
        for (unit, rows, what) in batches {
            let text: String = (0..rows as u64).map(|n| format!("{}\n", written[unit] + n)).collect();
            written[unit] += rows as u64;
            let log = logs.unit(&format!("u{unit}"));
            logs.keep(&log, &text, None, false);
            match what {
                0 => take(&mut reader, &mut seen)?,
                1 => reader = logs.reader(Chosen::All, Filter::default(), Start::After(reader.cursor())),
                _ => {}
            }
        }
        take(&mut reader, &mut seen)?;
        prop_assert_eq!(seen, written);
    }

    /// A tail is the end of what a reader from the start finds.
    #[test]
    fn a_tail_is_the_end_of_everything(
        batches in prop::collection::vec((0..3usize, 1..400usize), 1..30),
        wanted in 0..2000usize,
        filtered: bool,
    ) {
        let logs = logs(1 << 20);
        let mut count = 0;
        for (unit, rows) in batches {
            let text: String = (0..rows).map(|n| format!("{:300}\n", count + n)).collect();
            count += rows;
            let log = logs.unit(&format!("u{unit}"));
            logs.keep(&log, &text, None, false);
        }
        let filter = if filtered { grep("7") } else { Filter::default() };
        let whole = all(&mut logs.reader(Chosen::All, filter.clone(), Start::Oldest));
        let tail = all(&mut logs.reader(Chosen::All, filter, Start::Tail(wanted)));
        prop_assert_eq!(&whole[whole.len().saturating_sub(wanted)..], &tail[..]);
    }
}
