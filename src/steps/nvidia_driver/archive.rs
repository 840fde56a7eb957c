//! Reads NVIDIA's `.run` file without running it: a shell script of makeself, and after it a compressed tar archive.
//!
//! The script is not run, although it could unpack the archive: it would be a program out of the network that runs as
//! root. What is needed of it are a few lines at its beginning. `skip=N` says that the archive begins with line N of
//! the file; the label has architecture and version. Drivers until 525 are compressed by xz, later ones by zstd, the
//! oldest by gzip (release notes of 530.30.02). The sums in the script are not used: both xz and zstd check their own.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::GzDecoder;
use memchr::memchr_iter;

use super::source::Wanted;
use crate::steps::command::{self, Filtered};
use crate::sys::read;

/// How much of the script is searched for its variables. Bytes.
const BEGINNING: u64 = 64 << 10;

/// How far from the beginning of the file the archive may begin: the script also has programs for unpacking. Bytes.
const SCRIPT: u64 = 64 << 20;

/// How much an archive may become: a driver has 1 GB. Bytes.
const UNPACKED: u64 = 8 << 30;

/// What the script says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of the line with which the archive begins. The first line has number 1.
    pub(super) skip: u64,
    /// The architecture and the version, if the script says them.
    pub(super) driver: Option<(String, String)>,
}

impl Header {
    /// Reads the beginning of the file.
    pub(super) fn parse(beginning: &[u8]) -> Result<Self, String> {
        if !beginning.starts_with(b"#!") {
            let page = beginning.trim_ascii_start().starts_with(b"<");
            let what = if page { "it is a web page" } else { "it does not begin as a script" };
            return Err(format!("{what}, so it is not a driver of NVIDIA's"));
        }
        let lines = || beginning.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
        let value = |name: &str| {
            let line = lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(line.trim().trim_matches(['"', '\'']))
        };
        let skip = value("skip").ok_or("its script has no line skip=, so it is not a driver of NVIDIA's")?;
        let skip = skip.parse().ok().filter(|skip| (2..=10_000_000).contains(skip));
        let skip = skip.ok_or("the line skip= in its script has no number of a line")?;
        let driver = value("label").and_then(of_label).or_else(|| value("targetdir").and_then(of_folder));
        Ok(Self { skip, driver })
    }

    /// Whether the script is for another driver.
    pub(super) fn check(&self, wanted: &Wanted) -> Result<(), String> {
        let Wanted { version, arch } = wanted;
        match &self.driver {
            Some((other, _)) if other != arch => {
                Err(format!("it is the driver for {other}, and this machine is {arch}"))
            }
            Some((_, other)) if other != version => Err(format!(
                "it is the driver {other}, and the kernel's module is {version}: both must have the same version"
            )),
            _ => Ok(()),
        }
    }
}

/// `NVIDIA Accelerated Graphics Driver for Linux-x86_64 550.54.14`.
fn of_label(label: &str) -> Option<(String, String)> {
    let (arch, rest) = label.split_once(" for Linux-")?.1.split_once(' ')?;
    Some((arch.to_owned(), rest.split_whitespace().next()?.to_owned()))
}

/// `NVIDIA-Linux-x86_64-550.54.14`, perhaps with `-no-compat32` or `-pkg1` at the end.
fn of_folder(folder: &str) -> Option<(String, String)> {
    let mut parts = folder.strip_prefix("NVIDIA-Linux-")?.split('-');
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

/// Opens the archive in the file, at its beginning and uncompressed.
pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Limited, String> {
    let beginning = read::beginning(path, BEGINNING).map_err(|error| error.to_string())?;
    let header = Header::parse(&beginning)?;
    header.check(wanted)?;
    let opened = read::open(path).and_then(|mut file| {
        let at = line(&mut BufReader::with_capacity(1 << 16, &file), header.skip)?;
        file.seek(SeekFrom::Start(at))?;
        let mut magic = [0; 6];
        let length = file.read(&mut magic)?;
        file.seek(SeekFrom::Start(at))?;
        Ok((file, magic[..length].to_vec()))
    });
    let (file, magic) = opened.map_err(|error| error.to_string())?;
    let inner: Box<dyn Read + Send> = match &magic[..] {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::Decoder::new(file).map_err(|error| error.to_string())?)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(xz(file)?),
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(BufReader::new(file))),
        [] => return Err(format!("it ends before line {}, where its archive should begin", header.skip)),
        _ => return Err("its archive is compressed in an unknown way".to_owned()),
    };
    Ok(Limited { inner, left: UNPACKED })
}

