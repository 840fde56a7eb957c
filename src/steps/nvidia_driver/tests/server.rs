//! A server on loopback that misbehaves as the test asks: it cuts, continues, refuses and hangs.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The answer to one request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: &'static str,
    body: Vec<u8>,
    tag: Option<&'static str>,
    date: Option<&'static str>,
    /// How many bytes of the body are sent.
    cut: Option<usize>,
    /// The length that is said instead of the real one.
    length: Option<u64>,
    endless: bool,
    silent: bool,
    wrong_range: bool,
}

impl Answer {
    pub(super) fn file(body: Vec<u8>) -> Self {
        Self {
            status: "200 OK",
            body,
            tag: None,
            date: None,
            cut: None,
            length: None,
            endless: false,
            silent: false,
            wrong_range: false,
        }
    }

    pub(super) fn status(status: &'static str) -> Self {
        Self { status, ..Self::file(Vec::new()) }
    }

    /// Says this length and sends nothing.
    pub(super) fn announced(length: u64) -> Self {
        Self { length: Some(length), ..Self::file(Vec::new()) }
    }

    /// Data without a length and without an end.
    pub(super) fn endless() -> Self {
        Self { endless: true, ..Self::file(Vec::new()) }
    }

    /// No answer at all.
    pub(super) fn silent() -> Self {
        Self { silent: true, ..Self::file(Vec::new()) }
    }

    pub(super) fn tag(self, tag: &'static str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub(super) fn date(self, date: &'static str) -> Self {
        Self { date: Some(date), ..self }
    }

    pub(super) fn cut(self, after: usize) -> Self {
        Self { cut: Some(after), ..self }
    }

    pub(super) fn wrong_range(self) -> Self {
        Self { wrong_range: true, ..self }
    }
}

/// Paths with their answers: of several answers for a path, each but the last is given once.
type Answers = Vec<(String, Answer)>;

pub(super) struct Server {
    pub(super) url: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new(answers: &[(&str, Answer)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, answers: Arc::default(), asked: Arc::default() };
        server.set(answers);
        let (answers, asked) = (Arc::clone(&server.answers), Arc::clone(&server.asked));
        // Ends with the test's process.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                held.push(std::thread::spawn(move || serve(stream, &answers, &asked)));
            }
        });
        server
    }

    pub(super) fn set(&self, answers: &[(&str, Answer)]) {
        *self.answers.lock().unwrap() =
            answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
    }

    /// The heads of all requests; behind each, `answered 206` if it got a part.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(super) fn answered_by_part(head: &str) -> bool {
    head.ends_with("answered 206")
}

fn serve(mut stream: TcpStream, answers: &Mutex<Answers>, asked: &Mutex<Vec<String>>) {
    let Some(head) = head(&mut stream) else { return };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut answers = answers.lock().unwrap();
        let of_path: Vec<usize> = (0..answers.len()).filter(|at| answers[*at].0 == path).collect();
        match of_path[..] {
            [] => Answer::status("404 Not Found"),
            [only] => answers[only].1.clone(),
            [first, ..] => answers.remove(first).1,
        }
    };
    let value = |name: &str| {
        let line = head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(str::to_owned)
    };
    let from =
        value("range").and_then(|range| range.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
    let same = value("if-range").is_none_or(|known| [answer.tag, answer.date].contains(&Some(&known)));
    let from: Option<usize> = from.filter(|from| same && *from <= answer.body.len());
    let note = if from.is_some() { "answered 206" } else { "" };
    asked.lock().unwrap().push(format!("{head}{note}"));
    if answer.silent {
        // Until the other side gives up.
        let _ = stream.read(&mut [0; 1]);
        return;
    }
    let body = &answer.body[from.unwrap_or(0)..];
    let mut text =
        format!("HTTP/1.1 {}\r\nConnection: close\r\n", from.map_or(answer.status, |_| "206 Partial"));
    if let Some(from) = from {
        let first = if answer.wrong_range { 0 } else { from };
        let _ = write!(text, "Content-Range: bytes {first}-{0}/{0}\r\n", answer.body.len());
    }
    for (name, value) in [("ETag", answer.tag), ("Last-Modified", answer.date)] {
        if let Some(value) = value {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    if !answer.endless {
        let _ = write!(text, "Content-Length: {}\r\n", answer.length.unwrap_or(body.len() as u64));
    }
    let sent = answer.cut.unwrap_or(body.len()).min(body.len());
    let _ = stream.write_all((text + "\r\n").as_bytes());
    let _ = stream.write_all(&body[..sent]);
    while answer.endless && stream.write_all(&[b'x'; 1 << 14]).is_ok() {}
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
