//! Additional ports and links from `PORTAL_CONFIG`.

use super::*;

fn service(listen: &str, upstream: &str) -> String {
    format!(
        "command = [\"app\"]\n[route]\ntitle = \"Own\"\npath = \"/own\"\nlisten = \"{listen}\"\nupstream = \"{upstream}\"\n"
    )
}

/// A plan with a desktop, a VNC server that is bridged, and notebooks.
fn plan(environment: &[(&str, &str)]) -> Plan {
    let desktop = service("${SELKIES_PORT_HOST}", "127.0.0.1:${SELKIES_PORT_LOCAL}");
    let vnc = service("${VNC_PORT_HOST}", "unix:/run/vnc.sock") + "bridge = \"/ws\"\n";
    let notebooks = service("8888", "127.0.0.1:18888");
    let services = [("desktop", desktop.as_str()), ("notebooks", notebooks.as_str()), ("vnc", vnc.as_str())];
    Plan::build(&config(environment, "", &services), &facts())
}

/// The ports in order: target, unit, title and path.
fn shown(plan: &Plan) -> Vec<String> {
    let route = |route: &Route| {
        let Route { unit, title, listen, upstream, path, .. } = route;
        format!("{listen} {upstream} [{unit}] {title} {path}")
    };
    let link = |Link { title, port, path }: &Link| format!("{port} {title} {path}");
    plan.routes.iter().map(route).chain(plan.links.iter().map(link)).collect()
}

fn told(plan: &Plan) -> Vec<String> {
    plan.problems.iter().map(ToString::to_string).collect()
}

const OWN: [&str; 3] = [
    "6100 127.0.0.1:16100 [desktop] Own /own",
    "8888 127.0.0.1:18888 [notebooks] Own /own",
    "6200 unix:/run/vnc.sock [vnc] Own /own",
];

#[test]
fn a_template_of_vast_ai_names_our_own_ports() {
    let text = "localhost:1111:11111:/:Instance Portal|localhost:7100:16100:/:Low Latency|\
                localhost:6200:16200:/guacamole:VNC|localhost:8080:8080:/:Jupyter|\
                localhost:8080:8080:/terminals/1:Terminal|localhost:8384:18384:/ui:Syncthing";
    let plan = plan(&[("PORTAL_CONFIG", text)]);
    assert_eq!(told(&plan), [""; 0]);
    assert_eq!(
        shown(&plan),
        [
            "7100 127.0.0.1:16100 [desktop] Low Latency /own",
            OWN[1],
            "6200 unix:/run/vnc.sock [vnc] VNC /own",
            "8384 localhost:18384 [] Syncthing /ui",
            "8080 Jupyter /",
            "8080 Terminal /terminals/1",
        ]
    );
    assert_eq!((plan.portal.port, &*plan.portal.title), (1111, "Instance Portal"));
    assert!(plan.text().contains("8384 -> localhost:18384 (Syncthing)\n"), "{}", plan.text());
    assert!(plan.text().contains("8080/terminals/1 (Terminal, a link only)"), "{}", plan.text());
}

#[test]
fn an_entry_names_any_service_of_ours_and_may_have_two() {
    let plan = plan(&[(
        "PORTAL_CONFIG",
        "localhost:9000:18888:/lab:Lab|localhost:9000:18888:/tree:Tree|localhost:9001:18888:/:More",
    )]);
    assert_eq!(told(&plan), [""; 0]);
    assert_eq!(
        shown(&plan),
        [OWN[0], "9000 127.0.0.1:18888 [notebooks] Lab /lab", OWN[2], "9000 Tree /tree", "9000 More /lab"]
    );
}

#[test]
fn other_addresses_are_other_services() {
    let plan =
        plan(&[("PORTAL_CONFIG", "10.0.0.5:9000:16100:/:There|[::1]:9001:1:/:Six|box.lan:9002:11111:/:Box")]);
    assert_eq!(told(&plan), [""; 0]);
    assert_eq!(shown(&plan)[..3], OWN);
    assert_eq!(
        shown(&plan)[3..],
        ["9000 10.0.0.5:16100 [] There /", "9001 [::1]:1 [] Six /", "9002 box.lan:11111 [] Box /"]
    );
    assert_eq!(plan.portal.port, 1111);
}

#[test]
fn the_portal_is_where_its_entry_says() {
    for (environment, port, problem) in [
        (&[("PORTAL_CONFIG", "localhost:2222:11111:/:P")][..], 2222, ""),
        (&[("PORTAL_CONFIG", "localhost:11111:11111:/:P")], 1111, ""),
        (&[("PORTAL_CONFIG", "localhost:2222:11112:/:P"), ("SERVICEPORTAL_PORT_LOCAL", "11112")], 2222, ""),
        (
            &[("PORTAL_CONFIG", "localhost:2222:11111:/:P"), ("SERVICEPORTAL_PORT_HOST", "3333")],
            3333,
            "PORTAL_CONFIG: \"localhost:2222:11111:/:P\": SERVICEPORTAL_PORT_HOST says 3333, and that is used",
        ),
        (&[("PORTAL_CONFIG", "localhost:1111:11111:/:P"), ("SERVICEPORTAL_PORT_HOST", "1111")], 1111, ""),
    ] {
        let plan = plan(environment);
        assert_eq!((plan.portal.port, &*plan.portal.title), (port, "P"), "{environment:?}");
        let told = told(&plan).concat();
        assert!(told.ends_with(problem) && told.is_empty() == problem.is_empty(), "{environment:?}: {told}");
        assert_eq!(shown(&plan), OWN);
    }
}

#[test]
fn a_port_in_a_variable_precedes_the_entry() {
    let plan = plan(&[("PORTAL_CONFIG", "localhost:7100:16100:/d:Desk"), ("SELKIES_PORT_HOST", "6100")]);
    assert_eq!(shown(&plan), ["6100 127.0.0.1:16100 [desktop] Desk /d", OWN[1], OWN[2]]);
    assert!(
        told(&plan)[0].contains("\"localhost:7100:16100:/d:Desk\": SELKIES_PORT_HOST says 6100"),
        "{:?}",
        told(&plan)
    );
}

#[test]
fn taken_ports_are_not_reassigned_and_entries_never_lead_to_desktopd_itself() {
    let text = "localhost:1111:5000:/:A|localhost:6200:5001:/:B|localhost:7000:6200:/:C|localhost:7001:7002:/:D|\
                localhost:7002:7001:/:E|localhost:7003:1111:/:F";
    let plan = plan(&[("PORTAL_CONFIG", text)]);
    assert_eq!(shown(&plan), OWN);
    let told = told(&plan);
    for expected in [
        "\"localhost:1111:5000:/:A\": port 1111 belongs to Service portal; it is left out",
        "\"localhost:6200:5001:/:B\": port 6200 belongs to Own; it is left out",
        "\"localhost:7000:6200:/:C\": port 6200 is one that desktopd itself listens on",
        "\"localhost:7001:7002:/:D\": port 7002 is one that",
        "\"localhost:7002:7001:/:E\": port 7001 is one that",
        "\"localhost:7003:1111:/:F\": port 1111 is one that",
    ] {
        assert!(told.iter().any(|told| told.contains(expected)), "{expected}: {told:#?}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
}

#[test]
fn a_service_that_is_not_installed_has_no_port() {
    let plan = Plan::build(&config(&[("PORTAL_CONFIG", "localhost:6200:16200:/:VNC")], "", &[]), &facts());
    assert_eq!((shown(&plan), told(&plan)), (vec![], vec![]));
}
