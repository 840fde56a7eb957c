//! Forged requests: host names, forwarded addresses, paths that try to avoid the login, and secrets that must not reach
//! a service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::upstream::{Upstream, before, send, statuses, token};
use crate::gateway::world::{PASSWORD, TOKEN, USER, basic};

#[tokio::test]
async fn forged_forwarded_headers_are_dropped() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    let forged = [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-User",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "cf-visitor",
        "CF-Ray",
        "CF-IPCountry",
        "X-Original-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Scheme",
        "Front-End-Https",
        "Remote-User",
        "X-Remote-User",
        "X-WebAuth-User",
        "X-Auth-Request-User",
        "X_Forwarded_For",
        "X_Real_IP",
        "X-Real_IP",
        "HTTP_HOST",
        "Remote_User",
        "Content_Length",
        "Transfer_Encoding",
        "Cookie_",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Keep-Alive",
    ];
    for name in forged {
        // Also when `Connection`, whose listed headers are removed, names headers that the gateway sets.
        for connection in
            ["close", "close, X-Forwarded-For, X-Real-IP, Host, X-Forwarded-Proto, Content-Length"]
        {
            let raw = format!(
                "POST / HTTP/1.1\r\nHost: desk:6100\r\n{}{name}: 66.6.6.6\r\nConnection: {connection}\r\n\
                 Content-Length: 4\r\n\r\nbody",
                token()
            );
            assert_eq!(statuses(&send(port, raw).await), [200], "{name}");
            let mut requests = upstream.requests();
            assert_eq!(requests.len(), 1, "{name}");
            let (head, body) = requests.remove(0);
            assert!(!head.contains("66.6.6.6"), "{name} passed: {head}");
            assert_eq!(body, "body", "{name}");
            for line in [
                "host: desk:6100",
                "x-forwarded-for: 127.0.0.1",
                "x-real-ip: 127.0.0.1",
                "x-forwarded-host: desk:6100",
                "x-forwarded-proto: http",
                "content-length: 4",
            ] {
                assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_names_one_proper_host() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    for host in [
        "",
        "a, b",
        "a b",
        "a\tb",
        "u@a",
        "u:p@a",
        "@a",
        "a@",
        "a/",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "http://a",
        "a:",
        "a:x",
        "a:-1",
        "a:+80",
        "a:65536",
        "a:99999",
        "a:80:80",
        "a:8 0",
        ":80",
        "::1",
        "[::1",
        "::1]",
        "[a]",
        "[]",
        "[::1]x",
        "[::1]:",
        "[::1]:x",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "a%2fb",
        "a;b",
        "a\"b",
        "<script>",
        "a\u{fc}",
        "a\u{0}",
        "a'b",
        "a|b",
    ] {
        let raw = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}Connection: close\r\n\r\n", token());
        for at in [port, world.pages] {
            let answer = send(at, &raw).await;
            assert_eq!(statuses(&answer), [400], "{host:?} got {answer}");
        }
        assert_eq!(upstream.requests(), [], "{host:?}");
    }
    for host in
        ["a", "A.b-c_d.e", "a:1", "a:65535", "127.0.0.1:80", "[::1]", "[::1]:80", "xn--bcher-kva.example"]
    {
        let raw = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}Connection: close\r\n\r\n", token());
        assert_eq!(statuses(&send(port, &raw).await), [200], "{host:?}");
        assert!(upstream.only().contains(&format!("\r\nhost: {host}\r\n")));
    }
    let close = format!("{}Connection: close\r\n\r\n", token());
    for raw in [
        format!("GET / HTTP/1.1\r\n{close}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n{close}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n{close}"),
        format!("GET / HTTP/1.1\r\nHost : a\r\n{close}"),
        format!("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n{close}"),
        // The request target may name the host too, but no other host.
        format!("GET http://b/ HTTP/1.1\r\nHost: a\r\n{close}"),
        format!("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n{close}"),
        format!("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n{close}"),
        format!("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n{close}"),
        format!("GET http://a@b/ HTTP/1.1\r\nHost: a\r\n{close}"),
        format!("GET http:///x HTTP/1.1\r\nHost: a\r\n{close}"),
        format!("GET http://a HTTP/1.1\r\n{close}"),
        format!("GET http://b/ HTTP/1.0\r\n{close}"),
        format!("GET a:80 HTTP/1.1\r\nHost: a:80\r\n{close}"),
        format!("GET a HTTP/1.1\r\nHost: a\r\n{close}"),
    ] {
        let answer = send(port, &raw).await;
        assert_eq!(statuses(&answer), [400], "{raw:?} got {answer}");
        assert_eq!(upstream.requests(), [], "{raw:?}");
    }
    for (target, arrives) in [
        ("http://a/x?y", "/x?y"),
        ("https://a/x", "/x"),
        ("http://a", "/"),
        ("//b/x", "//b/x"),
        ("/http://b", "/http://b"),
    ] {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{close}");
        assert_eq!(statuses(&send(port, &raw).await), [200], "{target}");
        let head = upstream.only();
        assert!(head.starts_with(&format!("GET {arrives} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("\r\nhost: a\r\n"), "{head}");
    }
}

#[tokio::test]
async fn open_paths_do_not_lead_further() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let ask = |at, method: &'static str, path: &str| {
        let raw = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        async move { send(at, raw).await }
    };
    for open in
        ["/manifest.json", "/manifest.json?v=1", "/.well-known/acme-challenge/a-b_C9", "/security.txt"]
    {
        assert_eq!(statuses(&ask(port, "GET", open).await), [200], "{open}");
        assert!(upstream.only().starts_with(&format!("GET {open} HTTP/1.1\r\n")));
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "PROPFIND"] {
            assert_eq!(statuses(&ask(port, method, open).await), [401], "{method} {open}");
        }
        assert_eq!(upstream.requests(), []);
    }
    let behind = [
        "/..",
        "/../",
        "/../secret",
        "/..%2f",
        "/..%2fsecret",
        "/%2e%2e/",
        "/%2e%2e%2fsecret",
        "/..;/",
        "/..;/secret",
        "/.%2e/",
        "%2f..%2fsecret",
        "%2F",
        "%5c..%5csecret",
        "\\..\\secret",
        "/",
        "/.",
        "//",
        "//secret",
        ";",
        ";/../secret",
        ";jsessionid=1",
        "%00",
        "%00.html",
        "%20",
        "%0d%0aX:1",
        "%3f",
        "%23",
        ".",
        "..",
        "/secret",
        ",",
        "&",
        "=",
        "\u{fc}",
    ];
    let mut paths = Vec::new();
    for open in [
        "/manifest.json",
        "/security.txt",
        "/.well-known/acme-challenge/abc",
        "/.well-known/change-password",
        "/.well-known/acme-challenge",
    ] {
        paths.extend(behind.iter().map(|behind| format!("{open}{behind}")));
        let upper = open.to_uppercase();
        paths.extend([
            format!("/{open}"),
            format!("/.{open}"),
            format!("/a/..{open}"),
            format!("/%2e{open}"),
            upper,
        ]);
        paths.extend([
            format!("/;{open}"),
            format!("/%2f{open}"),
            open.replace('.', "%2e"),
            open.replace('/', "\\/"),
        ]);
        paths.push(open.replacen('/', "/%2f", 1));
    }
    // The gateway's own paths are answered by the gateway or not at all.
    for own in [
        "/desktopd/health",
        "/desktopd/gateway.css",
        "/desktopd/wait.js",
        "/portal-resolver",
        "/ai-dock/health-check",
    ] {
        paths.extend(behind.iter().map(|behind| format!("{own}{behind}")));
        paths.extend([format!("/{own}"), format!("/.{own}"), own.to_uppercase()]);
    }
    paths.extend(
        ["/desktopd/login/..%2f..%2fsecret", "/desktopd%2flogin", "/desktopd/wait/events"].map(String::from),
    );
    paths.retain(|path| path != "/.well-known/acme-challenge/secret");
    for path in paths {
        for at in [port, world.pages] {
            let answer = ask(at, "GET", &path).await;
            let found = statuses(&answer);
            assert!(found == [401] || found == [400], "{path:?} got {answer:?}");
        }
        assert_eq!(upstream.requests(), [], "{path:?}");
    }
}

