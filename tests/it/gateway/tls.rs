//! TLS on the gateway's ports: which certificate is used, and which protocols run inside.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use desktopd::gateway::tls::{Files, Sources, Tls};
use desktopd::state::State;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use crate::daemon::world::run;
use crate::gateway::tls_client::{client, shake};
use crate::gateway::world::{PASSWORD, Response, TOKEN, USER, World, credentials, get, read_until, talk};

const SOON: Duration = Duration::from_secs(10);

/// A gateway with TLS, and its files.
struct Secure {
    world: World,
    tls: Tls,
    problems: watch::Receiver<Vec<String>>,
    files: Files,
    dir: TempDir,
}

impl Secure {
    /// Without a certificate from the user.
    async fn new() -> Self {
        Self::with(|_| false).await
    }

    /// With the files that `write` has made.
    async fn with(write: impl FnOnce(&Files) -> bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("desk.crt"), key: dir.path().join("desk.key") };
        let given = write(&files).then(|| files.clone());
        let (tls, problems) = open(dir.path(), given);
        let world = World::tuned(credentials(), |settings| settings.tls = Some(tls.clone())).await;
        Self { world, tls, problems, files, dir }
    }

    /// The certificate that a client gets now.
    async fn shown(&self) -> CertificateDer<'static> {
        certificate(&connect(self.world.port, &[]).await)
    }

    /// Waits until the certificate's problems satisfy `seen`.
    async fn until(&mut self, what: &str, seen: impl Fn(&[String]) -> bool) {
        let met = tokio::time::timeout(SOON, self.problems.wait_for(|problems| seen(problems))).await;
        assert!(met.is_ok_and(|met| met.is_ok()), "no {what} in {:?}", self.problems.borrow());
    }
}

fn open(dir: &Path, given: Option<Files>) -> (Tls, watch::Receiver<Vec<String>>) {
    let (state, problem) = State::open(&dir.join("state"), "one");
    assert_eq!(problem, None);
    let provider = Files { certificate: dir.join("none.crt"), key: dir.join("none.key") };
    let names = ["localhost", "127.0.0.1", "desk.example"].map(str::to_owned).to_vec();
    Tls::open(Sources { given, provider, names }, Arc::new(state))
}

/// A certificate with its key, as a user would provide it.
struct Given {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Given {
    fn new() -> Self {
        Self::until(OffsetDateTime::now_utc() + time::Duration::days(90))
    }

    fn until(end: OffsetDateTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["desk.example".to_owned()]).unwrap();
        params.not_before = end - time::Duration::days(100);
        params.not_after = end;
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    fn write_certificate(&self, files: &Files) {
        replace(&files.certificate, &self.certificate.pem());
    }

    fn write_key(&self, files: &Files) {
        replace(&files.key, &self.key.serialize_pem());
    }

    fn write(&self, files: &Files) -> bool {
        self.write_certificate(files);
        self.write_key(files);
        true
    }
}

/// Writes the files.
type Write<'a> = &'a dyn Fn(&Files);

/// As careful tools do it: the files may be read at any moment.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, path).unwrap();
}

async fn connect(port: u16, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    shake(port, client(None, protocols), "desk.example").await.unwrap()
}

fn certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// One request on an open connection; the service's answers have a length.
async fn ask_on(stream: &mut TlsStream<TcpStream>, path: &str, headers: &str) -> Response {
    let raw = format!("GET {path} HTTP/1.1\r\nHost: desk.example:6100\r\n{headers}\r\n");
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let response = Response::parse(&text);
                let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
                assert!(!head.contains("chunked"), "{head}");
                if body.len() >= length {
                    return response;
                }
            }
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "ended after {text:?}");
        }
    };
    tokio::time::timeout(SOON, read).await.expect("no answer")
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

