//! Tests of the boot timeline.

use super::*;
use crate::observe::events::{Event, What};
use crate::observe::{Phase, UnitChange, UnitState as S, testing};
use std::collections::BTreeMap;

const START: i64 = 1_000_000;

fn unit(name: &str, needs: &[&str], after: &[&str]) -> UnitStatus {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut unit = testing::unit(name, S::Waiting);
    (unit.needs, unit.after) = (names(needs), names(after));
    unit
}

/// Feeds events such as `100 kde starting` or `100 up`; the times are milliseconds since the start.
fn boot(lines: &str) -> Boot {
    let mut boot = Boot::new(START);
    let mut states = BTreeMap::new();
    for (seq, line) in (1..).zip(lines.lines().map(str::trim).filter(|line| !line.is_empty())) {
        let words: Vec<&str> = line.split(' ').collect();
        let at = START + words[0].parse::<i64>().unwrap();
        let what = match words[1..] {
            ["up"] => What::Up,
            ["stop"] => What::Phase { phase: Phase::Stopping },
            [unit, state, ..] => {
                let to = serde_json::from_value(state.into()).unwrap();
                let from = states.insert(unit.to_owned(), to);
                What::Unit(UnitChange { reason: words[3..].join(" "), ..testing::change(unit, from, to) })
            }
            _ => panic!("{line}"),
        };
        boot.take(&Event { seq, at, what });
    }
    boot
}

fn desktop() -> Vec<UnitStatus> {
    vec![
        unit("prepare", &[], &[]),
        unit("cookie", &["prepare"], &[]),
        unit("bus", &["prepare"], &[]),
        unit("x-server", &["cookie"], &[]),
        unit("kde", &["x-server", "bus"], &["sound"]),
        unit("sound", &["bus"], &[]),
        unit("gpu", &[], &[]),
    ]
}

const BOOT: &str = "
    0 prepare waiting
    0 cookie waiting
    0 bus waiting
    0 x-server waiting
    0 sound waiting
    0 kde waiting
    0 gpu skipped no GPU
    120 prepare starting
    200 prepare done
    200 cookie starting
    200 bus starting
    215 cookie done
    215 x-server starting
    300 bus ready
    300 sound starting
    700 x-server ready
    900 sound ready
    900 kde starting
    2000 kde ready
    2000 up";

