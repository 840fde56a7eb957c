//! The variables that are understood, with their values and where those come from. The daemon need not run.

use serde::Serialize;

use crate::config::Config;
use crate::config::env::{TABLE, Variable, nearest_variable};

use super::args::Env;
use super::table::table;
use super::{Failure, code, render};

/// What stands for a secret.
const MASK: &str = "******";

/// One variable.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Row {
    name: &'static str,
    /// Empty when it is not set and has no default.
    value: String,
    default: &'static str,
    source: String,
    secret: bool,
    doc: &'static str,
}

/// The command.
pub(super) fn show(config: &Config, args: &Env) -> Result<(), Failure> {
    let rows = rows(config, &args.names)?;
    render::print(args.json, &rows, || text(&rows))
}

fn rows(config: &Config, names: &[String]) -> Result<Vec<Row>, Failure> {
    for name in names {
        if !TABLE.iter().any(|variable| variable.names.contains(&name.as_str())) {
            let near = nearest_variable(name).map(|near| format!("; did you mean {near}?"));
            let message = format!("{name} is not a variable that is read here{}", near.unwrap_or_default());
            return Err(Failure::new(code::FAILED, message));
        }
    }
    let asked = |variable: &&Variable| {
        names.is_empty() || names.iter().any(|name| variable.names.contains(&name.as_str()))
    };
    Ok(TABLE.iter().filter(asked).map(|variable| row(config, variable)).collect())
}

fn row(config: &Config, variable: &Variable) -> Row {
    let set = variable.names.iter().find(|name| config.env.text(name).is_some());
    let wrong = set.filter(|name| config.problems.iter().any(|problem| problem.key == **name));
    let source = match (set, wrong) {
        (None, _) => "default".to_owned(),
        (Some(name), Some(_)) => format!("default; {name} is wrong"),
        (Some(name), None) if *name == variable.names[0] => "environment".to_owned(),
        (Some(name), None) => format!("environment, as {name}"),
    };
    let value = match (set, wrong) {
        (Some(_), None) if variable.secret => MASK.to_owned(),
        (Some(_), None) => config.env.shown(variable),
        _ => variable.default.to_owned(),
    };
    Row {
        name: variable.names[0],
        value,
        default: variable.default,
        source,
        secret: variable.secret,
        doc: variable.doc,
    }
}

fn text(rows: &[Row]) -> String {
    let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let mut cells = vec![["NAME", "VALUE", "DEFAULT", "SOURCE", "WHAT"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [row.name.to_owned(), dash(&row.value), dash(row.default), row.source.clone(), row.doc.to_owned()]
    }));
    table(&cells, |_, _, cell| cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use std::ffi::OsString;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut problems = Vec::new();
        let pairs = pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let env = Environment::new(pairs, &[], &mut problems);
        Config::read("/nonexistent".into(), env, problems)
    }

    #[test]
    fn each_value_says_where_it_comes_from_and_secrets_stay_secret() {
        let config = config(&[
            ("WEB_USER", "ada"),
            ("SIZEW", "800"),
            ("DISPLAY_DPI", "many"),
            ("WEB_PASSWORD", "hunter22"),
            ("TURN_HOST", ""),
        ]);
        for (name, value, source) in [
            ("WEB_USER", "ada", "environment"),
            ("DISPLAY_SIZEW", "800", "environment, as SIZEW"),
            ("DISPLAY_DPI", "96", "default; DISPLAY_DPI is wrong"),
            ("WEB_PASSWORD", MASK, "environment"),
            ("WEB_TOKEN", "", "default"),
            ("TURN_HOST", "", "default"),
            ("SELKIES_PORT_HOST", "6100", "default"),
        ] {
            let rows = rows(&config, &[name.to_owned()]).unwrap();
            assert_eq!((rows[0].value.as_str(), rows[0].source.as_str()), (value, source), "{name}");
        }
        let all = rows(&config, &[]).unwrap();
        assert_eq!(all.len(), TABLE.len());
        assert!(!text(&all).contains("hunter22"));
    }

    #[test]
    fn aliases_are_names_and_unknown_ones_are_told() {
        let config = config(&[]);
        assert_eq!(rows(&config, &["SIZEW".to_owned()]).unwrap()[0].name, "DISPLAY_SIZEW");
        let failure = rows(&config, &["WEB_USR".to_owned()]).unwrap_err();
        assert!(failure.message.contains("did you mean WEB_USER?"), "{}", failure.message);
    }
}
