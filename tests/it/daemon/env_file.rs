//! Files of variables, checked against real shells.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use desktopd::sys::env_file::{line, parse};
use proptest::prelude::*;

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// The variables that begin with `V_` after a shell has read `file`.
fn shell_reads(shell: &str, file: &[u8]) -> Vec<(OsString, OsString)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), file).unwrap();
    let script = "set -a; . ./file; exec env -0";
    let output = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let variable = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        entry.starts_with(b"V_").then(|| (os(&entry[..at]), os(&entry[at + 1..])))
    };
    let mut found: Vec<_> = output.stdout.split(|byte| *byte == 0).filter_map(variable).collect();
    found.sort();
    found
}

/// Any bytes, and mostly those with a special meaning for some program.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b"'\"\\$`!#%= \t\r\n;&|(){}~*?[]<>^export".to_vec());
    prop::collection::vec(prop_oneof![special, 1u8..=255], 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_values_are_read_back_by_every_shell(values in prop::collection::vec(value(), 1..12)) {
        let variables: Vec<_> =
            values.iter().enumerate().map(|(at, value)| (os(format!("V_{at:02}").as_bytes()), os(value))).collect();
        let file: Vec<u8> = variables.iter().flat_map(|(name, value)| line(name, value)).collect();
        let parsed = parse(&file);
        prop_assert_eq!(&parsed.variables, &variables);
        prop_assert!(parsed.told.is_empty(), "{:?}", parsed.told);
        prop_assert_eq!(&shell_reads("sh", &file), &variables);
        prop_assert_eq!(&shell_reads("bash", &file), &variables);
    }
}
