//! Tests against a real server on loopback that misbehaves as the test asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Limits short enough for a test.
const SHORT: Limits = Limits {
    connection: Duration::from_secs(5),
    silence: Duration::from_millis(300),
    whole: Duration::from_secs(20),
    size: 64 << 10,
    tries: 3,
    wait: Duration::from_millis(5),
};

const SCRIPT: &str = "#!/bin/bash\necho hello\n";

/// The behaviour of a server for one request.
#[derive(Clone)]
enum Answer {
    Text(String),
    /// The beginning of a response, and nothing after it.
    Silent(&'static str),
    /// The beginning, then data without end.
    Endless(&'static str),
}

fn ok(body: &str) -> Answer {
    Answer::Text(format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn status(line: &str) -> Answer {
    Answer::Text(format!("HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
}

struct Server {
    address: String,
    asked: Arc<AtomicUsize>,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
}

/// Answers one request after the other; the last answer is repeated for ever.
async fn server(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, heads) = (Arc::<AtomicUsize>::default(), Arc::<std::sync::Mutex<Vec<String>>>::default());
    let server = Server { address, asked: Arc::clone(&asked), heads: Arc::clone(&heads) };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let at = asked.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let (answer, heads) = (answers[at].clone(), Arc::clone(&heads));
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                heads.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let (head, endless) = match &answer {
                    Answer::Text(text) => return drop(stream.write_all(text.as_bytes()).await),
                    Answer::Silent(head) => (head, false),
                    Answer::Endless(head) => (head, true),
                };
                let _ = stream.write_all(head.as_bytes()).await;
                while endless && stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                std::future::pending::<()>().await;
            });
        }
    });
    server
}

async fn get(address: &str, limits: &Limits) -> Result<String, String> {
    let body = Source::parse(address)?.get(limits).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn temporary_errors_are_retried_and_permanent_errors_are_reported_at_once() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let page = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\n\r\n";
    let here = Answer::Text(
        "HTTP/1.1 302 Found\r\nLocation: /x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into(),
    );
    let cut = Answer::Text(format!("{HEAD}Content-Length: 999\r\n\r\n{SCRIPT}"));
    for (answers, expected, times) in [
        (vec![ok(SCRIPT)], Ok(()), 1),
        (vec![status("500 No"), status("503 No"), ok(SCRIPT)], Ok(()), 3),
        (vec![status("429 Slow"), ok(SCRIPT)], Ok(()), 2),
        (vec![cut.clone(), ok(SCRIPT)], Ok(()), 2),
        (vec![here.clone(), ok(SCRIPT)], Ok(()), 2),
        (vec![Answer::Text(format!("{page}{SCRIPT}"))], Ok(()), 1),
        (vec![status("500 No")], Err("500 Internal Server Error, 3 times"), 3),
        (vec![status("404 No")], Err("404 Not Found: nothing exists there"), 1),
        (vec![status("403 No")], Err("a login is needed"), 1),
        (vec![Answer::Text(format!("{page}<p>a page"))], Err("web page and not a script"), 1),
        (vec![cut], Err("body"), 3),
        (vec![here], Err("redirect"), REDIRECTS + 1),
        (vec![Answer::Endless("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")], Err("longer than 64 KiB"), 1),
        (vec![Answer::Text(format!("{HEAD}Content-Length: 99999\r\n\r\n"))], Err("longer than 64 KiB"), 1),
        (vec![Answer::Silent("")], Err("timed out, 3 times"), 3),
        (
            vec![Answer::Silent("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n#!")],
            Err("timed out, 3 times"),
            3,
        ),
        (vec![Answer::Text("rubbish\r\n\r\n".into())], Err("3 times"), 3),
    ] {
        let server = server(answers).await;
        let found = get(&format!("http://{}/a.sh", server.address), &SHORT).await;
        match (&found, expected) {
            (Ok(text), Ok(())) => assert_eq!(text, SCRIPT),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{expected}: {told}"),
            _ => panic!("{expected:?}: {found:?}"),
        }
        assert_eq!(server.asked.load(Ordering::SeqCst), times, "{expected:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_at_the_limit() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let told = get(&format!("http://{closed}/"), &SHORT).await.unwrap_err();
    assert!(told.contains("refused") && told.contains("3 times"), "{told}");
    // Each byte comes in time, but all together take too long.
    let drop_by_drop = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = drop_by_drop.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = drop_by_drop.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let limits = Limits { whole: Duration::from_millis(500), ..SHORT };
    let told = get(&format!("http://{address}/"), &limits).await.unwrap_err();
    assert!(told.contains("longer than 500ms"), "{told}");
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            drop(acceptor.accept(stream).await);
        }
    });
    let told = get(&format!("https://localhost:{port}/"), &SHORT).await.unwrap_err();
    assert!(told.contains("certificate") && told.contains("SSL_CERT_FILE"), "{told}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it will not be another one");
}

