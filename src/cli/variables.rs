//! The known variables, with their values and where the values come from. The daemon is asked first, because it knows
//! its own arguments and the variables of hooks; without a daemon they are determined here.

use crate::config::Config;
use crate::config::env::{Row, nearest_variable, row};

use super::args::Env;
use super::client::Client;
use super::layout::cut;
use super::table::table;
use super::{Failure, Screen, render};

/// The minimum width of a column. Characters.
const SHORTEST: usize = 12;

/// Runs `desktopd env`.
pub(super) async fn show(
    config: &Config,
    client: &Client,
    args: &Env,
    screen: Screen,
) -> Result<(), Failure> {
    let all = match client.get("/api/environment").await {
        Ok(rows) => rows,
        Err(_) => config.clone().with_files().env.rows(),
    };
    let rows = asked(all, &args.names)?;
    let whole = !args.names.is_empty();
    render::print(args.json, &rows, || text(&rows, screen, whole))
}

/// The rows of these names; all rows if no name is given.
fn asked(all: Vec<Row>, names: &[String]) -> Result<Vec<Row>, Failure> {
    for name in names {
        if row(name).is_none() {
            let near = nearest_variable(name).map(|near| format!("; did you mean {near}?"));
            let message = format!("{name} is not a variable that is read here{}", near.unwrap_or_default());
            return Err(Failure::of(message));
        }
    }
    let asked = |row: &Row| {
        names.is_empty() || names.iter().any(|name| *name == row.name || row.aliases.contains(name))
    };
    Ok(all.into_iter().filter(asked).collect())
}

/// Invalid values first, then a table. Variables without a value are listed in one line, unless `whole` is set.
fn text(rows: &[Row], screen: Screen, whole: bool) -> String {
    let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let wrong = rows.iter().filter(|row| row.source.contains(" is wrong"));
    let mut text: String = wrong.flat_map(|row| ["problem: ", &row.name, ": ", &row.source, "\n"]).collect();
    let is_unset = |row: &&Row| !whole && row.value.is_empty() && row.source == "default";
    let (unset, set): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(is_unset);
    let mut cells = vec![["NAME", "VALUE", "DEFAULT", "SOURCE", "WHAT"].map(str::to_owned)];
    // A long value must not take the space of the other columns.
    let most = screen.limit.map_or(usize::MAX, |limit| (limit / 6).max(SHORTEST));
    cells.extend(set.iter().map(|row| {
        let lost = row.overrode.iter().map(|lost| format!("{} ({})", dash(&lost.value), lost.source));
        let lost: Vec<String> = lost.collect();
        let over = if lost.is_empty() { String::new() } else { format!("; over {}", lost.join(", ")) };
        let source = format!("{}{over}", row.source);
        let [value, default, source] =
            [dash(&row.value), dash(&row.default), source].map(|text| cut(&one_line(text), most));
        [row.name.clone(), value, default, source, one_line(row.doc.clone())]
    }));
    text += &table(&cells, screen.limit, |_, _, cell| cell);
    if !unset.is_empty() {
        let names: Vec<&str> = unset.iter().map(|row| row.name.as_str()).collect();
        text +=
            &screen.wrapped(&format!("not set: {} (desktopd env NAME says what it is)", names.join(", ")));
    }
    text
}

/// Control characters are escaped, so that a value cannot look like other rows.
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
    fn each_value_has_its_source_and_secrets_are_masked() {
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
        assert!(!text(&all, Screen::PLAIN, false).contains("hunter22"));
    }

    #[test]
    fn invalid_values_come_first_and_rows_fit_a_terminal() {
        let all = all(&[("DISPLAY_DPI", "many"), ("HF_HOME", &"x".repeat(300))]);
        for (limit, most) in [(Some(80), 80), (None, 1000)] {
            let text = text(&all, Screen { limit, ..Screen::PLAIN }, false);
            assert!(text.starts_with("problem: DISPLAY_DPI: default; DISPLAY_DPI is wrong\n"), "{text}");
            let (table, unset) = text.split_once("not set: ").expect("a footer");
            let wide: Vec<&str> = table.lines().filter(|line| line.chars().count() > most).collect();
            assert_eq!(wide, [""; 0]);
            assert_eq!(table.contains(&"x".repeat(300)), limit.is_none());
            let unset = unset.replace("\n    ", " ");
            assert!(unset.contains("TURN_HOST") && !table.contains("\nTURN_HOST "), "{text}");
        }
        let asked = asked(all, &["TURN_HOST".to_owned()]).unwrap();
        assert!(text(&asked, Screen::PLAIN, true).contains("\nTURN_HOST "));
    }

    #[test]
    fn aliases_are_accepted_and_unknown_names_are_refused() {
        let all = all(&[]);
        assert_eq!(asked(all.clone(), &["SIZEW".to_owned()]).unwrap()[0].name, "DISPLAY_SIZEW");
        let failure = asked(all, &["WEB_USR".to_owned()]).unwrap_err();
        assert!(failure.message.contains("did you mean WEB_USER?"), "{}", failure.message);
    }
}
