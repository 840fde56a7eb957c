//! The variables that are understood, with their values and where those come from. The daemon knows best, as it was
//! given arguments and heard of hooks; where none runs they are worked out here.

use crate::config::Config;
use crate::config::env::{Row, nearest_variable, row};

use super::args::Env;
use super::client::Client;
use super::table::table;
use super::{Failure, code, render};

/// The command.
pub(super) async fn show(config: &Config, client: &Client, args: &Env) -> Result<(), Failure> {
    let all = match client.environment().await {
        Ok(rows) => rows,
        Err(_) => config.clone().with_files().env.rows(),
    };
    let rows = asked(all, &args.names)?;
    render::print(args.json, &rows, || text(&rows))
}

/// The rows of these names; all when none is named.
fn asked(all: Vec<Row>, names: &[String]) -> Result<Vec<Row>, Failure> {
    for name in names {
        if row(name).is_none() {
            let near = nearest_variable(name).map(|near| format!("; did you mean {near}?"));
            let message = format!("{name} is not a variable that is read here{}", near.unwrap_or_default());
            return Err(Failure::new(code::FAILED, message));
        }
    }
    let asked = |row: &Row| {
        names.is_empty() || names.iter().any(|name| *name == row.name || row.aliases.contains(name))
    };
    Ok(all.into_iter().filter(asked).collect())
}

fn text(rows: &[Row]) -> String {
    let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let mut cells = vec![["NAME", "VALUE", "DEFAULT", "SOURCE", "WHAT"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let lost = row.overrode.iter().map(|lost| format!("{} ({})", dash(&lost.value), lost.source));
        let lost: Vec<String> = lost.collect();
        let over = if lost.is_empty() { String::new() } else { format!("; over {}", lost.join(", ")) };
        let source = format!("{}{over}", row.source);
        [row.name.clone(), dash(&row.value), dash(&row.default), source, row.doc.clone()].map(one_line)
    }));
    table(&cells, |_, _, cell| cell)
}

/// What people set must not look like other rows.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.escape_debug().to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::config::env::TABLE;
    use std::ffi::OsString;

    const MASK: &str = "******";

    fn all(pairs: &[(&str, &str)]) -> Vec<Row> {
        let pairs = pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Environment::new(pairs, &[], &mut Vec::new()).rows()
    }

    #[test]
    fn each_value_says_where_it_comes_from_and_secrets_stay_secret() {
        let all = all(&[
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
            let rows = asked(all.clone(), &[name.to_owned()]).unwrap();
            assert_eq!((rows[0].value.as_str(), rows[0].source.as_str()), (value, source), "{name}");
        }
        let all = asked(all, &[]).unwrap();
        assert_eq!(all.len(), TABLE.len());
        assert!(!text(&all).contains("hunter22"));
    }

    #[test]
    fn aliases_are_names_and_unknown_ones_are_told() {
        let all = all(&[]);
        assert_eq!(asked(all.clone(), &["SIZEW".to_owned()]).unwrap()[0].name, "DISPLAY_SIZEW");
        let failure = asked(all, &["WEB_USR".to_owned()]).unwrap_err();
        assert!(failure.message.contains("did you mean WEB_USER?"), "{}", failure.message);
    }
}
