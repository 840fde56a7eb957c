//! The cache that all programs of KDE share and keep in the home: which programs there are, and where the menu has them.
//! A program that builds the cache without finding a menu leaves one that knows no program at all, and Plasma takes that
//! cache for good, because nothing that the cache was built of is newer.

use std::fs;
use std::io;
use std::path::Path;

use crate::sys::read;

/// How the names of such caches begin; the language and a digest of folders follow.
const NAME: &str = "ksycoca6_";

/// Hundreds of programs make less than a megabyte. Bytes.
const LONGEST: u64 = 64 << 20;

/// Removes caches that know no program. KDE builds a new one when it needs one.
pub(super) fn mend(home: &Path) {
    let entries = fs::read_dir(home.join(".cache")).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME)) {
        let path = entry.path();
        let removed = is_empty(&path).and_then(|empty| if empty { fs::remove_file(&path) } else { Ok(()) });
        if let Err(error) = removed {
            eprintln!("{}: {error}", path.display());
        }
    }
}

/// Whether a cache knows no program. Its texts are UTF-16, and each program is there with the name of its file.
fn is_empty(file: &Path) -> io::Result<bool> {
    let bytes = read::beginning(file, LONGEST)?;
    let name: Vec<u8> = ".desktop".encode_utf16().flat_map(u16::to_be_bytes).collect();
    Ok(!bytes.windows(name.len()).any(|found| found == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_without_programs_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let cache = home.path().join(".cache");
        mend(home.path());
        fs::create_dir(&cache).unwrap();
        let texts = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for (name, content, stays) in [
            ("ksycoca6_de_x=", texts("/usr/share/applications/org.kde.konsole.desktop"), true),
            ("ksycoca6_en_x=", texts("application/x-desktop"), false),
            ("ksycoca6_fr_x=", Vec::new(), false),
            ("icon-cache.kcache", Vec::new(), true),
        ] {
            let file = cache.join(name);
            fs::write(&file, [&[0], &content[..]].concat()).unwrap();
            mend(home.path());
            assert_eq!(file.exists(), stays, "{name}");
        }
    }
}
