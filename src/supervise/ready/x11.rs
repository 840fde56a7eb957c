//! Checks whether an X server accepts a client: the connection set-up of the X11 protocol, up to the server's first
//! answer. An existing or accepting socket is not enough: a server that hangs accepts, too.
//!
//! A server without `-noreset` resets when its last client disconnects, and the check may be that client.
//!
//! The protocol needs so little here (12 bytes and a key, 8 bytes of answer) that a library would be larger.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::plan::display_number;
use crate::sys::error::describe;
use crate::sys::{self, read};

/// The folder of the sockets of local displays.
const SOCKETS: &str = "/tmp/.X11-unix";

/// The only authorization that local servers use.
const PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";

/// The families of records for this machine: by its name, and for every address.
const LOCAL: [u16; 2] = [256, 0xffff];

/// The largest key file that is read, in bytes.
const LONGEST_FILE: u64 = 64 * 1024;

/// The longest reason of a server that is reported, in characters.
const LONGEST_REASON: usize = 120;

/// Tries to connect to `display` with the key in the file `xauthority`.
pub(super) async fn attempt(display: &str, xauthority: &str) -> Result<(), String> {
    let number = display_number(display).ok_or("it is not a display of this machine")?;
    let file = PathBuf::from(xauthority);
    // The file belongs to another user, who may have put anything there, on a disk that may hang.
    let key = sys::run_on_thread(move || read_key(&file, number)).await.and_then(|key| key);
    let socket = Path::new(SOCKETS).join(format!("X{number}"));
    let result = set_up(&socket, key.as_deref().unwrap_or_default()).await;
    match key {
        // Without a key, the server may accept the client all the same; if it refuses, the missing key is the reason.
        Err(error) => {
            result.map_err(|why| format!("{why} (without a key: {xauthority}: {})", describe(&error)))
        }
        Ok(_) => result,
    }
}

/// The handshake, with or without a key.
async fn set_up(socket: &Path, key: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection without an answer".to_owned(),
        _ => describe(&error),
    };
    let mut stream = connect(socket).await.map_err(failed)?;
    stream.write_all(&request(key)).await.map_err(failed)?;
    // The answer: success or not, the length of the reason, the protocol's version, the length of the rest.
    let mut head = [0; 8];
    stream.read_exact(&mut head).await.map_err(failed)?;
    match head[0] {
        1 => Ok(()),
        0 => {
            let mut reason = vec![0; usize::from(head[1])];
            stream.read_exact(&mut reason).await.map_err(failed)?;
            Err(format!("the server refused: {}", printable(&reason)))
        }
        2 => Err("the server wants another kind of authorization".to_owned()),
        other => Err(format!("{other} is no answer of an X server")),
    }
}

/// Connects to a server. A server also listens under the same name in the abstract namespace, where clients find it if
/// a cleaner of `/tmp` removed its file. The file is tried first: the abstract name may belong to another container's
/// server.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    match UnixStream::connect(socket).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            UnixStream::connect(abstract_name(socket)).await.map_err(|_| error)
        }
        connected => connected,
    }
}

fn abstract_name(socket: &Path) -> OsString {
    let mut name = OsString::from("\0");
    name.push(socket);
    name
}