fn path(boot: &Boot, units: &[UnitStatus]) -> String {
    let links = critical(boot, units);
    links
        .iter()
        .map(|link| format!("{} {}+{}-{}", link.unit, link.free, link.started - link.free, link.ready))
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn the_critical_path_consists_of_the_units_waited_for_last() {
    for (name, lines, expected) in [
        ("nothing happened", "", ""),
        (
            "a desktop",
            BOOT,
            "desktopd 0+0-120, prepare 120+0-200, bus 200+0-300, sound 300+0-900, kde 900+0-2000",
        ),
        (
            "it is not up yet",
            "0 prepare waiting\n0 bus waiting\n50 prepare starting\n80 prepare done\n80 bus starting",
            "desktopd 0+0-50, prepare 50+0-80",
        ),
        (
            "a unit that failed still let others go",
            "50 bus starting\n100 bus ready\n100 sound starting\n500 sound failed\n\
             500 kde starting\n900 kde ready\n900 up",
            "desktopd 0+0-50, bus 50+0-100, sound 100+0-500, kde 500+0-900",
        ),
        (
            "attempts count from the first one",
            "50 prepare starting\n60 prepare done\n60 bus starting\n70 bus backoff\n320 bus starting\n\
             400 bus ready\n400 sound starting\n410 sound ready",
            "desktopd 0+0-50, prepare 50+0-60, bus 60+0-400, sound 400+0-410",
        ),
        (
            "what was there long before is not waited for, and a late start shows",
            "10 prepare starting\n20 prepare done\n20 bus starting\n30 bus ready\n500 sound starting\n600 sound ready",
            "desktopd 0+0-10, prepare 10+0-20, bus 20+0-30, sound 30+470-600",
        ),
        (
            "what is started without its need has no predecessor",
            "10 kde starting\n20 bus starting\n30 bus ready\n50 kde ready",
            "desktopd 0+0-10, kde 10+0-50",
        ),
        (
            "skipped units have no part",
            "0 gpu skipped\n10 bus starting\n20 bus ready",
            "desktopd 0+0-10, bus 10+0-20",
        ),
    ] {
        assert_eq!(path(&boot(lines), &desktop()), expected, "{name}");
    }
}

#[test]
fn a_circle_does_not_hang_the_path() {
    let units = [unit("a", &["b"], &[]), unit("b", &["a"], &[])];
    let lines = "5 a starting\n5 b starting\n5 a ready\n5 b ready";
    assert_eq!(path(&boot(lines), &units), "desktopd 0+0-5, a 5+0-5, b 5+0-5");
}

#[test]
fn spans_follow_each_other_to_the_end() {
    let timeline = Timeline::of(&boot(BOOT), &desktop(), START + 9_999_999);
    assert_eq!((timeline.up, timeline.over, timeline.end), (Some(2000), true, 2000));
    let order: Vec<&str> = timeline.rows.iter().map(|row| row.unit.as_str()).collect();
    assert_eq!(order, ["desktopd", "prepare", "cookie", "bus", "x-server", "sound", "kde", "gpu"]);
    let kde = &timeline.rows[6];
    let spans = [(S::Waiting, 0, 900), (S::Starting, 900, 2000), (S::Ready, 2000, 2000)];
    assert_eq!(kde.spans, spans.map(|(state, from, to)| Span { state, from, to }));
    assert_eq!((kde.started, kde.ready, kde.critical), (Some(900), Some(2000), true));
    assert_eq!((timeline.rows[7].spans.len(), timeline.rows[7].reason.as_str()), (0, "no GPU"));
}

#[test]
fn the_boot_ends_when_nothing_moves_any_more() {
    let failed = "0 bus waiting\n0 kde waiting\n10 bus starting\n40 bus failed it ended with exit code 1";
    let late = format!("{failed}\n90000 bus starting\n90100 bus ready");
    let crashing: Vec<_> = (1..9).map(|n| format!("{n}0 bus starting\n{n}5 bus backoff\n")).collect();
    let crashing = crashing.concat();
    let restarted = "10 bus starting\n20 bus ready\n30 bus waiting\n30 bus starting";
    for (name, lines, now, over, end) in [
        ("nothing is planned yet", "", 5000, false, 5000),
        ("planning takes long", "0 bus waiting\n4000 bus starting", 4100, false, 4100),
        ("it has just failed", failed, 500, false, 500),
        ("it failed and nothing follows", failed, 5000, true, 40),
        ("it is started later by hand", &late, 95_000, true, 40),
        ("it crashes again and again", &crashing, 500_000, true, 85),
        ("it is starting for long", "10 bus starting", 70_000, false, 70_000),
        ("it came back and starts again", restarted, 70_000, false, 70_000),
        ("it was stopped", "10 bus starting\n20 stop\n25 bus stopped", 9000, true, 10),
    ] {
        let timeline = Timeline::of(&boot(lines), &desktop(), START + now);
        assert_eq!((timeline.over, timeline.end), (over, end), "{name}");
    }
}

#[test]
fn the_memory_of_a_crashing_unit_is_bounded() {
    let lines: Vec<_> = (0..500).map(|n| format!("{n} bus starting\n{n} bus backoff\n")).collect();
    let boot = boot(&lines.concat());
    let timeline = Timeline::of(&boot, &desktop(), START + 501);
    assert!(timeline.rows[1].spans.len() <= 32);
    assert_eq!(timeline.rows[1].state, S::Backoff);
}

#[test]
fn the_summary_says_how_far_it_came() {
    for (lines, now, expected) in [
        (BOOT, 5000, "everything was up after 2.000 s"),
        ("10 bus starting\n20 bus ready\n20 sound starting", 1500, "starting for 1.500 s: 1 of 2 ready"),
        (
            "10 bus starting\n20 bus ready\n20 sound starting\n30 sound failed",
            5000,
            "not everything came up: 1 of 2 ready, the last change after 0.030 s",
        ),
    ] {
        assert_eq!(Timeline::of(&boot(lines), &desktop(), START + now).summary(), expected);
    }
}

#[test]
fn the_chart_fits_a_terminal() {
    let chart = text(&Timeline::of(&boot(BOOT), &desktop(), START), 80, false);
    assert_eq!(chart, include_str!("golden.txt"), "\n{chart}");
    let crashed =
        "0 bus waiting\n0 kde waiting\n10 bus starting\n300 bus backoff\n550 bus starting\n900 bus failed";
    let chart = text(&Timeline::of(&boot(crashed), &desktop(), START + 9000), 60, false);
    assert_eq!(chart, include_str!("golden-failed.txt"), "\n{chart}");
    for width in [0, 20, 80, 300] {
        let chart = text(&Timeline::of(&boot(BOOT), &desktop(), START), width, false);
        let longest = chart.lines().map(|line| line.chars().count()).max();
        assert!(width < 80 || longest <= Some(width), "{width}: {chart}");
    }
    let colourful = text(&Timeline::of(&boot(BOOT), &desktop(), START), 80, true);
    assert!(colourful.contains("\u{1b}[33m█"));
    let plain = colourful.split('\u{1b}').enumerate();
    let plain: String =
        plain.map(|(at, part)| if at == 0 { part } else { &part[part.find('m').unwrap() + 1..] }).collect();
    let trimmed: Vec<_> = plain.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, include_str!("golden.txt").lines().collect::<Vec<_>>());
}

#[test]
fn the_picture_is_well_formed_and_self_contained() {
    let lines = "0 <&\"> waiting\n10 <&\"> starting\n20 <&\"> ready\n20 up";
    for lines in [lines, BOOT, "", "10 bus starting"] {
        for theme in [Theme::Light, Theme::Dark] {
            let picture = svg(&Timeline::of(&boot(lines), &desktop(), START + 20), theme);
            assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
            for foreign in ["<style", "style=", "<script", "href", "url(", "<&"] {
                assert!(!picture.contains(foreign), "{foreign} in {picture}");
            }
            let count = |what: &str| picture.matches(what).count();
            assert_eq!(count("<g>"), count("</g>"));
            assert_eq!(count("<text "), count("</text>"));
            assert_eq!(picture.matches('"').count() % 2, 0);
        }
    }
    let picture = svg(&Timeline::of(&boot(BOOT), &desktop(), START), Theme::Light);
    assert!(picture.contains("everything was up after 2.000 s") && picture.contains(">kde</text>"));
    assert!(picture.contains("#c77700"), "the critical path is marked");
}

#[test]
fn lines_of_the_scale_are_at_round_times() {
    for (end, expected) in
        [(1, 1), (13, 2), (700, 100), (2000, 200), (4213, 500), (130_000, 20_000), (59_000, 5000)]
    {
        assert_eq!(svg::tick(end), expected, "{end}");
    }
}
