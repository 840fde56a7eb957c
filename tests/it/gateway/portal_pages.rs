//! The portal's pages: what they show, and that their buttons work without scripts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::sync::Arc;

use desktopd::config::Environment;
use desktopd::observe::{RouteStatus, Snapshot, UnitInfo, UnitState, UnitStatus};
use desktopd::portal::{Rows, has_scripts};

use crate::gateway::world::{PASSWORD, TOKEN, USER, World, ask, basic, get, unit};

/// A name and reasons that would be markup.
const MARKUP: &str = "<img src=x onerror=alert(1)>\"'&";

fn needing(name: &str, needs: &[&str]) -> UnitStatus {
    let mut status = unit(name, UnitState::Ready, "");
    let needs = needs.iter().map(|name| (*name).to_owned()).collect();
    status.info = Arc::new(UnitInfo { needs, ..(*status.info).clone() });
    status.pid = Some(7);
    status
}

fn variables(pairs: &[(&str, &str)]) -> Rows {
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Arc::new(Environment::new(pairs, &[], &mut Vec::new()).rows())
}

async fn page(world: &World, path: &str, status: u16) -> String {
    let response = get(world.pages, path, &format!("Authorization: Bearer {TOKEN}\r\n")).await;
    assert_eq!(response.status, status, "{path}: {}", response.head);
    response.body
}

#[tokio::test]
async fn foreign_text_is_no_markup_on_any_page() {
    let world = World::new().await;
    world.observer.update(|snapshot| {
        let mut failed = unit(MARKUP, UnitState::Failed, MARKUP);
        failed.status_text = MARKUP.to_owned();
        let mut script = unit("provisioning", UnitState::Failed, MARKUP);
        script.info =
            Arc::new(UnitInfo { oneshot: true, description: MARKUP.to_owned(), ..(*script.info).clone() });
        snapshot.units = vec![failed, needing("kde", &[MARKUP]), script];
        snapshot.routes = vec![
            RouteStatus::new(MARKUP, 6100, "/\"><script>", None),
            RouteStatus { shows: vec!["kde".to_owned()], ..RouteStatus::new("Desktop", 6101, "/", None) },
        ];
        snapshot.notes = vec![MARKUP.to_owned()];
        snapshot.drawing = MARKUP.to_owned();
    });
    world.logs.push("provisioning", MARKUP);
    let names = ["WEB_USER", "CF_TUNNEL_TOKEN", "PROVISIONING_SCRIPT", "DISPLAY_DPI"];
    world.variables.send_replace(variables(&names.map(|name| (name, MARKUP))));
    world.logs.push("kde", &format!("{MARKUP} \u{1b}[31mred\u{1b}[0m \u{202e}reversed"));
    let name = "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%27%26";
    for (path, status) in [
        ("/", 200),
        ("/services", 200),
        ("/service?name=kde", 200),
        (&format!("/service?name={name}"), 200),
        (&format!("/service?name={name}x"), 404),
        (&format!("/service?name=kde&ask={name}"), 200),
        (&format!("/logs?service=kde&service={name}"), 200),
        ("/machine", 200),
        ("/boot", 200),
        ("/display", 200),
        ("/settings?ask=%3Cimg%20src%3Dx%3E", 200),
        ("/setup", 200),
        ("/tunnels", 200),
    ] {
        let body = page(&world, path, status).await;
        let pictures = body.matches("<img").count()
            - body.matches("<img src=\"").count()
            - body.matches("<img id=\"").count();
        assert_eq!(pictures, 0, "{path}: {body}");
        assert!(!body.contains("<script>") && !body.contains("onerror=alert(1)>\""), "{path}: {body}");
    }
    // A character that would turn the line around is written as its number.
    let log = page(&world, "/logs?service=kde", 200).await;
    assert!(log.contains("&amp; red \\u{202e}reversed</bdi>"), "{log}");
}

