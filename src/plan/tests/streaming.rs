//! The shipped services that stream: Selkies, its encoders, and the relay.

use super::*;

#[test]
fn selkies_asks_no_public_server_and_only_the_users_own() {
    let file = "command = [\"app\"]\nhook = \"selkies\"\n[environment]\nSELKIES_RTC_CONFIG_JSON = \"${config-dir}/none.json\"\n\
                SELKIES_TURN_HOST = \"${TURN_HOST}\"";
    let env = |environment: &[(&str, &str)]| {
        let plan = Plan::build(&config(environment, "", &[("selkies", file)]), &facts());
        plan.unit("selkies").unwrap().launch.env.clone()
    };
    let get = |env: &BTreeMap<OsString, OsString>, name: &str| env.get(&OsString::from(name)).cloned();
    let alone = env(&[("TURN_PASSWORD", "unused-secret")]);
    assert_eq!(get(&alone, "SELKIES_RTC_CONFIG_JSON"), Some("/c/none.json".into()));
    assert_eq!(get(&alone, "SELKIES_TURN_HOST"), None);
    assert!(!alone.values().any(|value| value == "unused-secret"));
    let own = env(&[("TURN_HOST", "turn.example"), ("SELKIES_TURN_PASSWORD", "turn-secret")]);
    assert_eq!(get(&own, "SELKIES_RTC_CONFIG_JSON"), None);
    assert_eq!(get(&own, "SELKIES_TURN_HOST"), Some("turn.example".into()));
    assert_eq!(get(&own, "SELKIES_TURN_PASSWORD"), Some("turn-secret".into()));
}

#[test]
fn encoders_of_selkies_1_are_translated() {
    for (asked, encoder, cpu) in
        [("nvh264enc", "h264enc", None), ("x264enc", "h264enc", Some("true")), ("vp9enc", "vp9enc", None)]
    {
        let config = config(
            &[("WEBRTC_ENCODER", asked)],
            "",
            &[("selkies", "command = [\"app\"]\nhook = \"selkies\"")],
        );
        let plan = Plan::build(&config, &facts());
        let env = &plan.unit("selkies").unwrap().launch.env;
        assert_eq!(env[&OsString::from("SELKIES_ENCODER")], OsString::from(encoder));
        assert_eq!(env.get(&OsString::from("SELKIES_USE_CPU")).map(|v| v.to_str().unwrap()), cpu);
    }
}

#[test]
fn our_turn_server_relays_to_the_container_alone() {
    let text = "command = [\"app\"]\nhook = \"coturn\"\nsecrets = [\"COTURN_PASSWORD\"]\n[[file]]\npath = \"/run/t.conf\"\n\
                content = \"user=${COTURN_USER}:${COTURN_PASSWORD}\\n\"";
    let plan = |environment: &[(&str, &str)]| {
        let services = [("coturn", text), ("selkies", "command = [\"app\"]\nhook = \"selkies\"")];
        Plan::build(&config(environment, "", &services), &facts())
    };
    let settings =
        [("ENABLE_COTURN", "true"), ("COTURN_PASSWORD", "p:w"), ("COTURN_LISTEN_ADDRESS", "203.0.113.9")];
    let ours = plan(&settings);
    let file = &ours.unit("coturn").unwrap().launch.files[0].content;
    assert_eq!(
        file,
        "user=user:p:w\nallowed-peer-ip=172.17.0.2\nproc-user=turnserver\nproc-group=turnserver\nexternal-ip=203.0.113.9\n"
    );
    let env = &ours.unit("selkies").unwrap().launch.env;
    assert_eq!(env[&OsString::from("SELKIES_TURN_HOST")], OsString::from("203.0.113.9"));
    assert_eq!(env[&OsString::from("SELKIES_TURN_PASSWORD")], OsString::from("p:w"));
    let local = plan(&[("COTURN_LISTEN_ADDRESS", "172.17.0.2")]);
    assert!(!local.unit("coturn").unwrap().launch.files[0].content.contains("external-ip"));
    assert!(reason(&plan(&[("COTURN_LISTEN_ADDRESS", "a\nb")]), "coturn").contains("is not an IP address"));
}
