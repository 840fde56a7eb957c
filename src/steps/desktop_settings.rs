//! Writes settings of the desktop that follow our variables into the user's home, before the desktop reads them. The
//! step runs as that user.

mod kconfig;
mod menu_cache;
mod record;

use crate::config::env::TABLE;
use crate::config::service::step::DesktopSettings;
use kconfig::Key;
use record::{Record, Unrecorded};

/// Writes the settings. A setting that cannot be written is reported, and the desktop starts without it.
pub(super) fn run(DesktopSettings { home, lang, dpi }: &DesktopSettings) {
    let mut record = Record::open(home);
    let tell = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            eprintln!("{what} in {}: {error}; the desktop starts without it", home.display());
        }
    };
    menu_cache::mend(home);
    tell("the language", language(&mut record, lang));
    tell("the density of the screen", density(&mut record, dpi));
    tell("the record of settings", record.save());
}

/// Plasma stores the language of its first start, and the choice in System Settings, which also adds a list of
/// translations.
fn language(record: &mut Record, lang: &str) -> std::io::Result<()> {
    const LANG: Key<'_> = Key { file: "plasma-localerc", group: "Formats", name: "LANG" };
    const TRANSLATIONS: Key<'_> = Key { group: "Translations", name: "LANGUAGE", ..LANG };
    let chosen = record.value(TRANSLATIONS)?.is_some();
    // The default language was not chosen by the user, so it replaces no other language.
    let unrecorded = if chosen || is_usual("LANG", lang) { Unrecorded::Keep } else { Unrecorded::Replace };
    if record.apply(LANG, Some(lang), unrecorded)? {
        record.write(TRANSLATIONS, None)?;
    }
    Ok(())
}

/// Plasma tells all programs the density chosen for fonts in System Settings, and 96 if none was chosen.
fn density(record: &mut Record, dpi: &str) -> std::io::Result<()> {
    let wanted = Some(dpi).filter(|dpi| !is_usual("DISPLAY_DPI", dpi));
    let key = Key { file: "kcmfonts", group: "General", name: "forceFontDPI" };
    record.apply(key, wanted, Unrecorded::Keep).map(drop)
}

/// Whether a variable has its default value.
fn is_usual(name: &str, value: &str) -> bool {
    TABLE.iter().any(|row| row.names[0] == name && row.default == value)
}
