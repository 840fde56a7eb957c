//! Words that hide who does what, and names that were given up.

/// Words and pairs of words, in comments, texts and names alike. An underscore parts words, too.
const BANNED: [(&str, &str); 21] = [
    ("somebody", "say who: the user, the client, root, a program"),
    ("anybody", "say who: the user, the client, root, a program"),
    ("nobody", "say who: no user, no client, no program"),
    ("everybody", "say who: all users, all clients"),
    ("whoever", "say who: the client that, the user who"),
    ("is told", "say who reports what: the status names, the daemon logs"),
    ("are told", "say who reports what: the status names, the daemon logs"),
    ("stands", "say what is there: the file has, the value is, the code means"),
    // Names that were given up.
    ("arrival", "ConnectionInfo"),
    ("besieged", "under attack"),
    ("companion", "helper process"),
    ("condemn", "mark invalid"),
    ("doorkeeper", "authenticator"),
    ("era", "generation"),
    ("fate", "disposition"),
    ("jar", "cookie names"),
    ("keeper", "certificate reloader"),
    ("loan", "pooled connection"),
    ("passage", "transition, forward permit"),
    ("seat", "connection slot, portal entry"),
    ("whereabouts", "public address"),
];

/// The account of this name is a fact of Unix.
const ALLOWED: [&str; 3] = ["\"nobody\"", "`nobody`", "reuid=nobody"];

/// The lines of `text` that have such a word.
pub fn banned(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = ALLOWED.iter().fold(line.to_owned(), |line, allowed| line.replace(allowed, ""));
        let words: Vec<String> = line
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        for (banned, instead) in BANNED {
            let parts: Vec<&str> = banned.split(' ').collect();
            if words.windows(parts.len()).any(|words| words == parts) {
                found.push(format!("line {number} has \"{banned}\": {instead}"));
            }
        }
    }
    found
}
