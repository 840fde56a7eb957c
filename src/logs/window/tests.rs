//! Tests of the rows that programs print.

use super::*;

/// The rows that these pieces make.
fn rows(pieces: &[&[u8]]) -> Vec<String> {
    let mut window = Window::default();
    for piece in pieces {
        window.feed(piece, &|_| 0);
    }
    window.finish();
    lines(&window.take())
}

fn lines(whole: &[Whole]) -> Vec<String> {
    whole.iter().flat_map(|whole| whole.text.lines()).map(str::to_owned).collect()
}

#[test]
fn lines_are_joined_from_any_pieces() {
    assert_eq!(rows(&[b"on", b"e\ntw", b"o\r\n\nlast"]), ["one", "two", "", "last"]);
    assert_eq!(rows(&[b"a\0b\xff\n"]), ["a\u{2400}b\u{fffd}"]);
    assert_eq!(rows(&[b"\n\n", b"\n"]), ["", "", ""]);
    assert_eq!(rows(&[]), Vec::<String>::new());
}

#[test]
fn only_the_last_state_of_a_rewritten_row_is_kept() {
    for (pieces, expected) in [
        (&[&b"10 %\r20 %\r30 %\nnext\n"[..]][..], &["30 %", "next"][..]),
        (&[b"10 %\r", b"20 %\r", b"\n"], &["20 %"]),
        (&[b"\r10 %", b"\r20 %\r\r", b"\r\n"], &["20 %"]),
        (&[b"10 %\r20 %\r"], &["20 %"]),
        (&[b"\r\n", b"\r", b"\n"], &["", ""]),
        (&[b"evil\rgood\r", b"\nevil\rgood\n"], &["good", "good"]),
        // The row is cleared, with blanks or a sequence, before its next text, or at its end.
        (&[b"10 %\r     \r20 %\n"], &["20 %"]),
        (&[b"10 %\r     \r\n"], &["10 %"]),
        (&[b"10 %\r\x1b[K20 %\r\x1b[2K\n"], &["20 %"]),
        (&[b"\x1b[2K\x1b[1G10 %\x1b[2K\x1b[1G20 %\n"], &["20 %"]),
        (&[b"text\r\x1b[0m\n"], &["text"]),
        (&[b"10 %\r20 %\n\nnext\n"], &["20 %", "", "next"]),
        // Bars one after the other.
        (&[b"\ra 1\ra 2\n\rb 1\rb 2\n\rc 1\rc 2\n"], &["a 2", "b 2", "c 2"]),
        // With colours.
        (&[b"\x1b[31m10\x1b[0m\r\x1b[38;5;9m20\x1b[0m\n"], &["\u{1b}[38;5;9m20\u{1b}[0m"]),
    ] {
        assert_eq!(rows(pieces), expected, "{pieces:?}");
    }
}

#[test]
fn rows_of_a_block_end_in_their_last_states() {
    for (what, bytes, expected) in [
        (
            "nested bars of tqdm, the inner one without a trace",
            &b"\rout 0/2\n\rin 0/3\x1b[A\n\rin 3/3\x1b[A\n\r      \x1b[A\rout 1/2\n\rin 0/3\x1b[A\n\r      \x1b[A\rout 2/2\nend\n"[..],
            &["out 2/2", "end"][..],
        ),
        (
            "bars of tqdm side by side, the second one ends first and stays",
            b"\ra 0\n\rb 0\x1b[A\n\n\rc 0\x1b[A\x1b[A\ra 1\n\rb 9\x1b[A\n\n\rc 1\x1b[A\x1b[A\ra 9\n\n\n",
            &["a 9", "b 9", "c 1"],
        ),
        (
            "layers of docker pull",
            b"one: Pulling\ntwo: Pulling\n\x1b[2A\x1b[2K\rone: 10 %\r\x1b[2B\x1b[1A\x1b[2K\rtwo: 5 %\r\x1b[1B\x1b[2A\x1b[2K\rone: done\r\x1b[2B\x1b[1A\x1b[2K\rtwo: done\r\x1b[1BDigest: x\nStatus: y\n",
            &["one: Pulling", "two: Pulling", "one: done", "two: done", "Digest: x", "Status: y"],
        ),
        ("a way up without rows", b"\x1b[3A\x1b[3Bplain\n", &["plain"]),
        ("a way down without rows", b"\x1b[9999999Bplain\n\x1b[99999999999999999999A", &["plain"]),
        ("all is cleared below", b"\ra 1\n\rb 1\x1b[A\x1b[J\ra 2\n\nend\n", &["a 2", "b 1", "", "end"]),
    ] {
        assert_eq!(rows(&[bytes]), expected, "{what}");
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(rows(&single), expected, "{what}, byte by byte");
    }
}

