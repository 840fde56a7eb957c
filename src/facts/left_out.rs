//! The programs that the image should have, and that could not be had when it was built (`docker/install/fetch.py`).

use std::path::Path;

use super::Programs;
use crate::sys::read;

/// What the build of the image leaves: a program, a tab, and a sentence, one line for each.
const FILE: &str = "usr/share/desktopd/left-out";

/// One sentence for each program that is still missing: a derived image, or a person, may have installed it since.
/// `path` has the folders of programs.
pub fn left_out(root: &Path, path: &str) -> Vec<String> {
    let text = read::text(&root.join(FILE), read::BY_HAND).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    let missing = lines.filter(|(program, _)| Programs::probe(path, [*program]).get(program).is_err());
    missing.map(|(_, sentence)| sentence.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_that_is_there_after_all_is_not_called_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left_out(dir.path(), "/usr/bin:/bin"), [""; 0]);
        fs::create_dir_all(dir.path().join("usr/share/desktopd")).unwrap();
        let text = "no-such-program\tThe one is not in this image.\nsh\tThe other is not.\n\
                    /opt/none/bin/x\tThe third is not.\nnot a line\n";
        fs::write(dir.path().join(FILE), text).unwrap();
        assert_eq!(
            left_out(dir.path(), "/usr/bin:/bin"),
            ["The one is not in this image.", "The third is not."]
        );
    }
}
