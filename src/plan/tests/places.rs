//! Requests of providers and templates that cannot be fulfilled.

use super::*;

const LABEL: (&str, &str) = ("VAST_CONTAINERLABEL", "C.1");

#[test]
fn a_relay_with_an_invalid_port_is_skipped_with_the_reason() {
    let text = "command = [\"app\"]\nhook = \"coturn\"\n[[condition]]\nvariable = \"ENABLE_COTURN\"\nelse = \"not asked for\"\n";
    for (name, value, expected) in [
        (
            "VAST_TCP_PORT_73478",
            "99999",
            "73478 means the port in VAST_TCP_PORT_73478, where \"99999\" is not a port",
        ),
        ("VAST_UDP_PORT_73478", "0", "VAST_UDP_PORT_73478, where \"0\" is not a port"),
        ("VAST_TCP_PORT_6100", "40610", "not asked for"),
    ] {
        let plan = Plan::build(&config(&[LABEL, (name, value)], "", &[("coturn", text)]), &facts());
        match &plan.unit("coturn").unwrap().disposition {
            Disposition::Skip(reason) => assert!(reason.contains(expected), "{name}={value}: {reason}"),
            other => panic!("{name}={value}: {other:?}"),
        }
    }
}

#[test]
fn missing_features_are_reported_if_requested() {
    for (name, value, expected) in [
        ("CF_QUICK_TUNNELS", "true", Some("opens no Cloudflare tunnels")),
        ("CF_QUICK_TUNNELS", "false", None),
        ("CF_TUNNEL_TOKEN", "hidden-token", Some("opens no Cloudflare tunnels")),
        ("VNC_PASSWORD", "hidden-token", Some("opens no port 5900")),
        ("VNC_PASSWORD", "", None),
    ] {
        let plan = Plan::build(&config(&[(name, value)], "", &[]), &facts());
        let told = plan.shortcomings.concat();
        assert_eq!(plan.shortcomings.len(), usize::from(expected.is_some()), "{name}={value}: {told}");
        assert!(told.contains(expected.unwrap_or_default()) && !told.contains("hidden"), "{told}");
    }
}

#[test]
fn entries_without_a_mapped_port_are_left_out_if_the_provider_lists_ports() {
    let entries = ("PORTAL_CONFIG", "localhost:8080:8080:/:Jupyter|localhost:8384:18384:/:Syncthing");
    for (ports, links, routes, left_out) in [
        (
            &[("VAST_TCP_PORT_8384", "40838")][..],
            0,
            1,
            &["Jupyter\": vast.ai maps no port 8080; it is left out"][..],
        ),
        (&[("VAST_TCP_PORT_8080", "40808")], 1, 0, &["Syncthing\": vast.ai maps no port 8384"]),
        // No port is known to be mapped.
        (&[], 1, 1, &[]),
    ] {
        let environment = [&[LABEL, entries], ports].concat();
        let plan = Plan::build(&config(&environment, "", &[]), &facts());
        assert_eq!((plan.links.len(), plan.routes.len()), (links, routes), "{ports:?}");
        assert_eq!((plan.left_out.len(), plan.problems.len()), (left_out.len(), 0), "{:?}", plan.left_out);
        for (found, expected) in plan.left_out.iter().zip(left_out) {
            assert!(found.contains(expected), "{found}");
        }
    }
    let plan = Plan::build(&config(&[entries], "", &[]), &facts());
    assert_eq!(
        (plan.links.len(), plan.routes.len(), plan.left_out.len()),
        (1, 1, 0),
        "elsewhere all are used"
    );
}
