//! The rules of the workflows: every action is pinned to a commit, every token's rights are named, and nothing that
//! people type reaches a shell as code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Map, Value};

const FOLDER: &str = ".github/workflows";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_workflows_keep_the_rules() {
    let mut names = Vec::new();
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join(FOLDER)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        all.extend(
            faults(&fs::read_to_string(&path).unwrap()).into_iter().map(|fault| format!("{name}: {fault}")),
        );
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["build.yaml", "images.yaml", "publish.yaml", "test.yaml"]);
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

/// What a workflow does against the rules.
fn faults(text: &str) -> Vec<String> {
    let workflow: Map<String, Value> = match serde_saphyr::from_str(text) {
        Ok(workflow) => workflow,
        Err(error) => return vec![format!("is no YAML: {error}")],
    };
    let mut found = Vec::new();
    let jobs = workflow.get("jobs").and_then(Value::as_object).cloned().unwrap_or_default();
    if jobs.is_empty() {
        found.push("has no jobs".to_owned());
    }
    // A workflow that only others call has the rights that the caller's job names.
    let called = workflow
        .get("on")
        .and_then(Value::as_object)
        .is_some_and(|on| on.keys().all(|trigger| trigger == "workflow_call"));
    match workflow.get("permissions") {
        Some(Value::Object(_)) => {}
        None if called => {}
        _ => found.push("names no permissions for its token".to_owned()),
    }
    for (name, job) in &jobs {
        if let Some(uses) = job.get("uses") {
            found.extend(unpinned(uses).map(|fault| format!("{name}: {fault}")));
        } else if job.get("timeout-minutes").and_then(Value::as_u64).is_none() {
            found.push(format!("{name}: has no timeout-minutes"));
        }
        for step in job.get("steps").and_then(Value::as_array).into_iter().flatten() {
            found.extend(faults_of_step(step).into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    for line in text.lines().filter(|line| line.contains("uses:") && line.contains('@')) {
        if !line.contains(" # v") {
            found.push(format!("{}: has no comment with the version", line.trim()));
        }
    }
    found
}

fn faults_of_step(step: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(uses) = step.get("uses") {
        found.extend(unpinned(uses));
        let keeps = step.pointer("/with/persist-credentials") != Some(&Value::Bool(false));
        if uses.as_str().is_some_and(|uses| uses.starts_with("actions/checkout@")) && keeps {
            found.push("a checkout keeps its token: persist-credentials is not false".to_owned());
        }
    }
    if let Some(run) = step.get("run").and_then(Value::as_str) {
        // GitHub puts the value of an expression into the script before the shell reads it.
        if run.contains("${{") {
            found.push(format!("an expression is part of a script, use env: {run}"));
        }
        found.extend(run.split_whitespace().filter_map(missing_script));
    }
    found
}

/// Says so when a value of `uses` is neither a file of this repository nor pinned to a commit.
fn unpinned(uses: &Value) -> Option<String> {
    let uses = uses.as_str().unwrap_or_default();
    let pinned = uses.split_once('@').is_some_and(|(action, commit)| {
        action.contains('/')
            && commit.len() == 40
            && commit.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    });
    let here = uses.strip_prefix("./").is_some_and(|file| root().join(file).is_file());
    (!pinned && !here).then(|| format!("'{uses}' is not pinned to a commit of 40 hexadecimal digits"))
}

/// Says so when a word of a script names a script of this repository that cannot be run.
fn missing_script(word: &str) -> Option<String> {
    let path = word.rsplit('(').next()?;
    if !["docker/", "tests/", ".ci/"].iter().any(|folder| path.starts_with(folder)) {
        return None;
    }
    // Made by the build, not a script.
    if path.starts_with("docker/prebuilt/") {
        return None;
    }
    let runs = fs::metadata(root().join(path)).is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
    (!runs).then(|| format!("'{path}' is no script of this repository"))
}

#[test]
fn a_workflow_against_a_rule_is_refused() {
    let good = "
on: {push: {}}
permissions: {contents: read}
jobs:
  a:
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789 # v1.0.0
        with: {persist-credentials: false}
      - run: tests/run --fast
        env: {X: '${{ inputs.x }}'}
";
    assert_eq!(faults(good), [""; 0]);
    let called = good.replace("push: {}", "workflow_call: {}").replace("permissions: {contents: read}\n", "");
    assert_eq!(faults(&called), [""; 0]);
    for (from, to, fault) in [
        ("@0123456789012345678901234567890123456789", "@v4", "not pinned"),
        (
            "@0123456789012345678901234567890123456789",
            "@012345678901234567890123456789012345678g",
            "not pinned",
        ),
        ("@0123456789012345678901234567890123456789 # v1.0.0", "", "not pinned"),
        (" # v1.0.0", "", "no comment with the version"),
        ("permissions: {contents: read}\n", "", "names no permissions"),
        ("{contents: read}", "write-all", "names no permissions"),
        ("    timeout-minutes: 5\n", "", "has no timeout-minutes"),
        ("{persist-credentials: false}", "{fetch-depth: 0}", "keeps its token"),
        ("run: tests/run --fast", "run: 'echo ${{ inputs.x }}'", "an expression is part of a script"),
        ("run: tests/run --fast", "run: x=$(docker/publish/nothing)", "is no script"),
        ("run: tests/run --fast", "run: tests/README.md", "is no script"),
        ("jobs:", "jobs: [", "is no YAML"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let found = faults(&bad);
        assert!(found.iter().any(|found| found.contains(fault)), "{to}: {found:?}");
    }
}