#[test]
fn ten_bars_side_by_side_are_ten_rows() {
    let mut bytes = Vec::new();
    for state in 0..50 {
        for bar in 0..10 {
            bytes.extend_from_slice("\n".repeat(bar).as_bytes());
            bytes.extend_from_slice(format!("\rbar {bar}: {state}").as_bytes());
            bytes.extend_from_slice("\u{1b}[A".repeat(bar).as_bytes());
        }
    }
    let expected: Vec<String> = (0..10).map(|bar| format!("bar {bar}: 49")).collect();
    assert_eq!(rows(&[&bytes]), expected);
}

#[test]
fn sequences_that_are_no_colours_are_dropped() {
    for (bytes, expected) in [
        (&b"\x1b[?25la\x1b[?25h\x1b[2J\x1b[Hb\x1b[6n\x1b[>4;1mc\n"[..], "abc"),
        (b"\x1b[1;38;2;1;2;3;48;5;9mx\x1b[39;49;22m\n", "\u{1b}[1;38;2;1;2;3;48;5;9mx\u{1b}[39;49;22m"),
        // Whatever has text of its own stays, and is made visible where it is stored.
        (b"\x1b]0;title\x07\x1b(Bx\x1bc\n", "\u{1b}]0;title\u{7}\u{1b}(Bx\u{1b}c"),
        (b"\x1b[31\nm\n", "\u{1b}[31"),
        (b"a\x1b\x1b[31mb\n", "a\u{1b}\u{1b}[31mb"),
    ] {
        assert_eq!(rows(&[bytes])[0], expected, "{bytes:?}");
    }
    let long = format!("\u{1b}[{}m\n", "1;".repeat(100));
    assert_eq!(rows(&[long.as_bytes()]), [long.trim_end()]);
}

#[test]
fn every_byte_value_gives_valid_text() {
    let all: Vec<u8> = (0..=255).filter(|byte| ![b'\n', b'\r', 0x1b].contains(byte)).collect();
    let shown = rows(&[&all, b"\n"]);
    assert_eq!(shown.len(), 1);
    assert!(shown[0].contains("\u{2400}") && shown[0].contains('~') && shown[0].contains('\u{fffd}'));
    assert_eq!(crate::sys::terminal::safe_line(&shown[0]).matches(char::is_control).count(), 1, "a tab");
    for byte in 0..=255 {
        let bytes = [b'a', byte, b'b', b'\n'];
        let shown = rows(&[&bytes]).concat();
        let shown = crate::sys::terminal::safe_line(&shown);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\t'), "{byte}: {shown:?}");
    }
}

#[test]
fn a_line_without_an_end_is_split_between_characters() {
    let long = vec![b'x'; MAX_LINE * 2 + 10];
    let lengths = |rows: &[String]| rows.iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(lengths(&rows(&[&long, b"\n"])), [MAX_LINE, MAX_LINE, 10]);
    let whole = [b"first\n", &long[..], b"\nlast\n"].concat();
    assert_eq!(lengths(&rows(&[&whole])), [5, MAX_LINE, MAX_LINE, 10, 4]);
    let long = "日本語ü".repeat(100_000);
    let split = rows(&[long.as_bytes(), b"\n"]);
    assert_eq!(split.concat(), long);
    assert!(split.iter().all(|row| row.len() <= MAX_LINE && !row.contains('\u{fffd}')));
    assert_eq!(split.len(), long.len().div_ceil(MAX_LINE));
}

#[test]
fn a_possible_secret_is_not_split() {
    let mut window = Window::default();
    window.feed(&vec![b'x'; MAX_LINE - 3], &|_| 0);
    window.feed(b"hunter22\n", &|text| if text.ends_with(b"hun") { 3 } else { 0 });
    let lines = lines(&window.take());
    let lengths: Vec<usize> = lines.iter().map(String::len).collect();
    assert_eq!((lengths, &*lines[1]), (vec![MAX_LINE - 3, 8], "hunter22"));
    // Even if everything is held back, long rows are ended.
    let mut window = Window::default();
    window.feed(&vec![b'x'; MAX_LINE * 3], &<[u8]>::len);
    assert!(window.take().iter().map(|whole| whole.text.len()).sum::<usize>() > MAX_LINE);
}

#[test]
fn the_memory_of_a_window_is_bounded() {
    let size = |window: &Window| {
        window.size()
            + window.whole.iter().map(|whole| whole.text.len()).sum::<usize>()
            + window.sequence.len()
    };
    for (what, piece) in [
        ("bars", "\r1\n".repeat(1000)),
        ("a block", format!("{}\u{1b}[A", "\rbar\n".repeat(1000))),
        ("ways up", "\u{1b}[99Ax".repeat(1000)),
        ("long rows", format!("\r{}\n\u{1b}[A\n", "x".repeat(MAX_LINE - 1))),
        ("a sequence", format!("\u{1b}[{}", "1;".repeat(10_000))),
        ("a row without an end", "x".repeat(10_000)),
    ] {
        let mut window = Window::default();
        for _ in 0..100 {
            window.feed(piece.as_bytes(), &|_| 0);
            window.show(&|_| 0);
            assert!(window.rows.len() <= MOST_ROWS, "{what}: {}", window.rows.len());
            window.take();
            assert!(size(&window) <= MOST_TEXT, "{what}: {}", size(&window));
        }
    }
}

