//! Without a login nothing opens: not the page, and not the stream behind it, which is a door of its own.

use crate::docker::Container;
use crate::net::{http_get, websocket_status};
use crate::stack::{self, PORT};

/// `user:secret`, as a browser sends it.
const LOGIN: (&str, &str) = ("Authorization", "Basic dXNlcjpzZWNyZXQ=");
const WRONG: (&str, &str) = ("Authorization", "Basic dXNlcjp3cm9uZw==");
const STREAM: &str = "/api/websockets";

async fn page_status(container: &Container, headers: &[(&str, &str)]) -> u16 {
    let url = format!("http://127.0.0.1:{}/", container.port(PORT));
    http_get(&url, headers).await.expect("an answer for the page").status
}

async fn stream_status(container: &Container, headers: &[(&str, &str)]) -> u16 {
    websocket_status(container.port(PORT), STREAM, headers).await.expect("an answer for the stream")
}

#[tokio::test]
async fn only_a_login_opens_page_and_stream() {
    let container = stack::start("").await;
    assert_eq!(page_status(&container, &[]).await, 401, "page without a login");
    assert_eq!(page_status(&container, &[WRONG]).await, 401, "page with a wrong password");
    assert_eq!(page_status(&container, &[LOGIN]).await, 200, "page with a login");
    assert_eq!(stream_status(&container, &[]).await, 401, "stream without a login");
    assert_eq!(stream_status(&container, &[WRONG]).await, 401, "stream with a wrong password");
    assert_eq!(
        stream_status(&container, &[("Cookie", "session=guess")]).await,
        401,
        "stream with a guessed cookie"
    );
    assert_eq!(stream_status(&container, &[LOGIN]).await, 101, "stream with a login");
}

#[tokio::test]
async fn another_site_opens_no_stream_with_the_visitors_login() {
    let container = stack::start("").await;
    let own = format!("http://localhost:{}", container.port(PORT));
    assert_eq!(stream_status(&container, &[LOGIN, ("Origin", &own)]).await, 101, "the page's own origin");
    assert_eq!(
        stream_status(&container, &[LOGIN, ("Origin", "https://example.com")]).await,
        403,
        "another site"
    );
}
