//! Copies between the container and the workspace, by rsync: it continues an interrupted copy, reports progress, and
//! handles hard links, sparse files and unusual file names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use super::super::command::{Command, lines, program};
use super::room::Room;
use super::volume::Access;
use crate::sys::read;

/// In a folder that was moved to the workspace: marks that the move is complete. The name is that of the older images.
pub(in crate::steps) const MARKER: &str = ".move_complete";

/// In a folder whose existing files are kept: holds new files until they are complete.
const BEGUN: &str = ".desktopd-begun";

/// How long a copy may make no progress. Network volumes pause for a while.
const SILENCE: Duration = Duration::from_secs(900);

/// How often progress is reported.
const NEWS: Duration = Duration::from_secs(1);

/// Roughly what each file needs in addition to its content. Bytes.
const BLOCK: u64 = 4096;

/// One copy, of a folder or of a single file.
pub(in crate::steps) struct Copy<'a> {
    /// The source.
    pub from: &'a Path,
    /// The target. It does not exist yet, or is an unfinished copy.
    pub to: &'a Path,
    /// Whether existing files in the target are kept; otherwise the target is made the same as the source.
    pub keep: bool,
    /// What is possible in the target's file system.
    pub access: Access,
    /// The private folder in which the copy is made, if other users must not see it yet.
    pub room: Option<&'a Room>,
}

impl Copy<'_> {
    /// Copies everything and waits until it is on the disk. Does not begin if there is too little space. `go_on` is
    /// called now and then; the copy stops when it returns false.
    pub fn run(&self, go_on: impl Fn() -> bool) -> Result<(), String> {
        let total = self.check_room()?;
        let begun = self.to.join(BEGUN);
        if self.keep {
            // Files that a killed copy left there are incomplete.
            let _ = fs::remove_dir_all(&begun);
            self.access.folder(&begun).map_err(|error| format!("{}: {error}", begun.display()))?;
        }
        let done = self.transfer(total, &go_on);
        if self.keep {
            // If it cannot be removed, it is hidden and empty.
            let _ = fs::remove_dir_all(&begun);
        }
        done?;
        let folder = read::folder(self.to.parent().unwrap_or(self.to));
        let flushed = folder.and_then(|folder| nix::unistd::syncfs(&folder).map_err(io::Error::from));
        flushed.map_err(|error| format!("{}: {error}", self.shown().display()))
    }

    fn transfer(&self, total: u64, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let mut told: Option<Instant> = None;
        let mut show = |line: &str| {
            if told.is_none_or(|told| told.elapsed() >= NEWS)
                && let Some((done, rest)) = progress(line)
            {
                println!("{}: {} of {} copied, {rest}", self.from.display(), size(done), size(total));
                told = Some(Instant::now());
            }
            go_on()
        };
        // The second run copies what changed during the first.
        let rsync = |more: &str| {
            let mut command = self.rsync();
            command.args(self.keep.then(|| format!("--temp-dir={BEGUN}"))).arg(more);
            self.ends(&mut command);
            command
        };
        let copied = lines(&mut rsync("--info=progress2"), SILENCE, &mut show)
            .and_then(|()| lines(&mut rsync("--quiet"), SILENCE, |_| go_on()));
        copied.map_err(|why| {
            format!("copying {} to {}: rsync: {why}", self.from.display(), self.shown().display())
        })
    }

    /// How many bytes there are to copy. An error if there is too little space.
    fn check_room(&self) -> Result<u64, String> {
        let (mut bytes, mut files) = (0, 0);
        let mut rsync = self.rsync();
        lines(self.ends(rsync.args(["--dry-run", "--stats"])), SILENCE, |line| {
            let number = |text: &str| text.split(' ').next().unwrap_or_default().parse().unwrap_or(0_u64);
            if let Some(rest) = line.strip_prefix("Total transferred file size: ") {
                bytes = number(rest);
            } else if let Some(rest) = line.strip_prefix("Number of created files: ") {
                files = number(rest);
            }
            true
        })
        .map_err(|why| format!("looking at {}: rsync: {why}", self.from.display()))?;
        let needed = bytes + files * BLOCK;
        let folder = self.to.ancestors().find(|folder| folder.is_dir()).unwrap_or(self.to);
        match statvfs(folder) {
            // Some network file systems do not report their size.
            Ok(place) if place.blocks() > 0 => {
                let free = place.blocks_available() * place.fragment_size();
                if free < needed {
                    return Err(format!(
                        "{} takes {}, and there is room for {} on the volume: remove something there, or take a \
                         larger one",
                        self.from.display(),
                        size(needed),
                        size(free)
                    ));
                }
            }
            _ => {}
        }
        Ok(bytes)
    }

    fn rsync(&self) -> Command {
        let mut command = program("rsync");
        // rsync's messages are parsed, and the user's rsync options must not apply.
        command.env("LC_ALL", "C").env_remove("RSYNC_OLD_ARGS");
        command.args(["-rltH", "--no-h", "--no-inc-recursive", "--outbuf=L"]);
        let Access { owners, modes, owner: (uid, gid), .. } = self.access;
        if modes {
            command.arg("-p");
        }
        if owners {
            command.args(["-og".to_owned(), format!("--chown={uid}:{gid}")]);
        }
        // The marker of a complete copy is written only when the copy is complete.
        command.arg(format!("--exclude=/{MARKER}"));
        command.arg(if self.keep { "--ignore-existing" } else { "--delete" });
        command
    }

    /// Adds source and target as the last arguments; for a folder, its content is copied into the target.
    fn ends<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let inside = |path: &Path| {
            let mut path = path.as_os_str().to_owned();
            path.push("/");
            PathBuf::from(path)
        };
        // The private folder is opened once; its path could lead to another folder by then.
        let to = match self.room {
            Some(_) => Path::new(".").join(self.to.file_name().unwrap_or_default()),
            None => self.to.to_owned(),
        };
        if let Some(room) = self.room {
            command.current_dir(room.folder());
        }
        match fs::symlink_metadata(self.from) {
            Ok(found) if found.is_dir() => command.arg(inside(self.from)).arg(inside(&to)),
            _ => command.arg(self.from).arg(to),
        }
    }

    fn shown(&self) -> PathBuf {
        self.room.map_or_else(|| self.to.to_owned(), Room::shown)
    }
}

