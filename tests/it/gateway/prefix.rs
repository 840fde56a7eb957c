//! Behind a proxy that serves the gateway under a path of its own and removes that path: `location /desktop/ {
//! proxy_pass http://…/; }`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::upstream::token;
use crate::gateway::world::{
    PASSWORD, Response, USER, World, ask, free_port, get, read_until, resolve, route, unit,
};
use desktopd::observe::UnitState;
use desktopd::portal::has_scripts;
use regex::Regex;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that answers only below `/desktop/`, and passes requests on to `port` without that path, with `more`
/// headers.
pub async fn proxy(port: u16, more: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = read_until(&mut client, "\r\n\r\n").await;
                // One request per connection; bytes after its head are the body.
                let kept = head.split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:"));
                let head = kept.collect::<Vec<_>>().join("\r\n").replacen(
                    "\r\n",
                    &format!("\r\n{more}Connection: close\r\n"),
                    1,
                );
                let Some((method, rest)) = head.split_once(" /desktop/") else {
                    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    client.write_all(gone.as_bytes()).await.unwrap();
                    return;
                };
                let request = format!("{method} /{rest}");
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                server.write_all(request.as_bytes()).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own
}

/// The addresses on a page: links, forms, scripts, styles, pictures.
fn addresses(page: &str, body: &str) -> Vec<String> {
    let attribute = Regex::new(r#"(?:href|src|srcset|action)="([^"]*)""#).unwrap();
    let found = attribute.captures_iter(body).map(|found| found[1].replace("&amp;", "&"));
    let ours = found.filter(|address| !address.starts_with("data:"));
    ours.map(|address| resolve(page, &address)).collect()
}

/// Gets a page, and checks that every address on it is below the proxy's path and can be loaded.
async fn page(port: u16, path: &str, headers: &str, status: u16) -> Response {
    let response = get(port, path, headers).await;
    assert_eq!(response.status, status, "{path}: {}", response.head);
    let addresses = addresses(path, &response.body);
    assert!(!addresses.is_empty(), "{}", response.body);
    for address in addresses {
        assert!(address.starts_with("/desktop/"), "{path} asks for {address}: {}", response.body);
        let there = get(port, &address, &format!("{}{headers}", token())).await;
        assert!(!matches!(there.status, 404 | 410), "{path} asks for {address}: {}", there.head);
    }
    response
}

const HTML: &str = "Accept: text/html\r\n";

#[tokio::test]
async fn pages_and_api_work_under_a_path_prefix_of_a_proxy() {
    for more in ["", "X-Forwarded-Prefix: /desktop\r\n", "X-Forwarded-Prefix: /desktop/\r\n"] {
        let world = World::new().await;
        let (port, portal) = (proxy(world.port, more).await, proxy(world.pages, more).await);
        // A person without a login is led to the login page and back.
        for asked in ["/desktop/", "/desktop/a/b?c=d"] {
            let led = get(port, asked, HTML).await;
            assert_eq!(led.status, 303);
            let login = led.location();
            assert!(login.starts_with("/desktop/desktopd/login"), "{asked}: {login}");
            let shown = page(port, &login, HTML, 200).await;
            let next = shown.body.split("name=\"next\" value=\"").nth(1).unwrap();
            let next = next.split('"').next().unwrap();
            let action = addresses(&login, &shown.body).pop().unwrap();
            assert_eq!(action, "/desktop/desktopd/login");
            let password: Vec<_> = PASSWORD.bytes().map(|b| format!("%{b:02x}")).collect();
            let form = format!("user={USER}&password={}&next={next}", password.concat());
            let origin = format!("Origin: http://127.0.0.1:{port}\r\n");
            let entered = ask(port, "POST", &action, &origin, &form).await;
            assert_eq!((entered.status, entered.location()), (303, asked.to_owned()));
            let cookie = format!("Cookie: {}\r\n", entered.cookie());
            assert_eq!(get(port, asked, &cookie).await.status, 200);
            let prefix = world
                .service
                .last()
                .lines()
                .find_map(|l| l.strip_prefix("x-forwarded-prefix: ").map(str::to_owned));
            assert_eq!(
                prefix.as_deref(),
                (!more.is_empty()).then_some("/desktop"),
                "the headers that the service gets"
            );
            let out = ask(port, "POST", "/desktop/desktopd/logout", &format!("{cookie}{origin}"), "").await;
            assert_eq!((out.status, &*out.location()), (303, "/desktop/desktopd/login"));
            let button = get(
                port,
                &format!("{asked}{}token=t0ken%2B/%3D", if asked.contains('?') { '&' } else { '?' }),
                HTML,
            )
            .await;
            assert_eq!((button.status, button.location()), (303, asked.to_owned()));
        }
        let inside = format!("{HTML}{}", token());
        for path in ["", "services", "logs", "boot", "display"] {
            page(portal, &format!("/desktop/{path}"), &inside, 200).await;
        }
        page(portal, "/desktop/none/of/these", &inside, 404).await;
        // The portal's scripts use relative addresses only.
        if has_scripts() {
            let script = "app.js";
            let script = get(portal, &format!("/desktop/{script}"), &inside).await.body;
            for path in ["/api/", "/desktopd/", "/service", "/logs"] {
                let rooted = ["'", "\"", "`"].map(|quote| format!("{quote}{path}"));
                assert!(!rooted.iter().any(|rooted| script.contains(rooted)), "{path}: {script}");
            }
        }
        // A service that does not listen.
        world.observer.update(|snapshot| snapshot.units = vec![unit("selkies", UnitState::Starting, "")]);
        let waits = page(port, "/desktop/a/b", &inside, 502).await;
        assert!(addresses("/desktop/a/b", &waits.body).contains(&"/desktop/desktopd/wait.js".to_owned()));
        // Also where a service needs https.
        let mut other = route(free_port().await, world.service.address);
        (other.secure_context, other.unit) = (true, String::new());
        let listen = other.listen;
        assert_eq!(world.gateway.set_routes(&[other]).await, []);
        let secure =
            get(proxy(listen, more).await, "/desktop/a", &format!("{HTML}Host: desk.example:81\r\n")).await;
        let https =
            if more.is_empty() { "https://desk.example:81/a" } else { "https://desk.example:81/desktop/a" };
        assert!(
            secure.status == 403 && secure.body.contains(&format!("href=\"{https}\"")),
            "{}",
            secure.body
        );
    }
}

#[tokio::test]
async fn a_prefix_that_is_not_a_plain_path_is_ignored() {
    let world = World::new().await;
    for forged in ["//evil", "/\\evil", "https://evil", "/a b", "/../evil", "/\"><script>"] {
        let led = get(world.port, "/", &format!("{HTML}X-Forwarded-Prefix: {forged}\r\n")).await;
        assert_eq!((led.status, &*led.location()), (303, "/desktopd/login"), "{forged}");
    }
}
