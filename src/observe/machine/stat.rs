//! The lines in which the kernel describes a process.

use crate::sys::terminal::safe_line;

/// The name of a process, as the kernel has it: at most 15 bytes, of which a program may choose all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    bytes: [u8; Self::MOST],
    length: usize,
}

impl Name {
    const MOST: usize = 15;

    /// From a line of `/proc/PID/stat`, whose second field is the name in brackets. A longer name, as threads of the
    /// kernel have, is cut.
    pub(super) fn parse(line: &[u8]) -> Self {
        let begin = line.iter().position(|byte| *byte == b'(').map_or(line.len(), |at| at + 1);
        let end = line.iter().rposition(|byte| *byte == b')').unwrap_or(0);
        let name = line.get(begin..end).unwrap_or_default();
        let length = name.len().min(Self::MOST);
        let mut bytes = [0; Self::MOST];
        bytes[..length].copy_from_slice(&name[..length]);
        Self { bytes, length }
    }

    /// As a text without control characters.
    pub(super) fn text(&self) -> String {
        safe_line(&String::from_utf8_lossy(&self.bytes[..self.length])).into_owned()
    }
}

/// What is used of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    /// Whether it has ended and its parent has not collected it yet.
    pub(super) zombie: bool,
    pub(super) parent: i32,
    pub(super) session: i32,
    /// Its processor time, in the kernel's unit.
    pub(super) own: u64,
    /// That of its children that have ended.
    pub(super) children: u64,
    /// When it started. With the number, this names a process: numbers are used again.
    pub(super) start: u64,
}

impl Stat {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        // The name may hold anything, brackets as well.
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let mut fields = line[end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let zombie = matches!(fields.next()?, b"Z" | b"X");
        let parent = number(fields.next()?)?;
        let session = number(fields.nth(1)?)?;
        // The fields are counted from 1 in proc(5): the session is the 6th, and the times begin at the 14th.
        let own = number::<u64>(fields.nth(7)?)? + number::<u64>(fields.next()?)?;
        let children = number::<u64>(fields.next()?)? + number::<u64>(fields.next()?)?;
        let start = number(fields.nth(4)?)?;
        Some(Self { zombie, parent, session, own, children, start })
    }
}

/// The pages of `/proc/PID/statm` that belong to the process alone: those in memory without those of files and shared
/// ones.
pub(super) fn own_pages(line: &[u8]) -> Option<u64> {
    let mut fields = line.split(|byte| *byte == b' ').skip(1);
    let (resident, shared) = (number::<u64>(fields.next()?)?, number::<u64>(fields.next()?)?);
    Some(resident.saturating_sub(shared))
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_kernel_are_parsed_whatever_a_process_is_called() {
        let line =
            b"812 (a) S 3 (b)) S 7 812 811 0 -1 4194560 950 20000 1 7 150 50 300 20 20 0 3 0 90210 5 6 7\n";
        let expected = Stat { zombie: false, parent: 7, session: 811, own: 200, children: 320, start: 90210 };
        assert_eq!(Stat::parse(line), Some(expected));
        for (line, name) in [
            (&line[..], "a) S 3 (b)"),
            (b"9 (sh) Z 1", "sh"),
            (b"9 (a-name-that-is-long) S", "a-name-that-is-"),
            (b"9 (a\x1b[2J) S", "a\\x1b[2J"),
            (b"9 () S", ""),
            (b"9 (sh", ""),
            (b"9 )sh(", ""),
            (b"", ""),
        ] {
            assert_eq!(Name::parse(line).text(), name);
        }
        let zombie = b"9 (sh) Z 1 9 9 0 -1 4 0 0 0 0 1 2 3 4 20 0 1 0 77 0 0";
        assert!(Stat::parse(zombie).unwrap().zombie);
        for line in
            [&b""[..], b"9 (sh", b"9 (sh) S 1 9", b"9 (sh) S x 9 9 0 -1 4 0 0 0 0 1 2 3 4 20 0 1 0 77"]
        {
            assert_eq!(Stat::parse(line), None);
        }
        let own = std::fs::read("/proc/self/stat").unwrap();
        assert!(Stat::parse(&own).unwrap().start > 0);
        assert_eq!(own_pages(b"5000 1200 200 10 0 900 0\n"), Some(1000));
        assert_eq!(own_pages(b"5000 100 200 10 0 900 0\n"), Some(0));
        assert_eq!(own_pages(b"\n"), None);
    }
}
