//! Property tests: invariants of every environment.

use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt;

/// Bytes that an environment can hold, with a higher share of bytes that have a meaning.
fn bytes(allowed: &'static str) -> impl Strategy<Value = OsString> {
    let plain = prop::collection::vec(1u8..=255, 0..24).prop_map(OsString::from_vec);
    prop_oneof![plain, allowed.prop_map(OsString::from)]
}

fn name() -> impl Strategy<Value = OsString> {
    let ours = prop::sample::select(TABLE).prop_flat_map(|row| prop::sample::select(row.names));
    let without = |name: OsString| {
        let bytes: Vec<u8> = name.into_vec().into_iter().filter(|byte| *byte != b'=').collect();
        OsString::from_vec(if bytes.is_empty() { b"X".to_vec() } else { bytes })
    };
    prop_oneof![
        ours.prop_map(OsString::from),
        bytes("(SELKIES_|WEBRTC_|VAST_TCP_PORT_)?[A-Z7][A-Z_0]{0,6}(_FLAGS|_ARGS|_PORT_HOST|_PASSWORD)?")
            .prop_map(without),
    ]
}

proptest! {
    #[test]
    fn any_environment_is_read_and_no_other_variable_is_lost(
        pairs in prop::collection::vec((name(), bytes("(___|\"|'| |%|=|\n|://|70000|true|a){0,6}")), 0..12),
        arguments in prop::collection::vec(bytes("[A-Z_]{0,8}=?(\"|'|_|a){0,6}"), 0..4),
    ) {
        let mut problems = Vec::new();
        let env = Environment::new(pairs.clone(), &arguments, &mut problems);
        let ours = |name: &OsStr| {
            name.to_str().is_some_and(|name| row(name).is_some() || name.starts_with("SELKIES_") || name.starts_with("WEBRTC_"))
        };
        for (name, _) in &pairs {
            prop_assert!(ours(name) || env.raw.contains_key(name), "{name:?} is lost");
        }
        // Values under names that are not valid in a shell stay unchanged.
        for (name, value) in pairs.iter().rev() {
            let last = pairs.iter().rev().find(|(other, _)| other == name);
            let argued = arguments.iter().any(|argument| argument.as_encoded_bytes().starts_with(name.as_encoded_bytes()));
            if last == Some(&(name.clone(), value.clone())) && !argued && !crate::sys::env_file::is_name(name) {
                prop_assert_eq!(env.raw.get(name), Some(value));
            }
        }
        let again = env.problems();
        prop_assert_eq!(again, problems);
    }

    #[test]
    fn no_secret_is_shown(secret in "[a-z]{24}", which in any::<prop::sample::Index>(), argued in any::<bool>()) {
        let secrets: Vec<&str> = TABLE.iter().filter(|row| row.secret).flat_map(|row| row.names).copied().collect();
        let name = secrets[which.index(secrets.len())];
        let argument = format!("{name}={secret}!");
        let arguments = if argued { vec![OsString::from(argument)] } else { Vec::new() };
        let mut problems = Vec::new();
        let env = Environment::new([(name.into(), secret.clone().into())], &arguments, &mut problems);
        let shown = format!("{}{problems:?}", serde_json::to_string(&env.rows()).unwrap());
        prop_assert!(!shown.contains(&secret), "{shown}");
        prop_assert!(env.secrets().iter().any(|known| known.contains(&secret)));
    }
}