#[tokio::test]
async fn a_login_in_an_address_is_used_and_not_shown() {
    let server = server(vec![ok(SCRIPT)]).await;
    let address = format!("http://ada:sesame@{}/a.sh?token=hidden#part", server.address);
    get(&address, &SHORT).await.unwrap();
    let head = server.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("get /a.sh?token=hidden ") && head.contains("authorization: basic "), "{head}");
    let shown = Source::parse(&address).unwrap().shown();
    assert_eq!(shown, format!("http://******@{}/a.sh?******", server.address));
}

#[test]
fn redirects_from_https_to_http_are_refused() {
    let url = |text: &str| Url::parse(text).unwrap();
    for (previous, next, expected) in [
        (&["https://a/"][..], "https://b/", true),
        (&["http://a/"], "https://b/", true),
        (&["http://a/"], "http://b/", true),
        (&["https://a/"], "http://a/", false),
        (&["http://a/", "https://a/"], "http://a/", false),
    ] {
        let previous: Vec<Url> = previous.iter().map(|text| url(text)).collect();
        assert_eq!(may_lead(&previous, &url(next)).is_ok(), expected, "{previous:?} {next}");
    }
}

#[test]
fn addresses_are_parsed() {
    for (text, expected) in [
        ("https://a.example/x.sh", "https://a.example/x.sh"),
        (" http://a.example \n", "http://a.example/"),
        ("file:///opt/my%20script.sh", "/opt/my script.sh"),
        ("/opt/x.sh", "/opt/x.sh"),
        (
            "https://github.com/me/it/blob/main/a/b.sh?x=1",
            "https://raw.githubusercontent.com/me/it/main/a/b.sh?******",
        ),
        ("https://github.com/me/it/raw/main/b.sh", "https://github.com/me/it/raw/main/b.sh"),
        ("https://gist.github.com/me/0123abc", "https://gist.github.com/me/0123abc/raw"),
        ("https://gist.github.com/me/0123abc/raw/b.sh", "https://gist.github.com/me/0123abc/raw/b.sh"),
        ("https://huggingface.co/me/it/blob/main/b.sh", "https://huggingface.co/me/it/resolve/main/b.sh"),
        ("https://pastebin.com/abc", "https://pastebin.com/raw/abc"),
        ("https://pastebin.com/raw/abc", "https://pastebin.com/raw/abc"),
    ] {
        assert_eq!(Source::parse(text).map(|source| source.shown()).as_deref(), Ok(expected), "{text}");
    }
    for text in ["", "a.example/x.sh", "ftp://a/b", "file://host/x", "http://", "x.sh", "\"https://a/b\""] {
        let told = Source::parse(text).unwrap_err();
        assert!(told.contains("an absolute path"), "{text}: {told}");
    }
}

#[tokio::test]
async fn local_files_have_the_same_size_limit() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.sh");
    let path = file.to_str().unwrap();
    assert!(get(path, &SHORT).await.unwrap_err().contains("No such file"));
    assert!(get(dir.path().to_str().unwrap(), &SHORT).await.unwrap_err().contains("expected a regular file"));
    std::fs::write(&file, SCRIPT).unwrap();
    assert_eq!(get(path, &SHORT).await.unwrap(), SCRIPT);
    std::fs::write(&file, vec![b'x'; 65 << 10]).unwrap();
    assert!(get(path, &SHORT).await.unwrap_err().contains("longer than 64 KiB"));
}
