//! Reads files safely. All reads of files go through this module: only regular files, without waiting for another
//! process, and up to a size limit.
//!
//! A name may lead to a FIFO, whose opening waits for a writer, to a device without an end, or to a file of many
//! gigabytes. None of them may block or kill the reading process. A file on a dead volume still blocks its reader:
//! reads in places that people can mount go through `with_timeout` as well.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

/// Size limit for a file that is written by hand or by a tool: configuration, scripts, lists, keys. Bytes.
pub const BY_HAND: u64 = 1 << 20;

/// Size limit for a file that the kernel generates, such as the list of mounts. Bytes.
const BY_KERNEL: u64 = 16 << 20;

/// How many entries of a directory [`names_where`] looks at.
pub const ENTRIES: usize = 20_000;

/// Flags for opening a file: without waiting for the other end of a FIFO, and never as the controlling terminal. The
/// standard library adds `O_CLOEXEC`.
fn flags() -> i32 {
    (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

/// Opens a regular file. The error for any other kind says what was found.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, 0)
}

/// Like [`open`], and refuses a symbolic link.
pub fn open_itself(path: &Path) -> io::Result<File> {
    open_with(path, OFlags::NOFOLLOW.bits().cast_signed())
}

fn open_with(path: &Path, more: i32) -> io::Result<File> {
    // Opening a device can have side effects, so only a regular file is opened.
    let found = if more == 0 { fs::metadata(path) } else { fs::symlink_metadata(path) }?;
    regular(&found)?;
    let file = OpenOptions::new().read(true).custom_flags(flags() | more).open(path)?;
    // Another process may have changed what the name leads to.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Refuses everything that is not a regular file.
pub fn regular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    Err(io::Error::other(format!("is a {}, expected a regular file", kind(found.file_type()))))
}

fn kind(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "directory",
        _ if kind.is_fifo() => "FIFO",
        _ if kind.is_socket() => "socket",
        _ if kind.is_char_device() => "character device",
        _ if kind.is_block_device() => "block device",
        _ if kind.is_symlink() => "symbolic link",
        _ => "special file",
    }
}

/// All bytes of a file, which must not be longer than `limit`.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    all(open(path)?, limit)
}

/// All bytes of an open file, or of another stream, which must not be longer than `limit`.
pub fn all(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {}", size(limit))));
    }
    Ok(bytes)
}

/// The text of a file, which must not be longer than `limit`.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = bytes(path, limit)?;
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "is not text in UTF-8");
    String::from_utf8(bytes).map_err(wrong)
}

/// The first `limit` bytes of a file.
pub fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last `limit` bytes of a file, and whether the file has more before them.
pub fn ending(path: &Path, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = open(path)?;
    let before = file.metadata()?.len().saturating_sub(limit);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    // A file that grows meanwhile must not have more bytes than the limit.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok((bytes, before > 0))
}

/// The content of a file of `/proc` or `/sys`; empty if the file cannot be read.
pub fn kernel(path: impl AsRef<Path>) -> Vec<u8> {
    beginning(path.as_ref(), BY_KERNEL).unwrap_or_default()
}

/// Like [`kernel`], as text.
pub fn kernel_text(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&kernel(path)).into_owned()
}

/// A folder of `/proc` or `/sys` whose files are read again and again. A file costs three calls of the kernel, half of
/// what [`kernel`] costs; files there are always regular and never longer than a page or two.
pub struct KernelFolder {
    folder: File,
    buffer: Vec<u8>,
    /// For entries of the folder. It stays empty; only its room is used.
    entries: Vec<u8>,
}

impl KernelFolder {
    /// How much of a file is read. Bytes.
    const MOST: usize = 16 << 10;

    /// The kernel hands out a longer file in pieces that are at least this long, except for the last one. Bytes.
    const PIECE: usize = 2048;

    /// Opens the folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (buffer, entries) = (vec![0; Self::MOST], Vec::with_capacity(Self::MOST));
        Ok(Self { folder: folder(path)?, buffer, entries })
    }

    /// The beginning of a file, by its path below the folder; `None` if the file cannot be read.
    pub fn file(&mut self, path: &str) -> Option<&[u8]> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(&self.folder, path, flags, rustix::fs::Mode::empty()).ok()?;
        let mut length = 0;
        while length < self.buffer.len() {
            let more = retry_on_intr(|| rustix::io::read(&file, &mut self.buffer[length..])).ok()?;
            length += more;
            if more < Self::PIECE {
                break;
            }
        }
        Some(&self.buffer[..length])
    }

    /// Collects the numbers among the names in the folder, in the kernel's order: those of processes in `/proc`. Returns
    /// whether there are more than `most`.
    pub fn numbers(&mut self, most: usize, into: &mut Vec<i32>) -> bool {
        into.clear();
        if rustix::fs::seek(&self.folder, rustix::fs::SeekFrom::Start(0)).is_err() {
            return false;
        }
        let mut entries = rustix::fs::RawDir::new(&self.folder, self.entries.spare_capacity_mut());
        while let Some(Ok(entry)) = entries.next() {
            if let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                if into.len() >= most {
                    return true;
                }
                into.push(number);
            }
        }
        false
    }
}

