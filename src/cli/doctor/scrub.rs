//! Secrets that nothing has named: in the output of programs and in command lines, found by their form.
//!
//! The values of secrets in the environment are masked before, wherever they are. What is left are secrets that a
//! program has of its own: in addresses, headers, options, settings, and in the forms that makers give to their tokens.
//! A text in JSON stays JSON: only parts of its strings are replaced.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What replaces a secret.
const MASK: &str = "******";

/// Values behind the name of a secret that are no secret.
const WORDS: [&str; 8] = ["true", "false", "null", "none", "unset", "required", "not", "is"];

/// The name of a secret. The short words count only as words of their own: not in `compass`.
const NAMES: &str = r"(?:\b[\w.-]*(?:password|passwd|passphrase|secret|token|credential|(?:api|access|private|auth)[_-]?key)s?|\b(?:[\w.-]*[_.-])?(?:pass|pwd))";

/// The rules, in the order in which they are applied: each has a pattern, and what it leaves of a match.
static RULES: LazyLock<Vec<(Regex, Keep)>> = LazyLock::new(|| {
    let rules = [
        // A key in the form of OpenSSL and OpenSSH. Its end can be cut off.
        (r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)".to_owned(), Keep::First),
        // User and password of an address, or a token in their place.
        (r#"(://)[^/\s"'<>\\]*(@)"#.to_owned(), Keep::Around),
        (r#"(?i)((?:authorization|(?:set-)?cookie)["']?\s*[:=]\s*["']?)[^\r\n"'\\]+"#.to_owned(), Keep::First),
        (r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}".to_owned(), Keep::First),
        // `-u NAME:PASSWORD` of curl, `--user` of coturn; in JSON the parts of a command are strings.
        (r#"((?:--user|-u)(?:=|\s+|"\s*,\s*")[^\s:"'/\\]+:)([^\s"'\\]+)"#.to_owned(), Keep::Value),
        // Options: `--password VALUE`, `--turn-secret=VALUE`.
        (format!(r#"(?i)(--?{NAMES}(?:=|\s+|"\s*,\s*")["']?)([^\s"'\\]+)"#), Keep::Value),
        // Settings and parameters of addresses: `NAME=VALUE`.
        (format!(r#"(?i)({NAMES}\s*=\s*["']?)([^\s"'\\&;,]+)"#), Keep::Value),
        // A key of JSON whose value is a string; `\"` where the JSON is in a string itself.
        (format!(r#"(?i)("{NAMES}\\?"\s*:\s*\\?")([^"\\]+)"#), Keep::Value),
        // JSON web tokens, and the tokens of GitHub, GitLab, Hugging Face, OpenAI, Slack, AWS, Google.
        (
            r"\b(?:eyJ[\w-]{6,}\.[\w-]+\.[\w-]*|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}|xox[a-z]-[\w-]{10,}|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{30,})"
                .to_owned(),
            Keep::Nothing,
        ),
    ];
    rules.into_iter().filter_map(|(pattern, keep)| Some((Regex::new(&pattern).ok()?, keep))).collect()
});

/// `name: value`, which is a setting in a log, and prose elsewhere.
static IN_LOG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r#"(?i)({NAMES}["']?:\s*["']?)([^\s"'\\,;]+)"#)).ok());

/// What is left of a match.
#[derive(Clone, Copy)]
enum Keep {
    /// Nothing.
    Nothing,
    /// The first group; the mask is behind it.
    First,
    /// The first and the second group; the mask is between them.
    Around,
    /// The first group, if the second one can be a secret's value.
    Value,
}

/// The text without secrets; `is_log` says that the text is the output of a program.
pub(super) fn scrub(text: &str, is_log: bool) -> Cow<'_, str> {
    let log = IN_LOG.iter().filter(|_| is_log).map(|pattern| (pattern, Keep::Value));
    let rules = RULES.iter().map(|(pattern, keep)| (pattern, *keep));
    rules.chain(log).fold(Cow::Borrowed(text), |text, (pattern, keep)| {
        match pattern.replace_all(&text, |found: &Captures<'_>| masked(found, keep)) {
            Cow::Borrowed(_) => text,
            Cow::Owned(changed) => Cow::Owned(changed),
        }
    })
}

fn masked(found: &Captures<'_>, keep: Keep) -> String {
    let group = |number: usize| found.get(number).map_or("", |group| group.as_str());
    match keep {
        Keep::Nothing => MASK.to_owned(),
        Keep::First => format!("{}{MASK}", group(1)),
        Keep::Around => format!("{}{MASK}{}", group(1), group(2)),
        Keep::Value if is_secret(group(2)) => format!("{}{MASK}", group(1)),
        Keep::Value => group(0).to_owned(),
    }
}

/// Whether a value can be a secret: no word of a sentence, no reference to a variable, nothing that is masked already.
fn is_secret(value: &str) -> bool {
    let value = value.trim_end_matches(['}', ']', ')', '.']);
    let is_word = WORDS.iter().any(|word| value.eq_ignore_ascii_case(word));
    // `-u 1000:1000`, `tokens=12345`.
    let is_number = value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit());
    value.chars().count() >= 4 && !is_word && !is_number && !value.starts_with(['$', '*', '<', '/', '-'])
}

/// The passwords in the addresses that a text has, to be masked wherever else they are.
pub(super) fn passwords_of_addresses(text: &str) -> Vec<String> {
    let addresses = text.split("://").skip(1).filter_map(|rest| {
        let authority = rest.split(['/', ' ', '"', '\'', '?', '#']).next()?;
        let (user, _) = authority.rsplit_once('@')?;
        // A name alone can be a token, or the name of a person that is everywhere.
        Some(user.split_once(':')?.1.to_owned())
    });
    addresses.filter(|password| is_secret(password)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_their_form() {
        for (text, expected) in [
            ("postgres://ada:p@ss@db/x redis://:pw@h", "postgres://******@db/x redis://******@h"),
            ("https://ghp_token@github.com/a", "https://******@github.com/a"),
            ("http://host:80/a@b", "http://host:80/a@b"),
            ("Authorization: Basic dXNlcjpw\nnext", "Authorization: ******\nnext"),
            ("set-cookie: sid=abcdef; Path=/", "set-cookie: ******"),
            ("got bearer abcdefgh12 today", "got bearer ****** today"),
            ("curl -u ada:secret http://h", "curl -u ada:****** http://h"),
            ("coturn --user selkies:turn --x", "coturn --user selkies:****** --x"),
            (
                "x --password hunter --turn-shared-secret=abcd",
                "x --password ****** --turn-shared-secret=******",
            ),
            ("[\"x\", \"--password\", \"hunter\"]", "[\"x\", \"--password\", \"******\"]"),
            ("GET /?token=abcd&x=1", "GET /?token=******&x=1"),
            ("{\"api_key\": \"abcd\", \"secret\": true}", "{\"api_key\": \"******\", \"secret\": true}"),
            ("{\\\"token\\\": \\\"abcd\\\"}", "{\\\"token\\\": \\\"******\\\"}"),
            ("eyJhbGciOiJI.eyJsb2ci.c2ln hf_abcdefghijklmnopq", "****** ******"),
            (
                "a -----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY----- b",
                "a -----BEGIN OPENSSH PRIVATE KEY-----****** b",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----******"),
        ] {
            for is_log in [true, false] {
                assert_eq!(scrub(text, is_log), expected);
            }
        }
    }

    #[test]
    fn a_colon_is_a_setting_in_logs_alone() {
        let text = "password: hunter2, WEB_PASSWORD: expected more";
        assert_eq!(scrub(text, true), "password: ******, WEB_PASSWORD: ****** more");
        assert_eq!(scrub(text, false), text);
    }

    #[test]
    fn ordinary_text_is_not_changed() {
        for text in [
            "tokens: 3, token=$TOKEN --password-file /run/secret",
            "compass=north passed=12345 keyboard=german",
            "no password is set; --token is missing",
            "the unit has the user -u 1000 and -u 1000:1000 and key-mapping=abcd",
            "mount -o rw,user:x",
        ] {
            assert_eq!(scrub(text, true), text);
        }
    }

    #[test]
    fn passwords_of_addresses_are_known() {
        let found = passwords_of_addresses(
            "postgres://ada:p4ss@db:5432/x http://h:80/a redis://:redis@h, ssh://git@h",
        );
        assert_eq!(found, ["p4ss", "redis"]);
        assert_eq!(passwords_of_addresses("socks5://joe:pr:o@xy@proxy:1"), ["pr:o@xy"]);
    }
}
