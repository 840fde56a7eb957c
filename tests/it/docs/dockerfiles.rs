//! The three Dockerfiles are one: what they share is written in `Dockerfile.cpu` and copied to the others, as a Dockerfile
//! cannot include another. And what they are built from, `docker/sources.toml`.

#![allow(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::fs;
use std::path::Path;

/// The Dockerfile with the shared text.
const FIRST: &str = "Dockerfile.cpu";

/// The others.
const OTHERS: [&str; 2] = ["Dockerfile.cuda", "Dockerfile.rocm"];

/// The marks around what only one of the files has. The first is followed by the part's name.
const MARKS: (&str, &str) = ("# >>> only in this file: ", "# <<<");

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The lines of a Dockerfile: whether they are shared, and the parts of its own with their names.
fn own_parts(text: &str) -> Result<Vec<(&str, String)>, String> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix(MARKS.0) {
            Some(name) if !inside => {
                parts.push((name, String::new()));
                inside = true;
            }
            Some(_) => return Err(format!("line {}: a mark in a part of its own", number + 1)),
            None if line == MARKS.1 && inside => inside = false,
            None if line == MARKS.1 => {
                return Err(format!("line {}: an end without a beginning", number + 1));
            }
            None => {
                if let Some((_, part)) = parts.last_mut().filter(|_| inside) {
                    part.extend([line, "\n"]);
                }
            }
        }
    }
    if inside { Err("the last mark has no end".to_owned()) } else { Ok(parts) }
}

/// `first` with the parts of its own replaced by those of `other`.
fn expected(first: &str, other: &str) -> Result<String, String> {
    let names =
        |parts: &[(&str, String)]| parts.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let (ours, theirs) = (own_parts(first)?, own_parts(other)?);
    if names(&ours) != names(&theirs) {
        return Err(format!(
            "the marked parts are {:?}, and those of {FIRST} {:?}",
            names(&theirs),
            names(&ours)
        ));
    }
    let (mut text, mut parts, mut inside) = (String::new(), theirs.into_iter(), false);
    for line in first.lines() {
        inside &= line != MARKS.1;
        if !inside {
            text.extend([line, "\n"]);
        }
        if line.starts_with(MARKS.0) {
            inside = true;
            text += &parts.next().unwrap_or_default().1;
        }
    }
    Ok(text)
}

/// With `DESKTOPD_WRITE_DOCS` set, the other files are brought up to date instead.
#[test]
fn the_documents_for_docker_have_the_same_text_outside_their_marks() {
    let first = read(FIRST);
    for file in OTHERS {
        let found = read(file);
        let expected = expected(&first, &found).unwrap_or_else(|why| panic!("{file}: {why}"));
        if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
            fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), expected).unwrap();
        } else {
            let line = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
            assert!(
                found == expected,
                "{file} differs from {FIRST} at line {}: edit {FIRST}, then \
                 DESKTOPD_WRITE_DOCS=1 cargo test --test it documents",
                line.map_or_else(|| "its end".to_owned(), |line| (line + 1).to_string())
            );
        }
    }
}

#[test]
fn documents_for_docker_keep_their_own_parts_and_lose_other_changes() {
    let mark = |name: &str, text: &str| format!("{}{name}\n{text}{}\n", MARKS.0, MARKS.1);
    let file = |shared: &str, a: &str, b: &str| {
        format!("FROM base\n{}{shared}\n{}CMD init\n", mark("a", a), mark("b", b))
    };
    let (first, other) = (file("RUN new", "", "ENV A=1\n"), file("RUN old", "ARG X\nARG Y\n", ""));
    assert_eq!(expected(&first, &other).unwrap(), file("RUN new", "ARG X\nARG Y\n", ""));
    assert_eq!(expected(&first, &first).unwrap(), first);
    for (wrong, said) in [
        (mark("a", ""), "the marked parts are"),
        (format!("{}a\n", MARKS.0), "the last mark has no end"),
        (format!("{}\n", MARKS.1), "an end without a beginning"),
        (format!("{0}a\n{0}b\n", MARKS.0), "a mark in a part of its own"),
    ] {
        let why = expected(&first, &wrong).unwrap_err();
        assert!(why.contains(said), "{wrong:?}: {why}");
    }
}

/// Docker 20.10 is in use on many rented machines, and some of them cannot fetch a newer syntax.
#[test]
fn the_dockerfiles_need_no_newer_docker_than_20_10() {
    for file in [FIRST].iter().chain(&OTHERS) {
        for (number, line) in read(file).lines().enumerate() {
            for newer in
                ["<<", "# syntax=", "--checksum", "--link", "--parents", "--exclude", "--start-interval"]
            {
                let mark =
                    line.starts_with(MARKS.1) || line.starts_with('#') && !line.starts_with("# syntax=");
                assert!(mark || !line.contains(newer), "{file} line {}: {newer}", number + 1);
            }
        }
    }
}

/// A sum must be one, and belong to a file that the URL can name; a URL that lost a part would fetch the wrong file.
#[test]
fn every_source_is_complete() {
    let sources: toml::Table = read("docker/sources.toml").parse().unwrap();
    assert_eq!(sources.keys().collect::<Vec<_>>(), ["cloudflared", "kasmvnc", "virtualgl"]);
    for (name, source) in &sources {
        let text = |key: &str| source.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        let url = text("url");
        let parts = ["https://", "{version}", "{arch}"];
        assert!(parts.iter().all(|part| url.contains(part)), "{name}: {url}");
        assert!(
            !text("title").is_empty() && !text("version").is_empty() && !text("program").is_empty(),
            "{name}"
        );
        let releases = source.get("releases").and_then(toml::Value::as_array).map_or(0, Vec::len);
        assert_eq!(url.contains("{release}"), releases > 0, "{name}: {releases} releases in {url}");
        for (key, sum) in source.get("sha256").and_then(toml::Value::as_table).into_iter().flatten() {
            let sum = sum.as_str().unwrap_or_default();
            assert!(
                sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}: {key}: {sum}"
            );
            assert!(key.ends_with("amd64") || key.ends_with("arm64"), "{name}: {key}");
        }
    }
    let dockerfile = read(FIRST);
    for name in sources.keys() {
        let arguments = ["URL", "SHA256"].map(|part| format!("ARG {}_{part}=\n", name.to_uppercase()));
        assert!(
            arguments.iter().all(|argument| dockerfile.contains(argument)),
            "{FIRST} has no {arguments:?}"
        );
    }
}
