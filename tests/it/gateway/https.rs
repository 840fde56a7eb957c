//! The redirect from plain http to https: when it happens, when it does not, and which headers about the client's
//! protocol are trusted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use desktopd::gateway::forwarded::Proxies;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::gateway::world::{TOKEN, World, ask, credentials, free_port, get, read_until, route};

const HTML: &str = "Accept: text/html,*/*\r\n";
const DESK: &str = "Host: desk.example:6100\r\n";

async fn insisting() -> World {
    World::tuned(credentials(), |settings| settings.https = true).await
}

/// A gateway whose service needs a secure context.
async fn picky() -> World {
    let world = World::new().await;
    let mut route = route(world.port, world.service.address);
    route.secure_context = true;
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    world
}

#[tokio::test]
async fn plain_http_is_redirected_where_https_is_required() {
    let world = insisting().await;
    for (method, host, path, location) in [
        ("GET", "desk.example:6100", "/a?b=c&token=x", "https://desk.example:6100/a?b=c&token=x"),
        ("GET", "desk.example", "/", "https://desk.example:80/"),
        ("POST", "localhost:1", "/desktopd/login", "https://localhost:1/desktopd/login"),
        ("GET", "[2001:db8::1]:6100", "/", "https://[2001:db8::1]:6100/"),
        ("PUT", "192.0.2.1:6100", "/", "https://192.0.2.1:6100/"),
    ] {
        for port in [world.port, world.pages] {
            let response = ask(port, method, path, &format!("Host: {host}\r\n"), "").await;
            assert_eq!(response.status, 307, "{host}: {}", response.head);
            assert_eq!(response.header("location"), Some(location));
            assert_eq!(response.header("strict-transport-security"), None);
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(world.service.requests(), [""; 0]);
}

#[tokio::test]
async fn paths_that_need_plain_http_answer_by_plain_http() {
    let world = insisting().await;
    for path in ["/desktopd/health", "/ai-dock/health-check", "/portal-resolver"] {
        assert_eq!(get(world.port, path, DESK).await.status, 200, "{path}");
    }
    let challenge = "/.well-known/acme-challenge/abc";
    assert_eq!(get(world.port, challenge, DESK).await.status, 200);
    assert!(world.service.last().starts_with("GET /.well-known/acme-challenge/abc "));
    let upgrade =
        format!("{DESK}Authorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    let response = get(world.port, "/ws", &upgrade).await;
    assert_eq!(response.status, 403, "a WebSocket follows no redirect: {}", response.head);
    assert!(response.body.contains("requires https"), "{}", response.body);
}

/// Headers that say that the client uses https already.
const BY_HTTPS: [&str; 4] = [
    "X-Forwarded-Proto: https\r\n",
    "x-forwarded-proto: https, http\r\n",
    "Cf-Visitor: {\"scheme\":\"https\"}\r\n",
    // Browsers send this header to secure origins only.
    "Sec-Fetch-Mode: navigate\r\n",
];

#[tokio::test]
async fn no_redirect_loop_behind_a_proxy() {
    for world in [insisting().await, picky().await] {
        for by_https in BY_HTTPS {
            let headers = format!("{DESK}{HTML}{by_https}Authorization: Bearer {TOKEN}\r\n");
            let response = get(world.port, "/", &headers).await;
            assert_eq!((response.status, response.body.as_str()), (200, "service"), "{by_https}");
        }
        let plain = format!("{DESK}{HTML}X-Forwarded-Proto: http\r\nAuthorization: Bearer {TOKEN}\r\n");
        let response = get(world.port, "/", &plain).await;
        assert!([307, 403].contains(&response.status), "{}", response.head);
    }
}

#[tokio::test]
async fn a_page_explains_where_a_secure_context_is_needed() {
    let world = picky().await;
    let login = format!("Authorization: Bearer {TOKEN}\r\n");
    for headers in [HTML.to_owned(), format!("{HTML}{login}")] {
        let response = get(world.port, "/a?b=1&c=\"<i>", &format!("{DESK}{headers}")).await;
        assert_eq!(response.status, 400, "no such address: {}", response.body);
        let response = get(world.port, "/a?b=1&token=x", &format!("{DESK}{headers}")).await;
        assert_eq!(response.status, 403);
        assert!(response.body.contains("Desktop &lt;1&gt; needs https"), "{}", response.body);
        let link = "href=\"https://desk.example:6100/a?b=1&amp;token=x\"";
        assert!(response.body.contains(link), "{}", response.body);
        assert!(response.header("content-security-policy").is_some());
    }
    assert_eq!(world.service.requests(), [""; 0]);
    // Background requests of pages and programs, our own pages, and the portal are not changed.
    let background = format!("{DESK}{login}");
    assert_eq!(get(world.port, "/", &background).await.body, "service");
    assert_eq!(get(world.port, "/desktopd/health", &format!("{DESK}{HTML}")).await.status, 200);
    assert_eq!(get(world.pages, "/", &format!("{DESK}{HTML}{login}")).await.status, 200);
    let post = ask(world.port, "POST", "/", &format!("{background}{HTML}"), "").await;
    assert_eq!(post.body, "service");
}

#[tokio::test]
async fn localhost_is_a_secure_context() {
    let world = picky().await;
    for host in ["localhost:6100", "desk.localhost", "127.0.0.1:6100", "127.1.2.3", "[::1]:6100", "LOCALHOST"]
    {
        let headers = format!("Host: {host}\r\n{HTML}Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(get(world.port, "/", &headers).await.body, "service", "{host}");
    }
    for host in ["localhost.example:6100", "192.168.0.1", "[fe80::1]", "127.0.0.1.example", "desk"] {
        let headers = format!("Host: {host}\r\n{HTML}Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(get(world.port, "/", &headers).await.status, 403, "{host}");
    }
}

#[tokio::test]
async fn services_see_where_a_request_comes_from() {
    let claims =
        "X-Forwarded-For: 9.9.9.9, 198.51.100.1\r\nCf-Connecting-Ip: 198.51.100.2\r\nCf-Ray: 8f-TXL\r\n";
    let listed = Proxies { listed: vec!["127.0.0.0/8".parse().unwrap()], tunnel: false };
    let tunnel = Proxies { listed: Vec::new(), tunnel: true };
    for (proxies, seen) in
        [(Proxies::default(), "127.0.0.1"), (listed, "198.51.100.1"), (tunnel, "198.51.100.2")]
    {
        let world = World::tuned(credentials(), |settings| settings.proxies = proxies).await;
        let headers = format!("{DESK}{claims}X-Forwarded-Proto: https\r\nAuthorization: Bearer {TOKEN}\r\n");
        get(world.port, "/", &headers).await;
        let last = world.service.last();
        assert!(last.contains(&format!("\r\nx-forwarded-for: {seen}\r\n")), "{last}");
        assert!(last.contains("\r\nx-forwarded-proto: https\r\n"), "{last}");
        assert!(!last.contains("cf-connecting-ip") && !last.contains("9.9.9.9"), "{last}");
    }
}

/// A small Selkies: only the switch between its modes.
struct Selkies {
    address: SocketAddr,
    mode: Arc<Mutex<&'static str>>,
}

impl Selkies {
    async fn start(willing: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new("websockets"));
        let shared = Arc::clone(&mode);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_until(&mut stream, "\r\n\r\n").await;
                let answer = if request.starts_with("GET /api/status ") {
                    format!("{{\"current_mode\": \"{}\"}}", shared.lock().unwrap())
                } else if request.starts_with("POST /api/switch ") {
                    if !request.contains("{\"mode\":\"webrtc\"}") {
                        read_until(&mut stream, "{\"mode\":\"webrtc\"}").await;
                    }
                    if willing {
                        *shared.lock().unwrap() = "webrtc";
                        "{\"status\": \"success\"}".to_owned()
                    } else {
                        "{\"status\": \"error\", \"message\": \"<disabled>\"}".to_owned()
                    }
                } else {
                    "stream".to_owned()
                };
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close", answer.len());
                let _ = stream.write_all(format!("{head}\r\n\r\n{answer}").as_bytes()).await;
            }
        });
        Self { address, mode }
    }

    /// A gateway in front of it.
    async fn behind(&self, offered: bool) -> World {
        let world = World::new().await;
        let mut route = route(world.port, self.address);
        (route.secure_context, route.webrtc) = (true, Some(offered));
        assert_eq!(world.gateway.set_routes(&[route]).await, []);
        world
    }

    fn mode(&self) -> &'static str {
        *self.mode.lock().unwrap()
    }
}

