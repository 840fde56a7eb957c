//! Tests of all logs together.

use super::*;

#[test]
fn followers_get_each_line_once_and_their_channel_goes_with_the_last_of_them() {
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 10_000 }, Console::silent());
    let texts = |lines: Vec<Line>| lines.iter().map(|line| line.text.to_string()).collect::<Vec<_>>();
    let has_channel = || lock(&logs.unit("a").lines).live.is_some();
    logs.push("a", "1");
    assert!(!has_channel());
    let (newest, mut live) = logs.follow("a", 10);
    let (_, mut second) = logs.follow("a", 0);
    logs.push("a", "2");
    assert_eq!(texts(newest), ["1"]);
    assert_eq!(&*live.try_recv().unwrap().text, "2");
    drop(live);
    logs.push("a", "3");
    assert_eq!(&*second.try_recv().unwrap().text, "2");
    assert_eq!(&*second.try_recv().unwrap().text, "3");
    drop(second);
    logs.push("a", "4");
    assert!(!has_channel());
    let (newest, mut live) = logs.follow("a", 1);
    logs.push("a", "5");
    assert_eq!(texts(newest), ["4"]);
    assert_eq!(&*live.try_recv().unwrap().text, "5");
    assert!(live.try_recv().is_err());
}
