//! Experiment.

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::scenario;
use crate::stack::{self, PASSWORD, START, USER};

#[tokio::test]
async fn experiment_webrtc() {
    let (stack, browser) = (stack::start().await, Browser::start().await);
    let address = stack.exec_ok(&["sh", "-c", "hostname -I | cut -d' ' -f1"]);
    let script = "import urllib.request as u; r=u.Request('http://127.0.0.1:16100/api/switch', data=b'{\"mode\":\"webrtc\"}', headers={'Content-Type':'application/json'}, method='POST'); print(u.urlopen(r).read()); print(u.urlopen('http://127.0.0.1:16100/api/status').read())";
    eprintln!("{}", stack.exec_ok(&["/opt/selkies/bin/python", "-c", script]));
    let url = format!("http://{}:6100/", address.trim());
    eprintln!("{url}");
    stack::log_in(&browser, &url, USER, PASSWORD).await;
    eprintln!("{}", browser.execute("return [isSecureContext, location.href]", vec![]).await);
    let desktop = Desktop { browser: &browser };
    let look = "const v=[...document.querySelectorAll('video')].map(v=>[v.id,v.paused,v.readyState,v.currentTime,v.videoWidth,v.muted,String(v.error)]); return [v, document.body.innerText]";
    for n in 0..6 {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        eprintln!("{n} {}", browser.execute(look, vec![]).await);
        browser.keep_screenshot(&format!("webrtc-{n}.png")).await;
        if n == 2 && std::env::var_os("CLICK").is_some() {
            browser.click_at(960, 540).await;
        }
    }

    desktop.wait_for_picture(std::time::Duration::from_secs(5)).await;
    browser.keep_screenshot("webrtc.png").await;
    let painted = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await;
    eprintln!("{painted:?}");
    browser.keep_screenshot("webrtc2.png").await;
    let _ = START;
}