/// Shows what is due, as the reader of a pipe does; returns texts and numbers.
fn show(window: &mut Window, next: &mut u64) -> Vec<(String, Option<u64>)> {
    let shown = window.show(&|_| 0);
    for row in &shown {
        if row.replaces.is_none() {
            *next += 1;
            window.set_id(row.place, *next);
        }
    }
    shown.into_iter().map(|row| (row.text, row.replaces)).collect()
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_shown_are_replaced_under_their_number() {
    let (mut window, mut next) = (Window::default(), 0);
    let text = |text: &str, id: Option<u64>| (text.to_owned(), id);
    window.feed(b"plain\n\ra 1", &|_| 0);
    assert_eq!(lines(&window.take()), ["plain"]);
    assert!(window.due().unwrap() <= Instant::now());
    assert_eq!(show(&mut window, &mut next), [text("a 1", None)]);
    assert_eq!(window.due(), None);
    window.feed(b"\n\rb 1\x1b[A\ra 2", &|_| 0);
    assert!(window.due().unwrap() > Instant::now(), "it is paced");
    assert_eq!(show(&mut window, &mut next), [text("a 2", Some(1)), text("b 1", None)]);
    window.feed(b"\n\rb 2\n", &|_| 0);
    assert_eq!(show(&mut window, &mut next), [text("b 2", Some(2))]);
    window.feed(b"end\n", &|_| 0);
    let whole = |text: &str, replaces| Whole { text: text.into(), replaces };
    assert_eq!(window.take(), [whole("a 2\n", Some(1)), whole("b 2\n", Some(2)), whole("end\n", None)]);
    assert!(window.rows.is_empty() && window.due().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_single_bar_ends_a_moment_after_its_newline() {
    let (mut window, mut next) = (Window::default(), 0);
    window.feed(b"10 %\r100 %\n", &|_| 0);
    assert_eq!(window.take(), []);
    assert_eq!(show(&mut window, &mut next).len(), 1);
    let due = window.due().unwrap();
    assert_eq!(due - Instant::now(), PARTIAL);
    tokio::time::sleep_until(due).await;
    assert_eq!(show(&mut window, &mut next), []);
    assert_eq!(window.take(), [Whole { text: "100 %\n".into(), replaces: Some(1) }]);
    assert_eq!(window.due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_is_shown_after_a_while() {
    let mut window = Window::default();
    window.feed(b"password: ", &|_| 0);
    assert_eq!(window.due().unwrap() - Instant::now(), PARTIAL);
    tokio::time::sleep(PARTIAL).await;
    let shown = window.show(&|text| if text.ends_with(b": ") { 2 } else { 0 });
    assert_eq!((&*shown[0].text, shown[0].moves), ("password", false));
}

/// Pieces of what programs print.
const PIECES: [&[u8]; 16] = [
    b"a",
    b"bc",
    b"\n",
    b"\r",
    b" ",
    b"\x1b[A",
    b"\x1b[2A",
    b"\x1b[B",
    b"\x1b[2K",
    b"\x1b[J",
    b"\x1b[31m",
    b"\x1b",
    b"[",
    b"\xc3",
    b"\xa4",
    b"\x1b[G",
];

proptest::proptest! {
    #[test]
    fn cuts_do_not_change_the_rows(
        picked in proptest::collection::vec(0..PIECES.len(), 0..120),
        cuts in proptest::collection::vec(0..200usize, 0..6),
    ) {
        let bytes: Vec<u8> = picked.into_iter().flat_map(|at| PIECES[at].to_vec()).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &bytes[two[0]..two[1]]).collect();
        proptest::prop_assert_eq!(rows(&[&bytes]), rows(&pieces));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_rows(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        cut in 0..300usize,
        long in 0..3usize,
    ) {
        // Rows near the limit of their length are cut at the same places.
        let mut all = vec![b'\xc3'; long * (MAX_LINE / 2 - 20)];
        all.extend(bytes);
        let cut = cut.min(all.len());
        proptest::prop_assert_eq!(rows(&[&all]), rows(&[&all[..cut], &all[cut..]]));
    }

    #[test]
    fn plain_lines_are_kept_as_they_are(lines in proptest::collection::vec("[ -~äß]{0,30}", 0..20)) {
        let bytes: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        proptest::prop_assert_eq!(rows(&[bytes.as_bytes()]), lines);
    }
}
