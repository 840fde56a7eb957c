//! Fuzzing `PORTAL_CONFIG` and the file that may replace it: the result is problems with names, or valid routes and
//! links, none of which leads to another site, to the port of another route or back to itself.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;

use desktopd::config::portal_config::{self, Entry};
use desktopd::config::{Service, portal_file};
use desktopd::plan::Plan;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::fuzz::config::{config, facts, told};
use crate::fuzz::search::Target;

/// Heads and values for both forms: the parts of an entry.
const HEADS: &[&str] = &[
    "applications:",
    "  A:",
    "    hostname:",
    "    external_port:",
    "    internal_port:",
    "    open_path:",
    "    name:",
];

const VALUES: &[&str] = &[
    "|",
    "||",
    ":",
    "::",
    "[::1]",
    "[",
    "]",
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "203.0.113.9",
    "a b",
    "user@host",
    "0",
    "1",
    "65535",
    "65536",
    "70001",
    "-1",
    "+1",
    "1e3",
    "0x50",
    "1111",
    "11111",
    "6100",
    "16100",
    "6200",
    "16200",
    "/",
    "//",
    "/\\",
    "\\",
    "javascript:alert(1)",
    "http://evil/",
    "/a?b=c#d",
    "\t",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "\u{feff}",
    "\"",
    "'",
    "{",
    "}",
    "{}",
    "[]",
    "- a",
    "&a",
    "*a",
    "!!int 3",
    "<<: *a",
    "? ",
    "|\n",
    ">\n",
    "---",
    "...",
    "%YAML 1.1",
    "null",
    "~",
    "true",
    ".inf",
    ".nan",
    "#",
    "é",
    "\u{10ffff}",
];

const LINES: &[&str] = &[
    "localhost:1111:11111:/:Instance Portal",
    "localhost:2222:11111:/:Portal",
    "localhost:6100:16100:/:Desktop",
    "localhost:7100:16100:/d:Desktop",
    "localhost:6200:16200:/guacamole:VNC",
    "localhost:8080:8080:/:Jupyter",
    "localhost:8080:8080:/terminals/1:Terminal",
    "localhost:8384:18384:/:Syncthing",
    "[::1]:9000:9001:/:Six",
    "box.lan:9001:9000:/:Box",
    "localhost:9000:9001:/:There",
    "localhost:9001:9000:/:Back",
    "localhost:9002:1111:/:Circle",
    "localhost:1:2:javascript:alert(1)",
    "localhost:1:2:/:a:b:c",
];

/// Checks that hold for every entry.
fn sound(entries: &[Entry]) -> TestCaseResult {
    for entry in entries {
        prop_assert!(entry.path.starts_with('/') && !entry.path.starts_with("//"), "{:?}", entry);
        prop_assert!(!entry.path.contains(['\\', '\n', '\0']), "{:?}", entry);
        prop_assert!(entry.external != 0 && entry.internal != 0, "{:?}", entry);
        prop_assert!(!entry.name.is_empty() && !entry.name.contains(char::is_control), "{:?}", entry);
        let site: Result<http::Uri, _> = format!("http://{}:{}/", entry.hostname, entry.internal).parse();
        let site = site.map_err(|error| TestCaseError::fail(format!("{entry:?}: {error}")))?;
        prop_assert_eq!(site.host(), Some(entry.hostname.as_str()));
        prop_assert_eq!(site.port_u16(), Some(entry.internal));
    }
    Ok(())
}

/// Checks that hold for every plan that is made of them.
fn planned(services: &[Service], text: &str) -> TestCaseResult {
    // The environment has no zero bytes, and one line is one entry here.
    let text = text.replace('\0', "").lines().collect::<Vec<_>>().join("|");
    let config = config(services.to_vec(), Vec::new(), &[("PORTAL_CONFIG".into(), OsString::from(text))]);
    told(&config.problems, "environment")?;
    sound(&config.portal.entries)?;
    let plan = Plan::build(&config, &facts(services, true));
    told(&plan.problems, "environment")?;
    let mut ports: Vec<u16> =
        plan.routes.iter().map(|route| route.listen).chain([plan.portal.port]).collect();
    let guests = plan.routes.iter().filter(|route| route.unit.is_empty());
    for guest in guests {
        let to = guest.upstream.to_string();
        let circle =
            ports.iter().any(|port| to == format!("localhost:{port}") || to == format!("127.0.0.1:{port}"));
        prop_assert!(!circle, "{} -> {}", guest.listen, to);
    }
    for route in &plan.routes {
        prop_assert!(route.path.starts_with('/') && !route.path.starts_with("//"), "{:?}", route);
    }
    ports.sort_unstable();
    let count = ports.len();
    ports.dedup();
    prop_assert_eq!(ports.len(), count, "{:?}", plan.routes);
    prop_assert!(!plan.text().is_empty() && serde_json::to_string(&plan.view()).is_ok());
    // The entries that are written to the file are the same when they are read.
    let all = plan.portal.among(&config.portal.entries);
    let mut problems = Vec::new();
    let again = portal_file::parse(&portal_file::text(&all), "", &mut problems).unwrap_or_default();
    prop_assert!(again.iter().all(|entry| all.contains(entry)), "{:?} of {:?}: {:?}", again, all, problems);
    Ok(())
}

#[test]
fn no_portal_config_breaks_the_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/services");
    let mut problems = Vec::new();
    let services: Vec<Service> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| Service::parse(&path, &std::fs::read_to_string(&path).unwrap(), &mut problems))
        .collect();
    assert_eq!(problems, []);
    let usual = LINES.join("\n");
    let entries = portal_config::parse(&LINES[..8].join("|"), "", "", &mut problems);
    let file = portal_file::text(&entries);
    let target = Target {
        name: "portal",
        corpus: vec![
            usual,
            LINES[..8].join("\n"),
            file,
            "applications: {A: {hostname: a, external_port: '1'}}".to_owned(),
        ],
        heads: HEADS,
        values: VALUES,
        lines: LINES,
        begins: "\0",
        seconds: 30,
    };
    let used = Cell::new(0_u64);
    let count = target.search(|text| {
        planned(&services, text)?;
        let mut problems = Vec::new();
        if let Some(entries) = portal_file::parse(text, "/etc/portal.yaml", &mut problems) {
            used.set(used.get() + 1);
            sound(&entries)?;
        } else {
            let mistakes = usize::from(!portal_file::is_empty(text));
            prop_assert_eq!(problems.len(), mistakes, "{:?}", problems);
        }
        prop_assert!(problems.iter().all(|problem| problem.place == "/etc/portal.yaml"));
        Ok(())
    });
    assert!(count > 0 && used.get() > 0, "{count} inputs, {} of them files", used.get());
}
