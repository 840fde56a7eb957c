//! Expands `${name}` in service files. No shell ever parses the result: an expanded text is one argument or one value.

use std::collections::BTreeMap;

use crate::config::nearest;

/// The values that templates may name.
pub type Values = BTreeMap<String, String>;

/// A text with its templates expanded; `$$` is a dollar sign. The error completes "KEY: …".
pub fn expand(text: &str, values: &Values) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                return Err(format!("\"{text}\" has a `${{` without its `}}`"));
            };
            let name = &after[..end];
            out.push_str(values.get(name).ok_or_else(|| unknown(text, name, values))?);
            rest = &after[end + 1..];
        } else {
            return Err(format!(
                "\"{text}\" has a single `$`; write `${{name}}`, or `$$` for the sign itself"
            ));
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn unknown(text: &str, name: &str, values: &Values) -> String {
    let hint = match nearest(name, values.keys().map(String::as_str)) {
        Some(near) => format!("did you mean ${{{near}}}?"),
        None => format!("the known ones are {}", values.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    format!("\"{text}\" names ${{{name}}}, which is not defined; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_expanded_or_rejected_with_a_reason() {
        let values = Values::from([("user".into(), "ada".into()), ("uid".into(), "1000".into())]);
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("/run/user/${uid}/${user}", Ok("/run/user/1000/ada")),
            ("$$${uid}$$", Ok("$1000$")),
            ("${usr}", Err("did you mean ${user}?")),
            ("${user", Err("without its")),
            ("cost 5$", Err("a single `$`")),
        ] {
            match (expand(text, &values), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn values_are_never_expanded_again(value in "[$\\{\\}a-z]{0,12}") {
            let values = Values::from([("x".into(), value.clone())]);
            proptest::prop_assert_eq!(expand("a${x}b", &values), Ok(format!("a{value}b")));
        }

        #[test]
        fn no_text_causes_a_panic(text in ".{0,40}") {
            let _ = expand(&text, &Values::new());
        }
    }
}