/// The names of the entries of a directory, sorted; none if it cannot be read.
pub fn names(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

/// The names in a directory that are text and that `wanted` accepts, sorted. At most [`ENTRIES`] entries are looked at
/// and at most `most` names are returned, so that a directory with a million entries costs little; also returns whether
/// there may be more.
pub fn names_where(folder: &Path, most: usize, wanted: impl Fn(&str) -> bool) -> (Vec<String>, bool) {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = Vec::new();
    let mut seen = 0;
    for entry in entries.by_ref().take(ENTRIES) {
        seen += 1;
        names.extend(entry.file_name().into_string().ok().filter(|name| wanted(name)));
        if names.len() >= most {
            break;
        }
    }
    names.sort();
    let more = (names.len() >= most || seen >= ENTRIES) && entries.next().is_some();
    (names, more)
}

/// Opens a directory, to lock it or to sync it to the disk.
pub fn folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags() | OFlags::DIRECTORY.bits().cast_signed()).open(path)
}

/// Syncs a file or a directory to the disk.
pub fn sync(path: &Path) -> io::Result<()> {
    let file = if fs::metadata(path)?.is_dir() { folder(path) } else { open(path) };
    file?.sync_all()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "1234").unwrap();
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (link, to) in [("zero", "/dev/zero"), ("link", "file"), ("to-fifo", "fifo"), ("gone", "nothing")]
        {
            symlink(to, at(link)).unwrap();
        }
        for (name, limit, expected) in [
            ("file", 4, "1234"),
            ("link", 4, "1234"),
            ("file", 3, "is larger than 3 bytes"),
            ("fifo", 4, "is a FIFO, expected a regular file"),
            ("to-fifo", 4, "is a FIFO, expected a regular file"),
            ("socket", 4, "is a socket, expected a regular file"),
            ("zero", 4, "is a character device, expected a regular file"),
            (".", 4, "is a directory, expected a regular file"),
            ("gone", 4, "No such file or directory (os error 2)"),
        ] {
            let found = text(&at(name), limit).unwrap_or_else(|error| error.to_string());
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(
            open_itself(&at("link")).unwrap_err().to_string(),
            "is a symbolic link, expected a regular file"
        );
        assert_eq!(beginning(&at("file"), 2).unwrap(), b"12");
        assert_eq!(ending(&at("file"), 3).unwrap(), (b"234".to_vec(), true));
        assert_eq!(ending(&at("file"), 4).unwrap(), (b"1234".to_vec(), false));
        assert_eq!(
            text(Path::new("/dev/null"), 1).unwrap_err().to_string(),
            "is a character device, expected a regular file"
        );
        assert!(kernel_text("/proc/self/mountinfo").contains(" / "));
        sync(dir.path()).unwrap();
        sync(&at("file")).unwrap();
    }

    #[test]
    fn files_of_the_kernel_are_read_whole_up_to_the_limit_and_numbers_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let long = "0123456789".repeat(1000);
        fs::create_dir(dir.path().join("12")).unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        for (name, text) in
            [("12/stat", "a b\n"), ("long", &long), ("longer", &long.repeat(3)), ("empty", "")]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut folder = KernelFolder::open(dir.path()).unwrap();
        assert_eq!(folder.file("12/stat"), Some(&b"a b\n"[..]));
        assert_eq!(folder.file("long").unwrap().len(), 10_000);
        assert_eq!(folder.file("longer").unwrap().len(), KernelFolder::MOST);
        assert_eq!(folder.file("empty"), Some(&b""[..]));
        assert_eq!(folder.file("nothing"), None);
        let mut numbers = vec![3];
        for _ in 0..2 {
            assert!(!folder.numbers(9, &mut numbers));
            numbers.sort_unstable();
            assert_eq!(numbers, [7, 12]);
        }
        assert!(folder.numbers(1, &mut numbers) && numbers.len() == 1);
        let mut proc = KernelFolder::open(Path::new("/proc")).unwrap();
        assert!(proc.file("self/mounts").is_some_and(|text| text.ends_with(b"\n")));
        proc.numbers(usize::MAX, &mut numbers);
        assert!(numbers.contains(&std::process::id().cast_signed()));
    }

    #[test]
    fn the_names_of_a_large_directory_are_limited() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["card0", "card1", "card0-DP-1", "other"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let cards = |most| names_where(dir.path(), most, |name| name.starts_with("card"));
        assert_eq!(cards(9), (["card0", "card0-DP-1", "card1"].map(str::to_owned).to_vec(), false));
        assert_eq!(cards(1).0.len(), 1);
        assert_eq!(names_where(&dir.path().join("nothing"), 9, |_| true), (Vec::new(), false));
    }
}