/// Parses a line of `--info=progress2`: the number of bytes, and the rest as text.
fn progress(line: &str) -> Option<(u64, String)> {
    let mut words = line.split_ascii_whitespace();
    let bytes = words.next()?.parse().ok()?;
    let percent = words.next().filter(|word| word.ends_with('%'))?;
    let (rate, left) = (words.next()?, words.next()?);
    Some((bytes, format!("{percent} at {rate}, {left} to go")))
}

/// A size in readable units.
fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < units.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PLAIN: Access = Access { root: true, owners: false, modes: true, owner: (0, 0) };

    #[test]
    fn progress_and_sizes_are_readable() {
        assert_eq!(
            progress("      246635142  99%  867.93MB/s    0:00:01 (xfr#3930, to-chk=1/4171)"),
            Some((246_635_142, "99% at 867.93MB/s, 0:00:01 to go".to_owned()))
        );
        assert_eq!(progress("sending incremental file list"), None);
        for (bytes, text) in
            [(999, "999 B"), (1000, "1.0 kB"), (1_550_000, "1.5 MB"), (26_400_000_000, "26.4 GB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn an_unfinished_copy_is_continued_and_completed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from: a\nname"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "content").unwrap();
        fs::hard_link(from.join("sub/file"), from.join("same")).unwrap();
        symlink("sub/file", from.join("link")).unwrap();
        // An unfinished copy that was killed.
        fs::create_dir_all(to.join("sub")).unwrap();
        fs::write(to.join("sub/.file.x8Ejq2"), "con").unwrap();
        fs::write(to.join("sub/file"), "con").unwrap();
        let copy = Copy { from: &from, to: &to, keep: false, access: PLAIN, room: None };
        copy.run(|| true).unwrap();
        assert_eq!(fs::read_to_string(to.join("same")).unwrap(), "content");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/file"));
        assert_eq!(fs::read_dir(to.join("sub")).unwrap().count(), 1);
        // With `keep`, existing files stay.
        fs::write(to.join("same"), "mine").unwrap();
        fs::remove_file(to.join("link")).unwrap();
        fs::create_dir(to.join(BEGUN)).unwrap();
        Copy { keep: true, ..copy }.run(|| true).unwrap();
        assert!(!to.join(BEGUN).exists());
        assert_eq!(fs::read_to_string(to.join("same")).unwrap(), "mine");
        assert!(fs::symlink_metadata(to.join("link")).is_ok());
        let file = dir.path().join("file");
        Copy { from: &from.join("same"), to: &file, keep: false, access: PLAIN, room: None }
            .run(|| true)
            .unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
        let told = Copy { from: &dir.path().join("no"), to: &file, keep: false, access: PLAIN, room: None }
            .run(|| true);
        assert!(told.unwrap_err().contains("rsync"));
    }

    #[test]
    fn copy_that_does_not_fit_is_not_begun() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(&from).unwrap();
        // A sparse file of eight terabytes that takes no space here.
        let made = fs::File::create(from.join("sparse")).unwrap().set_len(1 << 43);
        made.unwrap();
        let told =
            Copy { from: &from, to: &to, keep: false, access: PLAIN, room: None }.run(|| true).unwrap_err();
        assert!(told.contains("takes 8") && told.contains("room for") && !to.exists(), "{told}");
    }
}
