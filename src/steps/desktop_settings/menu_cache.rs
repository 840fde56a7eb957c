//! The program cache that all KDE programs share and keep in the home: which programs exist, and their place in the
//! menu. A program that builds the cache without finding a menu leaves a cache without any program, and Plasma uses
//! that cache for ever, because none of its source files is newer.

use std::fs;
use std::io;
use std::path::Path;

use crate::steps::report::tell;
use crate::sys::read;

/// The beginning of the cache files' names; the language and a digest of folders follow.
const NAME: &str = "ksycoca6_";

/// More than a cache of hundreds of programs needs, which is less than a megabyte. Bytes.
const LONGEST: u64 = 64 << 20;

/// Removes caches without programs. KDE builds a new cache when it needs one.
pub(super) fn mend(home: &Path) {
    let entries = fs::read_dir(home.join(".cache")).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME)) {
        let path = entry.path();
        tell(
            path.display(),
            is_empty(&path).and_then(|empty| if empty { fs::remove_file(&path) } else { Ok(()) }),
        );
    }
}

/// Whether a cache has no program. Its texts are UTF-16, and each program is listed with the name of its `.desktop`
/// file.
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
