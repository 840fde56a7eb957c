//! The daemon's certificate: its problem is shown for as long as it exists.

use rcgen::{CertificateParams, KeyPair};

use crate::daemon::world::World;

#[test]
fn a_certificate_problem_is_shown_until_it_is_corrected() {
    let mut world = World::of(&[("one", "@polite")]);
    let (certificate, key) = (world.path("desk.crt"), world.path("desk.key"));
    world.env("WEB_TLS_CERT_FILE", &certificate).env("WEB_TLS_KEY_FILE", &key);
    world.start();
    let shown =
        |status: &serde_json::Value| status["problems"].to_string().contains("desk.crt: No such file");
    world.until("the missing file", shown);
    world.until_said("a self-signed certificate is used instead");

    let made = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["desk.example".to_owned()]).unwrap();
    world.write("desk.key", &made.serialize_pem());
    world.write("desk.crt", &params.self_signed(&made).unwrap().pem());
    world.until("no problem any more", |status| !shown(status));
    // Problems of the services stay in the list meanwhile.
    world.write("desk.crt", "nonsense");
    world.until("the broken file", |status| status["problems"].to_string().contains("stays in use"));
    world.end();
}