const WEBRTC: &str = "/desktopd/webrtc";

#[tokio::test]
async fn webrtc_works_without_https() {
    let selkies = Selkies::start(true).await;
    let world = selkies.behind(true).await;
    let plain = format!("{DESK}{HTML}");
    let page = get(world.port, "/", &plain).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("href=\"./desktopd/webrtc\"") && page.body.contains("href=\"https://desk"));

    let to_login = get(world.port, WEBRTC, &plain).await;
    assert_eq!(to_login.status, 303, "{}", to_login.body);
    let login = &*to_login.location();
    assert!(get(world.port, login, &plain).await.body.contains("type=\"password\""), "{login}");
    let inside = format!("{plain}Authorization: Bearer {TOKEN}\r\n");
    assert!(get(world.port, WEBRTC, &inside).await.body.contains("<form method=\"post\""));
    assert_eq!(selkies.mode(), "websockets", "reading changes nothing");

    let headers = format!("{plain}Origin: http://desk.example:6100\r\n");
    assert_eq!(ask(world.port, "POST", WEBRTC, &headers, "").await.status, 401);
    let headers = format!("{inside}Origin: http://desk.example:6200\r\n");
    assert_eq!(ask(world.port, "POST", WEBRTC, &headers, "").await.status, 403);
    assert_eq!(selkies.mode(), "websockets");
    let own =
        ask(world.port, "POST", WEBRTC, &format!("{inside}Origin: http://desk.example:6100\r\n"), "").await;
    assert_eq!((own.status, &*own.location()), (303, "/"), "{}", own.body);
    assert_eq!(selkies.mode(), "webrtc");
    assert_eq!(get(world.port, "/", &inside).await.body, "stream");
}