#[tokio::test]
async fn every_page_is_whole_without_scripts() {
    let world = World::new().await;
    world.observer.update(|snapshot| {
        let mut failed = unit("coturn", UnitState::Failed, "it ended with exit code 3");
        failed.pid = None;
        snapshot.units = vec![needing("xvfb", &[]), needing("kde", &["xvfb"]), failed];
        snapshot.units.push(unit("steam", UnitState::Skipped, "there is no such program"));
        snapshot.routes = vec![RouteStatus {
            shows: vec!["kde".to_owned()],
            ..RouteStatus::new("Desktop", 6100, "/", None)
        }];
    });
    let home = page(&world, "/", 200).await;
    for text in [
        "href=\"http://127.0.0.1:6100/\"",
        "Open the desktop",
        "it ended with exit code 3",
        "desktopd logs coturn",
        "value=\"start\" aria-label=\"start coturn\"",
        "<title>Home · ",
    ] {
        assert!(home.contains(text), "{text} is not in {home}");
    }
    let services = page(&world, "/services", 200).await;
    let order = [
        "Need attention",
        "id=\"unit-coturn",
        "id=\"unit-xvfb",
        "id=\"unit-kde",
        "Not in use: 1",
        "id=\"unit-steam",
    ];
    let places: Vec<_> = order.iter().map(|text| services.find(text).unwrap_or(usize::MAX)).collect();
    assert!(places.is_sorted() && places.iter().all(|place| *place < usize::MAX), "{places:?} {services}");
    assert_eq!(services.contains("<script src=\"app.js?v="), has_scripts());

    // Figures, also where no client looked before.
    let machine = page(&world, "/machine", 200).await;
    for text in [
        "What uses the memory",
        " cache of files",
        "<code>/</code>: ",
        "/s received, ",
        "This container has no GPU that reports figures.",
        "<small>PID ",
        "href=\"machine?sort=cpu#uses\"",
    ] {
        assert!(machine.contains(text), "{text} is not in {machine}");
    }
    assert_eq!(machine.contains("<script src=\"machine.js?v="), has_scripts());
    assert!(page(&world, "/machine?sort=cpu", 200).await.contains("What uses the processors"));
    let with_display = "<img src=\"desktopd/screenshot.png?width=480\" alt=\"The desktop";
    assert!(!home.contains(with_display), "there is no display: {home}");
    world.observer.update(|snapshot| "X on :0".clone_into(&mut snapshot.display));
    assert!(page(&world, "/", 200).await.contains(with_display));

    // The action that ends the desktop leads to a question first.
    assert!(services.contains("<form class=\"act\" method=\"get\" action=\"service\">"), "{services}");
    let asked = page(&world, "/service?name=xvfb&ask=restart", 200).await;
    for text in [
        "Restart xvfb?",
        "not saved is lost",
        "With xvfb restart: kde.",
        "<form class=\"actions\" method=\"post\" action=\"act\">",
    ] {
        assert!(asked.contains(text), "{text} is not in {asked}");
    }
    assert!(
        page(&world, "/service?name=cotrun", 404)
            .await
            .contains("<a href=\"service?name=coturn\">coturn</a>")
    );
}

#[tokio::test]
async fn forms_of_our_own_pages_carry_out_requests() {
    let world = World::new().await;
    world.observer.update(|snapshot: &mut Snapshot| snapshot.units = vec![needing("kde", &[])]);
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let headers = format!("Cookie: {}\r\n{kind}", world.cookie().await);
    let own = format!("{headers}Origin: http://127.0.0.1:{}\r\n", world.pages);
    let foreign = format!("{headers}Origin: http://127.0.0.1:{}\r\n", world.port);
    for (headers, body, status, said) in [
        // The request was accepted, and nothing is supervised in this test.
        (&own, "name=kde&verb=stop", 503, "the daemon is still deciding"),
        (&own, "name=kde&verb=explode", 400, "is not start, stop or restart"),
        (&own, "verb=stop", 400, "lacks &#39;name&#39;"),
        (&foreign, "name=kde&verb=stop", 403, ""),
        (&headers, "name=kde&verb=stop", 403, ""),
        (&format!("{}{kind}", basic(USER, PASSWORD)), "name=kde&verb=stop", 503, "Refused"),
    ] {
        let answer = ask(world.pages, "POST", "/act", headers, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.head);
        assert!(
            answer.body.contains(said) || answer.body.contains(&said.replace("&#39;", "'")),
            "{}",
            answer.body
        );
    }
    assert_eq!(ask(world.pages, "GET", "/act", &own, "").await.status, 405);
}

#[tokio::test]
async fn a_way_in_has_a_picture_for_cameras() {
    let world = World::new().await;
    world.observer.update(|snapshot| snapshot.routes = vec![RouteStatus::new("Desktop", 6100, "/", None)]);
    let picture = page(&world, "/qr.svg?port=6100", 200).await;
    assert!(picture.contains("<svg") && picture.contains("#fff"), "{picture}");
    assert!(page(&world, "/qr.svg?port=6101", 404).await.contains("no way in has port 6101"));
    assert_eq!(get(world.pages, "/qr.svg?port=6100", "").await.status, 401);
}

