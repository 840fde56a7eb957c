//! For users who are not root: the same command as it works for root.

use std::ffi::OsString;
use std::path::Path;

/// Commands whose arguments may be secrets.
const PRIVATE: [&str; 3] = ["set-web-credentials", "hash-password", "env-store"];

/// Says how to run this command line as root: inside the container, and from outside.
pub fn as_root(words: &[OsString]) -> String {
    let mut shown = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let word = word.to_string_lossy();
        // The program's path is left out; root finds the program by its name.
        let name = Path::new(&*word).file_name().map(|name| name.to_string_lossy().into_owned());
        let word = if at == 0 { name.unwrap_or_default() } else { word.into_owned() };
        let private = PRIVATE.contains(&word.strip_suffix(".sh").unwrap_or(&word));
        shown.push(quoted(&word));
        if private {
            shown.extend((at + 1 < words.len()).then(|| "...".to_owned()));
            break;
        }
    }
    let shown = shown.join(" ");
    format!("try: sudo {shown}, or from outside: docker exec CONTAINER {shown}")
}

/// A word as it is typed in a shell.
pub(in crate::cli) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_shown_as_root_would_type_it() {
        for (words, expected) in [
            (&["/usr/bin/desktopd", "stop", "--wait", "kde"][..], "desktopd stop --wait kde"),
            (&["desktopd", "start", "pipe*", "it's"], r"desktopd start 'pipe*' 'it'\''s'"),
            (&["desktopd", "set-web-credentials", "ada", "secret"], "desktopd set-web-credentials ..."),
            (&["/opt/ai-dock/bin/env-store", "HF_TOKEN=x"], "env-store ..."),
            (&["env-store.sh"], "env-store.sh"),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let told = as_root(&words);
            assert_eq!(
                told,
                format!("try: sudo {expected}, or from outside: docker exec CONTAINER {expected}")
            );
        }
    }
}