#[tokio::test]
async fn an_open_path_passes_neither_upgrades_nor_credentials() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    let open = "/manifest.json";
    for (headers, status) in [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", 401),
        ("Connection: close\r\nX-Original-URL: /secret\r\n", 200),
        ("Connection: close\r\nX-Rewrite-URL: /secret\r\n", 200),
        ("Connection: close\r\nAuthorization: Basic dXNlcjp3cm9uZw==\r\n", 200),
        ("Connection: close\r\nAuthorization: Digest secret\r\n", 200),
    ] {
        let raw = format!("GET {open} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        assert_eq!(statuses(&send(port, &raw).await), [status], "{headers}");
        for (head, _) in upstream.requests() {
            let head = head.to_lowercase();
            for gone in ["secret", "authorization", "upgrade"] {
                assert!(!head.contains(gone), "{head}");
            }
        }
    }
}

/// Some services do not read the body of a GET: they would take the body for the next request, sent by a client with a
/// login.
#[tokio::test]
async fn an_open_path_passes_no_body() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let smuggled = "DELETE /secret HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    for method in ["GET", "HEAD"] {
        for (framing, body) in [
            (format!("Content-Length: {length}"), smuggled.to_owned()),
            ("Transfer-Encoding: chunked".to_owned(), format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n")),
        ] {
            let raw = format!(
                "{method} /manifest.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n{body}"
            );
            for at in [port, world.pages] {
                assert_eq!(statuses(&send(at, &raw).await), [400], "{raw}");
            }
            assert_eq!(upstream.requests(), [], "{raw}");
        }
        let raw = format!(
            "{method} /manifest.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(statuses(&send(port, &raw).await), [200]);
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn our_secrets_do_not_reach_services() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let cookie = world.cookie().await;
    let (name, value) = cookie.split_once('=').unwrap();
    let lower = token().replace("Authorization: Bearer", "authorization: bearer");
    let upper = basic(USER, PASSWORD).replace("Authorization: Basic", "AUTHORIZATION: BASIC");
    let encoded = basic(USER, PASSWORD).trim().rsplit(' ').next().unwrap().to_owned();
    let escaped = TOKEN.bytes().map(|b| format!("%{b:02x}")).collect::<Vec<_>>().concat();
    for (path, headers, kept) in [
        ("/", format!("Cookie: {cookie}\r\n"), None),
        ("/", format!("cookie: a=1; {cookie}; b=2\r\n"), Some("cookie: a=1; b=2")),
        ("/", format!("Cookie: a=1;{cookie};b=2\r\n"), Some("cookie: a=1;b=2")),
        ("/", format!("Cookie: a=1\r\nCookie: {cookie}\r\nCookie: b=2\r\n"), Some("cookie: a=1; b=2")),
        ("/", format!("Cookie: {name}=x; {cookie}; {name}={value}\r\n"), None),
        ("/", format!("Cookie: {cookie};\t {name} = {value} ; b=2\r\n"), Some("b=2")),
        ("/", format!("Cookie: {name}=\"{value}\"; {cookie}\r\n"), None),
        ("/", format!("Cookie: a=\"x; {cookie}; y\"; {cookie}\r\n"), Some("a=\"x; y\"")),
        ("/", format!("Cookie: {cookie}; {cookie}\r\nCookie: {cookie}\r\n"), None),
        ("/", lower, None),
        ("/", upper, None),
        ("/", format!("{}Cookie: {cookie}; c=3\r\n", token()), Some("cookie: c=3")),
        ("/", format!("{}Cookie: {cookie}\r\n", basic(USER, "wrong")), None),
        ("/?token=t0ken%2B/%3D", String::new(), None),
        (&format!("/?a=1&token={escaped}&b=2"), String::new(), None),
        (&format!("/?token={escaped}&token=t0ken%2B%2F%3D&token={TOKEN}"), String::new(), None),
        (&format!("/?x&token={TOKEN}"), format!("Cookie: {cookie}\r\n"), None),
        ("/manifest.json?token=t0ken%2B/%3D", String::new(), None),
        ("/manifest.json", format!("Cookie: {cookie}\r\n"), None),
        ("/", format!("{}Referer: http://a/?token=t0ken%2B/%3D\r\n", token()), None),
        ("/manifest.json", "Referer: http://a/x?a=1&token=t0ken%2B/%3D&b=2\r\n".into(), None),
        ("/ws?token=t0ken%2B/%3D", "Upgrade: websocket\r\nConnection: upgrade\r\n".into(), None),
        ("/", format!("{}Connection: close, authorization, cookie\r\n", token()), None),
    ] {
        let raw = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        assert_eq!(statuses(&send(port, &raw).await), [200], "{raw:?}");
        let head = upstream.only();
        for secret in [value, TOKEN, "t0ken", &encoded, &escaped, PASSWORD, "wrong", "authorization"] {
            assert!(!head.to_lowercase().contains(&secret.to_lowercase()), "{secret} of {raw:?} in {head}");
        }
        match kept {
            Some(kept) => assert!(head.contains(kept), "{kept} in {head}"),
            None => assert!(!head.contains("cookie"), "{head}"),
        }
    }
    // Credentials of other programs pass unchanged.
    let own = "X-Api-Key: 1\r\nCookie: sid=2\r\n";
    let raw = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{own}{}\r\n", token());
    assert_eq!(statuses(&send(port, raw).await), [200]);
    let head = upstream.only();
    assert!(head.contains("x-api-key: 1\r\n") && head.contains("cookie: sid=2\r\n"), "{head}");
}
