//! Tests of the parser. `tests/it/env_file.rs` compares the parser with real shells.

use proptest::prelude::*;

use super::*;

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let text = |os: OsString| os.into_string().unwrap();
    parse(bytes).variables.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn one(text: &str) -> (String, String, Vec<String>) {
    let told = parse(text.as_bytes()).told;
    let mut found = pairs(text.as_bytes());
    assert_eq!(found.len(), 1, "{text:?}: {found:?} {told:?}");
    let (name, value) = found.remove(0);
    (name, value, told)
}

#[test]
fn lines_are_read_as_a_shell_reads_them() {
    for (text, value) in [
        ("A=b", "b"),
        ("  export\tA=b  # why", "b"),
        ("declare -x A=\"b\"", "b"),
        ("A=", ""),
        ("A=''", ""),
        ("A=b#c", "b#c"),
        ("A='b  c'\r\n", "b  c"),
        ("A=\"b\\\"c\\$d\\`e\\\\f\\g\"", "b\"c$d`e\\f\\g"),
        ("A=b\\ c\\\nd", "b cd"),
        ("A=b\\\r\nc", "bc"),
        ("A=\"b\\\nc\"", "bc"),
        ("A='b\nc' # two lines", "b\nc"),
        ("A=a'b'\"c\"d", "abcd"),
        ("A='it'\\''s'", "it's"),
        ("A=b; export A", "b"),
        ("A=b;export A\n", "b"),
        ("A=http://h/?a=1&b=2;c", "http://h/?a=1&b=2;c"),
        ("A=$(touch x)", "$(touch x)"),
        ("A=\"$(touch x) `y` $UNKNOWN ${A:-b}\"", "$(touch x) `y` $UNKNOWN ${A:-b}"),
        ("\u{feff}A=b", "b"),
    ] {
        let (name, found, _) = one(text);
        assert_eq!((name.as_str(), found.as_str()), ("A", value), "{text:?}");
    }
}

#[test]
fn unquoted_value_with_blanks_is_the_rest_of_the_line() {
    for (text, expected) in [
        ("\nA=hello big  world \r\n", "hello big  world"),
        (
            "A=localhost:1111:11111:/:Instance Portal|localhost:1:2:/:B",
            "localhost:1111:11111:/:Instance Portal|localhost:1:2:/:B",
        ),
        ("A=ssh-ed25519 AAAA me@home", "ssh-ed25519 AAAA me@home"),
    ] {
        let (_, value, told) = one(text);
        assert_eq!((value.as_str(), told), (expected, vec![]), "{text:?}");
    }
    let (_, value, told) = one("\nA=it is $(date) now\n");
    assert_eq!(value, "it is $(date) now");
    assert_eq!(
        told,
        ["line 2: nothing is run here; the value is taken as it is written, up to the end of the line"]
    );
}

#[test]
fn references_are_replaced_by_earlier_values() {
    let known = |name: &OsStr| (name == "PATH").then(|| OsString::from("/bin"));
    let parsed = parse_with(b"PATH=\"/a:$PATH\"\nPATH=${PATH}:/b\nC='$PATH' D=$PATHS\n", known);
    assert_eq!(parsed.told, [] as [&str; 0]);
    let found: Vec<_> = parsed.variables.iter().map(|(_, value)| value.to_str().unwrap()).collect();
    assert_eq!(found, ["/a:/bin", "/a:/bin:/b", "$PATH", "$PATHS"]);
}

#[test]
fn invalid_lines_are_skipped_and_reported_without_their_values() {
    let text = b"A=1\nif true; then\n1B=2\nC=it's\nD =3\nE=\"x\"hush y\nF='x' hush\nG=$'hush'\nH=a\0b\nZ=9\n";
    let parsed = parse(text);
    let told = parsed.told.join("\n");
    assert!(!told.contains("hush"), "{told}");
    for line in [2, 3, 5, 7, 8, 9] {
        assert!(told.contains(&format!("line {line}: ")), "{line}: {told}");
    }
    let names: Vec<_> = parsed.variables.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"A"), Some(&"Z")), "{told}");
}

#[test]
fn unclosed_quote_drops_only_its_own_line() {
    let parsed = parse(b"A=it's\nB=2\nC=\"3\nD=4");
    assert_eq!(parsed.told.len(), 2, "{:?}", parsed.told);
    assert_eq!(pairs(b"A=it's\nB=2\nC=\"3\nD=4"), [("B".into(), "2".into()), ("D".into(), "4".into())]);
}

#[test]
fn plain_values_are_written_plainly() {
    for (value, written) in [
        ("", "A=\n"),
        ("/usr/bin:/bin", "A=/usr/bin:/bin\n"),
        ("~", "A=\"~\"\n"),
        ("it's", "A=\"it's\"\n"),
        ("a b%=", "A=\"a b%=\"\n"),
        ("\"$x\"", "A='\"$x\"'\n"),
        ("it's $x", "A='it'\\''s $x'\n"),
    ] {
        assert_eq!(String::from_utf8(line("A".as_ref(), value.as_ref())).unwrap(), written);
    }
    assert_eq!(line("A-B".as_ref(), "x".as_ref()), b"");
    assert_eq!(line("1A".as_ref(), "x".as_ref()), b"");
}

#[test]
fn entries_round_trip_any_environment() {
    let variables: Raw =
        [("A", "b=c\nd"), ("B", ""), ("B-C", "\u{fc}")].map(|(n, v)| (n.into(), v.into())).into();
    assert_eq!(of_entries(&entries(&variables)), variables);
    assert_eq!(of_entries(b"rubbish\0\0=x\0A=1"), Raw::from([("A".into(), "1".into())]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[A= '\"\\\\$;#\r\nexport{}]{0,60}") {
        for file in [&bytes[..], text.as_bytes()] {
            for (name, value) in parse_with(file, |_| Some("known".into())).variables {
                prop_assert!(is_name(&name));
                prop_assert!(!value.as_bytes().contains(&0));
            }
        }
    }
}