#[tokio::test]
async fn webrtc_is_not_offered_where_its_packets_cannot_pass() {
    let selkies = Selkies::start(true).await;
    let world = selkies.behind(false).await;
    let inside = format!("{DESK}{HTML}Authorization: Bearer {TOKEN}\r\n");
    let page = get(world.port, "/", &inside).await;
    assert!(page.status == 403 && !page.body.contains("WebRTC"), "{}", page.body);
    // The page asks for no password where the password could be read on the way.
    assert_eq!(get(world.port, "/desktopd/login", &format!("{DESK}{HTML}")).await.status, 403);
    let headers = format!("{inside}Origin: http://desk.example:6100\r\n");
    assert_eq!(ask(world.port, "POST", WEBRTC, &headers, "").await.status, 404);
    // The mode works as well when it was changed by other means.
    *selkies.mode.lock().unwrap() = "webrtc";
    assert_eq!(get(world.port, "/", &inside).await.body, "stream");
}

#[tokio::test]
async fn a_service_that_refuses_the_mode_says_why() {
    let world = Selkies::start(false).await.behind(true).await;
    let headers =
        format!("{DESK}{HTML}Authorization: Bearer {TOKEN}\r\nOrigin: http://desk.example:6100\r\n");
    let refused = ask(world.port, "POST", WEBRTC, &headers, "").await;
    assert!(refused.status == 502 && refused.body.contains("&lt;disabled&gt;"), "{}", refused.body);
    let dead = World::new().await;
    let mut route = route(dead.port, ([127, 0, 0, 1], free_port().await).into());
    (route.secure_context, route.webrtc) = (true, Some(true));
    assert_eq!(dead.gateway.set_routes(&[route]).await, []);
    assert_eq!(ask(dead.port, "POST", WEBRTC, &headers, "").await.status, 502);
    assert_eq!(get(dead.port, "/", &format!("{DESK}{HTML}")).await.status, 403);
}

#[tokio::test]
async fn a_token_is_removed_from_the_address_and_is_carried_to_https() {
    let world = picky().await;
    let plain = format!("{DESK}{HTML}");
    let clicked = get(world.port, "/a?b=c&token=t0ken%2B/%3D", &plain).await;
    assert_eq!((clicked.status, &*clicked.location()), (303, "/a?b=c"), "{}", clicked.head);
    assert_eq!(clicked.header("referrer-policy"), Some("no-referrer"));
    let set = clicked.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let cookies: Vec<_> = set.map(|line| line.split(';').next().unwrap()).collect();
    assert_eq!(cookies.len(), 2, "a session, and the way to https: {}", clicked.head);

    let page = get(world.port, "/a?b=c", &format!("{plain}Cookie: {}\r\n", cookies.join("; "))).await;
    assert!(page.status == 403 && !page.body.contains("t0k"), "{}", page.body);
    let link = page.body.split("id=\"https\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let link = link.replace("&amp;", "&");
    let path = link.strip_prefix("https://desk.example:6100").unwrap_or_else(|| panic!("{link}"));
    assert!(path.starts_with("/a?b=c&token="), "{path}");
    // By https this address is as good as the token, for a while; by http it is not accepted.
    let secure = format!("{plain}X-Forwarded-Proto: https\r\n");
    let crossed = get(world.port, path, &secure).await;
    assert_eq!((crossed.status, &*crossed.location()), (303, "/a?b=c"), "{}", crossed.head);
    assert!(crossed.header("set-cookie").unwrap().starts_with("__Host-"), "{}", crossed.head);
    let inside = format!("{secure}Cookie: {}\r\n", crossed.cookie());
    assert_eq!(get(world.port, "/a?b=c", &inside).await.body, "service");
    assert!(!world.service.last().contains("token"));
    assert_eq!(get(world.port, path, DESK).await.status, 401);
    // After a logout, no earlier address or cookie lets a client in.
    let headers = format!("{plain}Origin: http://desk.example:6100\r\nCookie: {}\r\n", cookies.join("; "));
    let out = ask(world.port, "POST", "/desktopd/logout", &headers, "").await;
    for cookie in &cookies {
        let gone = format!("set-cookie: {}=;", cookie.split('=').next().unwrap());
        assert!(out.head.contains(&gone), "{gone} in {}", out.head);
    }
    // Without a token there is no such redirect, whatever cookie was planted.
    for cookie in [String::new(), cookies[0].to_owned(), format!("{}x", cookies[1])] {
        let page = get(world.port, "/a", &format!("{plain}Cookie: {cookie}\r\n")).await;
        assert!(
            page.status == 403 && page.body.contains("href=\"https://desk.example:6100/a\""),
            "{}",
            page.body
        );
    }
}
