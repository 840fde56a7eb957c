//! Tests of the rows that the API sends.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::logs::{Console, Limits, Logs};
use crate::observe::{Observer, UnitState, testing};

/// An API with two services, and their logs.
fn api(ring: usize) -> (axum::Router, Logs) {
    let (observer, seen) = Observer::new(1, 0);
    observer.update(|snapshot| {
        snapshot.units = ["kde", "selkies"].map(|name| testing::unit(name, UnitState::Ready)).into();
    });
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring }, Console::silent());
    let (_, handle) = watch::channel(None);
    (crate::portal::api::router(Api::new(seen, observer.events(), logs.clone(), handle)), logs)
}

async fn call(router: &axum::Router, path: &str, last: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    TowerToHyperService::new(router.clone()).call(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn body(router: &axum::Router, path: &str) -> (StatusCode, String) {
    let response = call(router, path, None).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn rows_of(router: &axum::Router, query: &str) -> Vec<String> {
    let (status, body) = body(router, &format!("/api/logs?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{query}: {body}");
    let rows: LogRows = serde_json::from_str(&body).unwrap();
    rows.rows.iter().map(|row| format!("{} {}", row.service, row.text)).collect()
}

/// The next event: its name, its data and its number.
async fn next(stream: &mut Body) -> (String, Value, String) {
    let bytes = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    (field("event:"), serde_json::from_str(&field("data:")).unwrap_or_default(), field("id:"))
}

fn texts(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn rows_are_merged_and_filtered() {
    let (router, logs) = api(100_000);
    for (unit, text) in [
        ("kde", "error: one"),
        ("selkies", "INFO:main:two"),
        ("desktopd", "three (a.c)"),
        ("kde", "WARNING: Four"),
        ("selkies", "abc five"),
    ] {
        logs.push(unit, text);
    }
    for (query, expected) in [
        (
            "",
            &[
                "kde error: one",
                "selkies INFO:main:two",
                "desktopd three (a.c)",
                "kde WARNING: Four",
                "selkies abc five",
            ][..],
        ),
        ("service=kde&service=desktopd", &["kde error: one", "desktopd three (a.c)", "kde WARNING: Four"]),
        ("service=kde,selkies&tail=2", &["kde WARNING: Four", "selkies abc five"]),
        ("tail=0", &[]),
        ("grep=four", &["kde WARNING: Four"]),
        ("grep=four&case=1", &[]),
        ("grep=a.c", &["desktopd three (a.c)"]),
        ("grep=a.c&regex=1", &["desktopd three (a.c)", "selkies abc five"]),
        ("level=warn", &["kde error: one", "kde WARNING: Four"]),
        ("level=info&tail=2", &["selkies INFO:main:two", "kde WARNING: Four"]),
        ("since=1h&tail=1", &["selkies abc five"]),
        ("since=2100-01-01", &[]),
        ("until=1h", &[]),
        (
            "until=2100-01-01T00:00:00Z&service=&grep=&tail=all",
            &[
                "kde error: one",
                "selkies INFO:main:two",
                "desktopd three (a.c)",
                "kde WARNING: Four",
                "selkies abc five",
            ],
        ),
    ] {
        assert_eq!(rows_of(&router, query).await, expected, "{query}");
    }
    let (_, body) = body(&router, "/api/logs?service=kde&tail=1").await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["services"], serde_json::json!(["kde"]));
    assert_eq!(
        (&answer["rows"][0]["level"], &answer["rows"][0]["seq"], &answer["more"]),
        (&"warning".into(), &4.into(), &false.into())
    );
    assert!(answer["rows"][0]["at"].as_i64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn hits_are_marked_and_rows_are_found_by_their_numbers() {
    let (router, logs) = api(100_000);
    for number in 0..700 {
        logs.push(["kde", "selkies"][number % 2], &format!("row {number}"));
    }
    logs.push("kde", "\u{1b}[31mü é\u{1b}[0mtwo É");
    let (_, text) = body(&router, "/api/logs?mark=%C3%A9&tail=2").await;
    let answer: LogRows = serde_json::from_str(&text).unwrap();
    let hits: Vec<_> = answer.rows.iter().map(|row| row.hits.clone()).collect();
    assert_eq!(hits, [vec![], vec![[2, 3], [7, 8]]], "rows without a hit are there as well");
    // Around the row with the number 401, of all services and of one.
    for (query, first, last) in [
        ("row=401", "selkies row 151", "kde row 650"),
        ("row=401&tail=3", "kde row 398", "kde \u{1b}[31mü é\u{1b}[0mtwo É"),
        ("row=401&service=selkies&tail=3", "selkies row 395", "selkies row 699"),
        ("row=401&grep=9&tail=2", "kde row 398", "selkies row 699"),
        ("row=9999999&tail=2", "selkies row 699", "kde \u{1b}[31mü é\u{1b}[0mtwo É"),
        ("row=0&tail=2", "kde row 0", "selkies row 499"),
    ] {
        let found = rows_of(&router, query).await;
        let ends = found.first().map(String::as_str).zip(found.last().map(String::as_str));
        assert_eq!(ends, Some((first, last)), "{query}");
        assert!(found.len() <= ROWS, "{query}: {}", found.len());
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_reason() {
    let (router, _logs) = api(1000);
    for (query, told) in [
        ("grep=a(b&regex=1", "a(b\n     ^"),
        ("grep=(a%7B1000%7D)%7B1000%7D&regex=1", "too much memory"),
        ("regex=maybe", "regex: 'maybe' is not 0 or 1"),
        ("level=loud", "error, warn, info or debug"),
        ("tail=-1", "tail: '-1' is not a number of rows or 'all'"),
        ("since=yesterday", "since: 'yesterday' is not a time such as 10m"),
        ("after=x", "after: 'x' is not a position"),
        ("lines=5", "'lines' is none of the keys service, since"),
        ("service=nothing-like-it", "no service is named 'nothing-like-it'"),
    ] {
        for path in ["", "/stream", "/download"] {
            let (status, body) = body(&router, &format!("/api/logs{path}?{query}")).await;
            assert!(status.is_client_error(), "{query}: {status}");
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(body["error"].as_str().unwrap().contains(told), "{query}: {body}");
        }
    }
}

#[tokio::test]
async fn a_stream_continues_where_the_last_event_ended() {
    let (router, logs) = api(100_000);
    logs.push("kde", "one");
    logs.push("selkies", "two\rthree\nfour");
    let mut first = call(&router, "/api/logs/stream?service=kde&service=selkies", None).await.into_body();
    let (name, data, _) = next(&mut first).await;
    assert_eq!((&*name, &data["services"]), ("start", &serde_json::json!(["kde", "selkies"])));
    let (name, data, _) = next(&mut first).await;
    assert_eq!((&*name, texts(&data)), ("rows", vec!["one", "two\\rthree\\nfour"]));
    logs.push("kde", "five");
    logs.push("desktopd", "not chosen");
    let (_, data, id) = next(&mut first).await;
    assert_eq!(texts(&data), ["five"]);
    drop(first);
    logs.push("selkies", "six");
    logs.push("kde", "seven");
    // As a browser does, and as a program does.
    let path = "/api/logs/stream?service=kde&service=selkies";
    let after = format!("{path}&after={id}&follow=0");
    for (path, last) in [(path, Some(&*id)), (&after, None)] {
        let mut again = call(&router, path, last).await.into_body();
        next(&mut again).await;
        assert_eq!(texts(&next(&mut again).await.1), ["six", "seven"]);
        if last.is_none() {
            assert_eq!(next(&mut again).await.0, "end");
        }
    }
    // The list says where it ends, too.
    let (_, list) = body(&router, "/api/logs?tail=2").await;
    let after: LogRows = serde_json::from_str(&list).unwrap();
    logs.push("kde", "eight");
    assert_eq!(rows_of(&router, &format!("after={}", after.after)).await, ["kde eight"]);
}

#[tokio::test]
async fn another_daemon_sends_all_rows_and_says_that_it_is_another() {
    let (router, logs) = api(100_000);
    logs.push("kde", "new");
    let mut stream = call(&router, "/api/logs/stream", Some("5,kde:700")).await.into_body();
    next(&mut stream).await;
    let (_, data, _) = next(&mut stream).await;
    assert_eq!(data[0]["restarted"], true);
    assert_eq!(texts(&data)[1..], ["new"]);
    assert!(texts(&data)[0].contains("has started again"));
    // What is no position at all is ignored there.
    let mut stream = call(&router, "/api/logs/stream", Some("x17")).await.into_body();
    next(&mut stream).await;
    assert_eq!(texts(&next(&mut stream).await.1), ["new"]);
}

#[tokio::test]
async fn rows_that_a_client_did_not_read_in_time_are_counted() {
    let (router, logs) = api(2000);
    let mut stream = call(&router, "/api/logs/stream", None).await.into_body();
    next(&mut stream).await;
    logs.push("kde", "first");
    let (_, data, _) = next(&mut stream).await;
    assert_eq!(texts(&data), ["first"]);
    for n in 0..1000 {
        logs.push("kde", &format!("row {n}"));
    }
    let (_, data, _) = next(&mut stream).await;
    let kept = data.as_array().unwrap().len() - 1;
    assert_eq!(data[0]["lost"], 1000 - kept);
    assert_eq!(texts(&data)[0], format!("lost {} rows: they came faster than they were read", 1000 - kept));
    assert_eq!(texts(&data)[1], format!("row {}", 1000 - kept), "all that the ring still has");
    assert_eq!(*texts(&data).last().unwrap(), "row 999");
    let numbers: Vec<u64> =
        data.as_array().unwrap()[1..].iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]));
}

#[tokio::test(start_paused = true)]
async fn many_rows_come_in_few_events() {
    let (router, logs) = api(1_000_000);
    let mut stream = call(&router, "/api/logs/stream?tail=0", None).await.into_body();
    next(&mut stream).await;
    let writer = tokio::spawn({
        let logs = logs.clone();
        async move {
            for batch in 0..100 {
                let text = (0..100).fold(String::new(), |text, n| text + &format!("row {batch} {n}\n"));
                logs.push_all("kde", &text, None).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let (mut rows, mut events) = (0, 0);
    while rows < 10_000 {
        rows += next(&mut stream).await.1.as_array().unwrap().len();
        events += 1;
    }
    writer.await.unwrap();
    // 10,000 rows within a second.
    assert_eq!(rows, 10_000);
    assert!((10..=30).contains(&events), "{events} events");
}

#[tokio::test]
async fn events_have_a_limited_size() {
    let (router, logs) = api(4_000_000);
    let line = "x".repeat(10_000);
    for _ in 0..200 {
        logs.push("kde", &line);
    }
    let mut stream = call(&router, "/api/logs/stream?tail=all", None).await.into_body();
    next(&mut stream).await;
    let mut rows = 0;
    while rows < 200 {
        let frame = stream.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.len() < 2 * TEXT_AT_ONCE, "{}", frame.len());
        rows += String::from_utf8_lossy(&frame).matches("\"seq\"").count();
    }
    // A list ends as well, and can be continued.
    let (_, first) = body(&router, "/api/logs?tail=all").await;
    let first: LogRows = serde_json::from_str(&first).unwrap();
    assert_eq!((first.rows.len(), first.more), (200, false));
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let (router, logs) = api(4_000_000);
    logs.push("kde", "<script>alert(1)</script>\u{202e}gpj.exe\u{0}\u{1b}]0;x\u{7}");
    logs.push_all("kde", &format!("{}\n", "y".repeat(1_000_000)), None).await;
    let (_, text) = body(&router, "/api/logs").await;
    let rows: LogRows = serde_json::from_str(&text).unwrap();
    assert_eq!(&*rows.rows[0].text, "<script>alert(1)</script>\\u{202e}gpj.exe\\x00\\x1b]0;x\\x07");
    assert_eq!(rows.rows[1].text.len(), 1_000_000);
    let response = call(&router, "/api/logs/download", None).await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_download_is_a_file_of_text() {
    let (router, logs) = api(100_000);
    logs.push("kde", "\u{1b}[31mred\u{1b}[0m");
    logs.push("selkies", "two");
    logs.show_row("kde", "10 %", None, true);
    let (_, text) = body(&router, "/api/logs/download").await;
    let rest = |line: &str| line.split_once("Z ").unwrap().1.to_owned();
    let lines: Vec<String> = text.lines().map(rest).collect();
    // The daemon's own log gives the width of the column.
    assert_eq!(lines, ["kde      | \u{1b}[31mred\u{1b}[0m", "selkies  | two", "kde      | 10 %"]);
    let (_, text) = body(&router, "/api/logs/download?service=kde&colour=0").await;
    assert_eq!(text.lines().map(rest).collect::<Vec<_>>(), ["red", "10 %"]);
    let response = call(&router, "/api/logs/download", None).await;
    let name = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment; filename=\"logs-") && name.ends_with("Z.txt\""), "{name}");
    let at = "2026-01-31T12:00:01Z".parse().unwrap();
    assert_eq!(file_name("a\"b/../c.d", at), "logs-ab..c.d-20260131T120001Z.txt");
    assert_eq!(file_name("", at), "logs-desktop-20260131T120001Z.txt");
}

#[tokio::test]
async fn the_number_of_streams_is_limited() {
    let (router, _logs) = api(1000);
    let mut all = Vec::new();
    for _ in 0..MOST_VIEWERS {
        let response = call(&router, "/api/logs/stream", None).await;
        assert_eq!(response.status(), StatusCode::OK);
        all.push(response);
    }
    for path in ["stream", "download"] {
        let (status, text) = body(&router, &format!("/api/logs/{path}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("32 clients read logs already"), "{text}");
    }
    assert_eq!(body(&router, "/api/logs").await.0, StatusCode::OK);
    all.pop();
    assert_eq!(call(&router, "/api/logs/stream", None).await.status(), StatusCode::OK);
}