fn xz(archive: File) -> Result<Filtered, String> {
    let mut xz = command::program("xz");
    xz.args(["--decompress", "--stdout", "--single-stream"]);
    let started = Filtered::start(&mut xz, archive);
    started.map_err(|error| format!("xz, which unpacks it, does not start: {error}; install xz-utils"))
}

/// The offset of a line.
fn line(file: &mut impl Read, number: u64) -> io::Result<u64> {
    let (mut before, mut at) = (1, 0);
    let mut chunk = vec![0; 1 << 16];
    while at < SCRIPT {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok(at);
        }
        for end in memchr_iter(b'\n', &chunk[..length]) {
            before += 1;
            if before == number {
                return Ok(at + end as u64 + 1);
            }
        }
        at += length as u64;
    }
    Err(io::Error::other(format!("line {number} is not within its first {} MiB", SCRIPT >> 20)))
}

/// The archive, which must not become larger than a driver.
pub(super) struct Limited {
    inner: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::other(format!("it becomes larger than {} GiB, and no driver is", UNPACKED >> 30))
        })?;
        Ok(length)
    }
}

impl Limited {
    /// Reads what is left, so that the check at the end of the compressed data is made.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match io::copy(&mut self, &mut io::sink()) {
            // Something else follows the archive: the first bytes are none of zstd's.
            Err(error) if error.to_string().contains("Unknown frame descriptor") => Ok(()),
            result => result.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_where_the_archive_begins_and_whose_driver_it_is() {
        let driver = |arch: &str, version: &str| Some((arch.to_owned(), version.to_owned()));
        let label = "label=\"NVIDIA Accelerated Graphics Driver for Linux-x86_64 550.54.14\"";
        for (text, expected) in [
            (format!("#!/bin/sh\nskip=1104\nCRCsum=1\n{label}\n"), Ok((1104, driver("x86_64", "550.54.14")))),
            (
                "#! /bin/sh\nskip=642\ntargetdir=NVIDIA-Linux-aarch64-535.1.2-no-compat32\n".to_owned(),
                Ok((642, driver("aarch64", "535.1.2"))),
            ),
            ("#!/bin/sh\n\n  skip=7\nskip=9\n\u{0}\u{0}\n".to_owned(), Ok((9, None))),
            ("#!/bin/sh\necho hello\n".to_owned(), Err("no line skip=")),
            ("#!/bin/sh\nskip=x\n".to_owned(), Err("no number of a line")),
            ("#!/bin/sh\nskip=1\n".to_owned(), Err("no number of a line")),
            ("#!/bin/sh\nskip=99999999999999999999\n".to_owned(), Err("no number of a line")),
            ("\n<!DOCTYPE html>".to_owned(), Err("web page")),
            (String::new(), Err("does not begin as a script")),
        ] {
            match (Header::parse(text.as_bytes()), expected) {
                (Ok(found), Ok((skip, driver))) => assert_eq!(found, Header { skip, driver }, "{text}"),
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{text}: {told}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_line_is_found_by_its_number() {
        let text = format!("{}\nsecond\nthird", "x".repeat(100_000));
        for (number, expected) in [(2, 100_001), (3, 100_008), (4, text.len() as u64)] {
            assert_eq!(line(&mut text.as_bytes(), number).unwrap(), expected, "{number}");
        }
        let error = line(&mut io::repeat(b'x'), 2).unwrap_err();
        assert!(error.to_string().contains("64 MiB"), "{error}");
    }
}