/// The client's first message, in little endian: version 11.0 and the key.
fn request(key: &[u8]) -> Vec<u8> {
    let name = if key.is_empty() { &b""[..] } else { PROTOCOL };
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
    let mut bytes = vec![b'l', 0, 11, 0, 0, 0];
    bytes.extend(length(name));
    bytes.extend(length(key));
    bytes.extend([0, 0]);
    for field in [name, key] {
        bytes.extend(field);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn printable(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason);
    let text: String = text.trim_end_matches('\0').trim().chars().filter(|c| !c.is_control()).collect();
    text.chars().take(LONGEST_REASON).collect()
}

fn read_key(file: &Path, number: u32) -> io::Result<Vec<u8>> {
    // Root must not follow a link to another file.
    let bytes = read::all(read::open_itself(file)?, LONGEST_FILE)?;
    key(&bytes, number).ok_or_else(|| io::Error::other(format!("it holds no key to display :{number}")))
}

/// The key of display `number` from the bytes of an `Xauthority` file: records of a family and four fields (address,
/// number, protocol, key), each after its length; numbers are 16 bits, big endian.
fn key(mut bytes: &[u8], number: u32) -> Option<Vec<u8>> {
    let number = number.to_string();
    loop {
        let family = u16::from_be_bytes(*bytes.split_off(..2)?.first_chunk()?);
        let mut field = || {
            let length = u16::from_be_bytes(*bytes.split_off(..2)?.first_chunk()?);
            bytes.split_off(..usize::from(length))
        };
        let (_address, of, protocol, key) = (field()?, field()?, field()?, field()?);
        // A record without a number fits all displays. The machine's name may have changed since the record was made.
        let fits = LOCAL.contains(&family) && (of.is_empty() || of == number.as_bytes());
        if fits && protocol == PROTOCOL {
            return Some(key.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;

    use super::*;

    fn record(family: u16, number: &str, protocol: &[u8], key: &[u8]) -> Vec<u8> {
        let mut bytes = family.to_be_bytes().to_vec();
        for field in [b"host", number.as_bytes(), protocol, key] {
            bytes.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend(field);
        }
        bytes
    }

    #[test]
    fn the_key_is_that_of_the_display() {
        let file = [
            record(0, "0", PROTOCOL, b"internet"),
            record(256, "1", PROTOCOL, b"other"),
            record(256, "0", b"XDM-AUTHORIZATION-1", b"unknown"),
            record(256, "0", PROTOCOL, b"named"),
            record(0xffff, "", PROTOCOL, b"any"),
        ]
        .concat();
        for (number, expected) in [(0, &b"named"[..]), (1, b"other"), (7, b"any")] {
            assert_eq!(key(&file, number).as_deref(), Some(expected), "{number}");
        }
        assert_eq!(key(b"", 0), None);
        for end in 0..file.len() {
            // A file that is truncated, at any position.
            let found = key(&file[..end], 7);
            assert_eq!(found, None, "{end}");
        }
    }

    #[test]
    fn the_key_file_must_be_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(path("good"), record(0xffff, "", PROTOCOL, b"k")).unwrap();
        std::fs::write(path("empty"), "").unwrap();
        std::os::unix::fs::symlink(path("good"), path("link")).unwrap();
        assert_eq!(read_key(&path("good"), 0).unwrap(), b"k");
        for (name, told) in [
            ("pipe", "is a FIFO, expected a regular file"),
            ("empty", "it holds no key to display :0"),
            ("link", "is a symbolic link, expected a regular file"),
            ("none", "No such file or directory"),
        ] {
            assert_eq!(describe(&read_key(&path(name), 0).unwrap_err()), told, "{name}");
        }
    }

    #[test]
    fn a_request_has_the_form_of_the_protocol() {
        assert_eq!(request(b""), [b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let with_key = request(b"12345");
        assert_eq!(with_key[..12], [b'l', 0, 11, 0, 0, 0, 18, 0, 5, 0, 0, 0]);
        assert_eq!(with_key[12..], *b"MIT-MAGIC-COOKIE-1\0\x0012345\0\0\0");
    }

    #[tokio::test]
    async fn only_a_server_that_accepts_the_client_counts() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("X0");
        let refusal = b"\0\x15\x0b\0\0\0\x06\0No protocol specified\0\0\0".to_vec();
        for (answer, expected) in [
            (b"\x01\0\x0b\0\0\0\0\0".to_vec(), Ok(())),
            (refusal, Err("the server refused: No protocol specified")),
            (b"\x02\0\0\0\0\0\0\0".to_vec(), Err("the server wants another kind of authorization")),
            (b"HTTP/1.1".to_vec(), Err("72 is no answer of an X server")),
            (b"\x01\0".to_vec(), Err("the server closed the connection without an answer")),
        ] {
            let listener = UnixListener::bind(&socket).unwrap();
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 12 + 20 + 4];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            });
            assert_eq!(set_up(&socket, b"key!").await, expected.map_err(str::to_owned));
            server.await.unwrap();
            std::fs::remove_file(&socket).unwrap();
        }
        assert_eq!(set_up(&socket, b"").await, Err("No such file or directory".to_owned()));
    }

    #[tokio::test]
    async fn a_server_without_its_socket_file_is_found_by_its_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("X0");
        let listener = UnixListener::bind(abstract_name(&socket)).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"\x01\0\x0b\0\0\0\0\0").await.unwrap();
            stream
        });
        assert_eq!(set_up(&socket, b"").await, Ok(()));
        drop(server.await.unwrap());
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_sends_nothing_is_not_ready() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("X0");
        let _deaf = UnixListener::bind(&socket).unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(100), set_up(&socket, b""));
        assert!(waiting.await.is_err());
    }
}
