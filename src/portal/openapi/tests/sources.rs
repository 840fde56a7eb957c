//! The routes that the sources of the portal have.

use std::path::{Path, PathBuf};

use regex::Regex;

/// Files whose routes only the control socket has, where no browser and no `OpenAPI` client comes.
const CONTROL: [&str; 3] = ["control.rs", "session.rs", "variables.rs"];

/// Path and method of every route of the API, sorted.
pub(super) fn routes() -> Vec<(String, String)> {
    let route = Regex::new(
        r#"\.route\(\s*(?:"(?<path>/api/[^"]*)"|builtin::SCREENSHOT),\s*(?<rest>[^;]*?)(?:\n\s*\.|;|\z)"#,
    )
    .unwrap();
    let method = Regex::new(r"\b(get|post|put|patch|delete)\(").unwrap();
    let mut found = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/portal")) {
        let text = std::fs::read_to_string(&file).unwrap();
        // The end of one match is the beginning of the next.
        let mut from = 0;
        while let Some(one) = route.captures_at(&text, from) {
            from = one.name("rest").unwrap().end();
            let path = one.name("path").map_or(crate::gateway::builtin::SCREENSHOT, |path| path.as_str());
            for method in method.captures_iter(&one["rest"]) {
                found.push((path.to_owned(), method[1].to_owned()));
            }
        }
    }
    found.sort();
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let deeper =
        folders.into_iter().filter(|path| !["tests", "web", "assets"].contains(&name(path).as_str()));
    let files =
        files.into_iter().filter(|path| !CONTROL.contains(&name(path).as_str()) && name(path) != "tests.rs");
    deeper.flat_map(|folder| self::files(&folder)).chain(files).collect()
}
