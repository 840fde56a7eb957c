//! Tests of values that come from other images, from cloud providers, from Kubernetes and from earlier starts.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn flags_of_older_start_scripts_are_understood_or_reported() {
    let (env, problems) = environment(
        &[],
        &["--no-update-portal", "--no-forward-compat", "--no-user-keys", "--sync-home", "--new-flag", "A=b"],
    );
    assert!(env.vars.disable_forward_compat);
    assert_eq!(env.text("A"), Some("b"));
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].contains("--no-user-keys: this flag does nothing here: keys that let in root"),
        "{told:#?}"
    );
    assert!(told[1].contains("--new-flag: it is neither NAME=value nor an option"), "{told:#?}");
}

#[test]
fn service_links_of_kubernetes_change_nothing_and_are_no_problem() {
    let (env, problems) = environment(
        &[
            ("SSH_PORT", "tcp://10.0.0.1:22"),
            ("TURN_PORT", "udp://10.0.0.1:3479"),
            ("SELKIES_PORT", "tcp://10.0.0.1:80"),
            ("SELKIES_SERVICE_HOST", "10.0.0.1"),
            ("REDIS_PORT", "tcp://10.0.0.1:6379"),
        ],
        &[],
    );
    assert_eq!(problems, []);
    assert_eq!((env.vars.ssh_port_local, env.vars.turn_port), (Port(22), Port(3478)));
    assert_eq!(
        (env.text("SELKIES_PORT"), env.text("SELKIES_SERVICE_HOST")),
        (None, None),
        "Selkies gets neither"
    );
    assert_eq!(env.text("REDIS_PORT"), Some("tcp://10.0.0.1:6379"), "what is not ours passes on");
    // As an argument it was written by a person, so it is a mistake.
    let (_, problems) = environment(&[], &["SSH_PORT=tcp://10.0.0.1:22"]);
    assert_eq!(problems.len(), 1);
}

#[test]
fn edits_of_the_front_door_count_from_the_next_start_on() {
    let left = Left::new();
    left.write("found", b"WEB_PASSWORD=of-the-image\0");
    left.write("written", b"WEB_USER=user\0");
    let start = || left.environment(&[("WEB_PASSWORD", "given"), ("WEB_USER", "user")], &[]);
    let password = |env: &Environment| env.vars.web_password.as_ref().unwrap().0.reveal().to_owned();

    left.write("system", "WEB_USER=user\nWEB_PASSWORD=of-the-image\n");
    let opened = start().opened(&left.files());
    let told = opened.problems();
    assert_eq!((password(&opened), told), ("given".to_owned(), vec![]), "an image's value does not count");
    let (read, told) = left.read(&opened);
    assert_eq!(password(&read), "given");
    assert!(told.len() == 1 && told[0].contains("WEB_PASSWORD: it was there before"), "{told:?}");

    left.write("system", "WEB_USER=ada\nWEB_PASSWORD=edited\nENABLE_HTTPS=true\nAUTH_EXCLUDE=6200\nMINE=1\n");
    let opened = start().opened(&left.files());
    let told = opened.problems();
    assert_eq!(told, []);
    assert_eq!((password(&opened).as_str(), opened.vars.web_user.0.as_str()), ("edited", "ada"));
    assert!(opened.vars.web_enable_https && opened.vars.auth_exclude.0 == [6200]);
    assert_eq!(opened.text("MINE"), None, "the rest is read later");
    let (read, told) = left.read(&opened);
    assert_eq!((password(&read).as_str(), told), ("edited", vec![]));
    assert_eq!(source(&read, "WEB_USER").1, left.files().system.display().to_string());
    // The copy of the daemon's own values must not contain an edit, or the daemon would take the edit for its own
    // later.
    let kept = |name: &str| read.without_edits().get(OsStr::new(name)).and_then(|value| value.to_str());
    assert_eq!((kept("WEB_USER"), kept("ENABLE_HTTPS")), (Some("user"), None));

    // A file that any user can write does not count for the gateway.
    std::fs::set_permissions(left.files().system, std::fs::Permissions::from_mode(0o666)).unwrap();
    let opened = start().opened(&left.files());
    let told = opened.problems();
    assert_eq!(password(&opened), "given");
    assert!(told.len() == 1 && told[0].to_string().contains("can write it"), "{told:?}");
}

/// The gateway answers under the host names of preset links, and trusts a tunnel, as it was opened.
#[test]
fn links_and_tunnels_count_from_the_next_start_on() {
    let left = Left::new();
    let url = "https://desk.example/";
    let lines = format!("SELKIES_URL={url}\nVNC_URL={url}\nCF_TUNNEL_TOKEN=edited\nCF_QUICK_TUNNELS=true\n");
    let opened = left.environment(&[], &[]).opened(&left.files());
    left.write("system", &lines);
    let (read, told) = left.read(&opened);
    assert_eq!((&read.vars.selkies_url, read.vars.cf_quick_tunnels), (&None, false));
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told.iter().all(|told| told.contains("it counts from the next start")), "{told:#?}");
    let opened = left.environment(&[], &[]).opened(&left.files());
    assert_eq!(opened.problems(), []);
    assert_eq!(opened.vars.vnc_url.as_ref().map(|url| url.0.as_str()), Some(url));
    assert_eq!(opened.vars.cf_tunnel_token.as_ref().map(Secret::reveal), Some("edited"));
}

#[test]
fn value_that_a_script_writes_before_the_daemon_is_an_edit() {
    let left = Left::new();
    std::fs::remove_file(left.files().written).unwrap();
    left.write("system", "A=image\nB=image\n");
    note(&left.files()).unwrap();
    let env = left.environment(&[("A", "given"), ("B", "given")], &[]);
    left.write("system", "A=image\nB=hotfix\nC=hotfix\n");
    note(&left.files()).unwrap();
    let (read, told) = left.read(&env);
    assert_eq!(told, [""; 0]);
    let found = ["A", "B", "C"].map(|name| read.text(name));
    assert_eq!(found, [Some("given"), Some("hotfix"), Some("hotfix")]);
}