#[tokio::test]
async fn every_port_speaks_http_and_https_from_the_start() {
    let secure = Secure::new().await;
    for port in [secure.world.port, secure.world.pages] {
        // The client does not wait: the handshake does.
        let mut stream = connect(port, &[b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(ask_on(&mut stream, "/desktopd/health", "").await.status, 200);
        assert_eq!(get(port, "/desktopd/health", "").await.status, 200);
        let stream = connect(port, &[b"h2", b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut stream = connect(port, &[]).await;
        assert_eq!(ask_on(&mut stream, "/desktopd/health", "").await.status, 200);
        // A client that began with TLS gets no answer in plain text.
        let answer = talk(port, "\u{16}GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(!answer.contains("HTTP/"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_generated_certificate_has_the_machines_names_and_is_kept() {
    let secure = Secure::new().await;
    let ours = secure.shown().await;
    for name in ["localhost", "127.0.0.1", "desk.example"] {
        shake(secure.world.port, client(Some(&ours), &[]), name).await.unwrap();
    }
    let foreign = shake(secure.world.port, client(Some(&ours), &[]), "evil.example").await;
    assert!(foreign.unwrap_err().to_string().contains("not valid for name"));
    let (tls, _) = open(secure.dir.path(), None);
    let again = World::tuned(credentials(), |settings| settings.tls = Some(tls)).await;
    assert_eq!(certificate(&connect(again.port, &[]).await), ours);
    assert!(secure.problems.borrow().is_empty(), "{:?}", secure.problems.borrow());
}

#[tokio::test]
async fn a_given_certificate_is_used_even_when_expired() {
    let given = Given::new();
    let secure = Secure::with(|files| given.write(files)).await;
    let stream = shake(secure.world.port, client(Some(given.certificate.der()), &[]), "desk.example").await;
    assert_eq!(&certificate(&stream.unwrap()), given.certificate.der());
    assert!(secure.problems.borrow().is_empty(), "{:?}", secure.problems.borrow());

    let expired = Given::until(OffsetDateTime::now_utc() - time::Duration::days(1));
    let mut secure = Secure::with(|files| expired.write(files)).await;
    assert_eq!(&secure.shown().await, expired.certificate.der());
    let refused =
        shake(secure.world.port, client(Some(expired.certificate.der()), &[]), "desk.example").await;
    assert!(refused.unwrap_err().to_string().contains("expired"));
    let name = secure.files.certificate.display().to_string();
    secure.until("warning", |p| p.len() == 1 && p[0].contains(&name) && p[0].contains("it expired on")).await;
}

/// RSA, and keys in the formats that were usual before PKCS#8: made by openssl, which most people use.
#[tokio::test]
async fn certificates_made_by_openssl_are_used() {
    for (make, form) in [
        (&["genrsa", "-traditional", "-out", "KEY", "2048"][..], "-----BEGIN RSA PRIVATE KEY-----"),
        (&["genrsa", "-out", "KEY", "2048"], "-----BEGIN PRIVATE KEY-----"),
        (&["ecparam", "-genkey", "-name", "prime256v1", "-out", "KEY"], "-----BEGIN EC PRIVATE KEY-----"),
    ] {
        let secure = Secure::with(|files| {
            let settings = files.key.with_extension("conf");
            let text = "[req]\ndistinguished_name = of\nx509_extensions = more\n[of]\n\
                        [more]\nsubjectAltName = DNS:desk.example\n";
            std::fs::write(&settings, text).unwrap();
            let [key, certificate, settings] =
                [&files.key, &files.certificate, &settings].map(|path| path.to_str().unwrap());
            let make: Vec<&str> = make.iter().map(|word| if *word == "KEY" { key } else { word }).collect();
            run(&[&["openssl"], &*make].concat());
            let sign = ["openssl", "req", "-x509", "-new", "-days", "2", "-subj", "/CN=desk.example"];
            run(&[&sign[..], &["-config", settings, "-key", key, "-out", certificate]].concat());
            true
        })
        .await;
        let made = std::fs::read_to_string(&secure.files.key).unwrap();
        assert!(made.contains(form), "{form}");
        assert_eq!(*secure.problems.borrow(), [""; 0], "{form}");
        let given = std::fs::read(&secure.files.certificate).unwrap();
        assert_eq!(secure.shown().await, CertificateDer::from_pem_slice(&given).unwrap(), "{form}");
    }
}

#[tokio::test]
async fn an_unusable_certificate_is_reported_and_never_disables_tls() {
    let (one, other) = (Given::new(), Given::new());
    let cases: [(&str, Write<'_>); 4] = [
        ("is made for the key in", &|files| {
            one.write_certificate(files);
            other.write_key(files);
        }),
        ("desk.crt: No such file", &|files| one.write_key(files)),
        ("desk.key: No such file", &|files| one.write_certificate(files)),
        ("desk.key: it holds no private key", &|files| {
            one.write_certificate(files);
            replace(&files.key, "-----BEGIN NONSENSE-----\n");
        }),
    ];
    for (words, write) in cases {
        let mut secure = Secure::with(|files| {
            write(files);
            true
        })
        .await;
        let shown = secure.shown().await;
        assert_ne!(&shown, one.certificate.der());
        shake(secure.world.port, client(Some(&shown), &[]), "desk.example").await.unwrap();
        secure.until(words, |p| p.len() == 1 && p[0].contains(words) && p[0].contains("self-signed")).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_without_closing_connections() {
    let (old, new) = (Given::new(), Given::new());
    let mut secure = Secure::with(|files| old.write(files)).await;
    let mut open = connect(secure.world.port, &[b"http/1.1"]).await;
    assert_eq!(&certificate(&open), old.certificate.der());
    assert_eq!(ask_on(&mut open, "/desktopd/health", "").await.status, 200);

    // Half of a new pair is not used.
    new.write_certificate(&secure.files);
    secure.until("the half pair", |p| p.iter().any(|p| p.contains("stays in use"))).await;
    assert_eq!(&secure.shown().await, old.certificate.der());
    new.write_key(&secure.files);
    secure.until("silence", <[String]>::is_empty).await;
    assert_eq!(&secure.shown().await, new.certificate.der());
    assert_eq!(ask_on(&mut open, "/desktopd/health", "").await.status, 200);

    // Written in place, and then removed: the certificate that was read last stays in use.
    std::fs::write(&secure.files.key, old.key.serialize_pem()).unwrap();
    std::fs::write(&secure.files.certificate, old.certificate.pem()).unwrap();
    let tls = secure.tls.clone();
    let met = tokio::time::timeout(SOON, async {
        loop {
            secure.problems.changed().await.unwrap();
            if &secure.shown().await == old.certificate.der() {
                return;
            }
        }
    });
    met.await.expect("the old pair again");
    std::fs::remove_file(&secure.files.certificate).unwrap();
    secure.until("the missing file", |p| p.iter().any(|p| p.contains("stays in use"))).await;
    assert_eq!(&secure.shown().await, old.certificate.der());
    assert_eq!(ask_on(&mut open, "/desktopd/health", "").await.status, 200);
    drop(tls);
}

#[tokio::test]
async fn a_certificate_that_comes_late_replaces_the_generated_one() {
    let given = Given::new();
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("certs/live");
    let files = Files { certificate: late.join("desk.crt"), key: late.join("desk.key") };
    let (tls, mut problems) = open(folder.path(), Some(files.clone()));
    let world = World::tuned(credentials(), |settings| settings.tls = Some(tls)).await;
    assert_ne!(&certificate(&connect(world.port, &[]).await), given.certificate.der());
    std::fs::create_dir_all(&late).unwrap();
    // New folders are noticed one after the other.
    given.write(&files);
    let quiet = tokio::time::timeout(SOON, problems.wait_for(Vec::is_empty)).await;
    quiet.expect("the files are found").unwrap();
    assert_eq!(&certificate(&connect(world.port, &[]).await), given.certificate.der());
}

#[tokio::test]
async fn a_certificate_that_is_a_pipe_is_refused_until_there_is_a_file() {
    let fifo = |files: &Files| nix::unistd::mkfifo(&files.certificate, nix::sys::stat::Mode::S_IRWXU).is_ok();
    let given = Given::new();
    let mut secure = Secure::with(|files| fifo(files)).await;
    assert_ne!(&secure.shown().await, given.certificate.der());
    secure.until("the pipe", |p| p.len() == 1 && p[0].contains("is a FIFO, expected a regular file")).await;
    std::fs::remove_file(&secure.files.certificate).unwrap();
    given.write_key(&secure.files);
    std::fs::write(&secure.files.certificate, given.certificate.pem()).unwrap();
    secure.until("silence", <[String]>::is_empty).await;
    assert_eq!(&secure.shown().await, given.certificate.der());
}

#[tokio::test]
async fn services_see_https_and_a_login_works_there() {
    let secure = Secure::new().await;
    let world = &secure.world;
    let mut stream = connect(world.port, &[b"http/1.1"]).await;
    assert_eq!(ask_on(&mut stream, "/page", &bearer()).await.status, 200);
    let last = world.service.last();
    assert!(last.contains("\r\nx-forwarded-proto: https\r\n"), "{last}");
    get(world.port, "/page", &bearer()).await;
    assert!(world.service.last().contains("\r\nx-forwarded-proto: http\r\n"));

    let form = format!("user={USER}&password={}", PASSWORD.replace(' ', "%20").replace('ü', "%C3%BC"));
    let raw = format!(
        "POST /desktopd/login HTTP/1.1\r\nHost: desk.example:6100\r\nOrigin: https://desk.example:6100\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    );
    let mut stream = connect(world.port, &[]).await;
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end");
    let answer = Response::parse(&String::from_utf8_lossy(&answer));
    assert_eq!(answer.status, 303, "{}", answer.head);
    let cookie = format!("Cookie: {}\r\n", answer.cookie());
    let mut stream = connect(world.port, &[]).await;
    assert_eq!(ask_on(&mut stream, "/page", &cookie).await.status, 200);

    // The same browser by plain http: another cookie, and each cookie is valid for its own scheme only.
    assert!(answer.cookie().starts_with("__Host-"));
    assert!(answer.header("set-cookie").unwrap().ends_with("; SameSite=Lax; Secure"));
    assert_eq!(get(world.port, "/page", &cookie).await.status, 401);
    let plain = world.cookie().await;
    assert_eq!(
        answer.cookie().split('=').next(),
        Some(&*format!("__Host-{}", plain.split('=').next().unwrap()))
    );
    let by_https = async |cookie: &str| {
        let mut stream = connect(world.port, &[]).await;
        ask_on(&mut stream, "/page", &format!("Cookie: {cookie}\r\n")).await.status
    };
    assert_eq!((by_https(&plain).await, by_https(&format!("__Host-{plain}")).await), (401, 401));
    assert_eq!(by_https(&format!("{plain}; {}", answer.cookie())).await, 200);
    let last = world.service.last();
    assert!(!last.to_lowercase().contains("cookie"), "{last}");
    assert_eq!(get(world.port, "/page", &format!("Cookie: {plain}\r\n")).await.status, 200);
}

#[tokio::test]
async fn websockets_work_over_tls() {
    let secure = Secure::new().await;
    let mut stream = connect(secure.world.port, &[b"http/1.1"]).await;
    let raw = format!(
        "GET /ws HTTP/1.1\r\nHost: desk.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{}\r\nping",
        bearer()
    );
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let echo = async {
        while !seen.ends_with(b"hello ping") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
    };
    tokio::time::timeout(SOON, echo).await.expect("the service's words");
    assert!(seen.starts_with(b"HTTP/1.1 101 "));
    // The same on the same port without TLS.
    let mut plain = TcpStream::connect(("127.0.0.1", secure.world.port)).await.unwrap();
    plain.write_all(raw.as_bytes()).await.unwrap();
    read_until(&mut plain, "hello ping").await;
}