#[tokio::test]
async fn settings_are_whole_without_scripts() {
    let world = World::new().await;
    world.variables.send_replace(variables(&[
        ("SIZEW", "800"),
        ("WEB_PASSWORD", "hunter22"),
        ("DISPLAY_DPI", "many"),
        ("PROVISIONING_SCRIPT", "https://hunter22@h/x.sh?hunter22"),
    ]));
    let headers = format!("Cookie: {}\r\n", world.cookie_at(world.pages).await);
    let other = format!("Cookie: {}\r\n", world.cookie().await);
    assert_eq!(get(world.port, "/", &other).await.status, 200);
    let settings = get(world.pages, "/settings", &headers).await.body;
    for text in [
        "this browser",
        "logged in with the password",
        "End all others",
        "<form class=\"field\" method=\"post\" action=\"credentials\">",
        "<code>DISPLAY_SIZEW</code>",
        "from environment, as SIZEW",
        "default; DISPLAY_DPI is wrong",
        "******",
        "https://******@h/x.sh",
        "Revision",
        "Kernel",
    ] {
        assert!(settings.contains(text), "{text} is not in {settings}");
    }
    assert!(!settings.contains("hunter22"));
    // The buttons lead to questions.
    let ids: Vec<_> =
        settings.split("name=\"ask\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let [own, second, "others"] = ids[..] else { panic!("{ids:?}") };
    for (ask, text) in [
        (own, "End your own session?"),
        (second, "End the session of 127.0.0.1?"),
        ("others", "End all other sessions?"),
    ] {
        let asked = get(world.pages, &format!("/settings?ask={ask}"), &headers).await.body;
        assert!(asked.contains(text), "{text} is not in {asked}");
        assert!(asked.contains("<form class=\"actions\" method=\"post\" action=\"end-session\">"), "{asked}");
    }
    let asked = get(world.pages, "/settings?ask=AAAA", &headers).await.body;
    assert!(!asked.contains("end-session"), "a session that is not there is not asked about: {asked}");
    let rows = get(world.pages, "/api/environment", &headers).await.body;
    assert!(rows.contains("\"WEB_PASSWORD\"") && !rows.contains("hunter22"), "{rows}");
}

#[tokio::test]
async fn setup_says_what_was_done_and_what_failed() {
    let world = World::new().await;
    let step = |name: &str, state, reason: &str| {
        let mut step = unit(name, state, reason);
        step.info = Arc::new(UnitInfo { oneshot: true, ..(*step.info).clone() });
        step
    };
    world.observer.update(|snapshot| snapshot.units = Vec::new());
    assert!(page(&world, "/setup", 200).await.contains("still deciding"));
    world.observer.update(|snapshot| {
        snapshot.units = vec![
            step("user", UnitState::Done, ""),
            step("ssh-keys", UnitState::Failed, "the key server does not answer"),
            step("hooks", UnitState::Skipped, "no script is there"),
            needing("kde", &[]),
        ];
    });
    let empty = page(&world, "/setup", 200).await;
    for text in [
        "1 of 2 done",
        "1 failed",
        "No script sets this machine up",
        "PROVISIONING_SCRIPT",
        "the key server does not answer",
        "desktopd restart ssh-keys",
        "aria-label=\"Try again: ssh-keys\"",
        "Not in use here: 1",
    ] {
        assert!(empty.contains(text), "{text} is not in {empty}");
    }
    assert!(!empty.contains("step-kde"), "a service is no step");
    world.logs.push("provisioning", "downloading 3 of 9");
    for (state, texts) in [
        (UnitState::Starting, ["runs for", "aria-label=\"Stop: provisioning\"", "downloading 3 of 9"]),
        (UnitState::Failed, ["exit code 2", "Try again: provisioning", "downloading 3 of 9"]),
        (UnitState::Done, ["2 of 3 done", "Run again: provisioning", "downloading 3 of 9"]),
    ] {
        world.observer.update(|snapshot| {
            snapshot.units.truncate(4);
            snapshot.units.push(step(
                "provisioning",
                state,
                if state == UnitState::Failed { "exit code 2" } else { "" },
            ));
        });
        let shown = page(&world, "/setup", 200).await;
        for text in texts {
            assert!(shown.contains(text), "{text} is not in {shown}");
        }
        assert!(!shown.contains("No script sets"), "{shown}");
    }
}

#[tokio::test]
async fn tunnels_say_why_there_is_none() {
    let world = World::new().await;
    world.observer.update(|snapshot| snapshot.routes = vec![RouteStatus::new("Desktop", 6100, "/", None)]);
    world.variables.send_replace(variables(&[]));
    let none = page(&world, "/tunnels", 200).await;
    for text in ["No tunnel is open", "CF_TUNNEL_TOKEN", "not set", "ssh -L 6100:localhost:6100 HOST"] {
        assert!(none.contains(text), "{text} is not in {none}");
    }
    assert!(!none.contains("The variables below ask for one"), "{none}");
    world.variables.send_replace(variables(&[("CF_TUNNEL_TOKEN", "hunter22"), ("CF_QUICK_TUNNELS", "true")]));
    let asked = page(&world, "/tunnels", 200).await;
    assert!(
        asked.contains("The variables below ask for one") && asked.contains("set (environment)"),
        "{asked}"
    );
    assert!(!asked.contains("hunter22"));
}
