//! The daemon's certificate: people see what is wrong with it, as long as it is.

use rcgen::{CertificateParams, KeyPair};

use crate::daemon_world::World;

#[test]
fn what_is_wrong_with_the_certificate_is_shown_until_it_is_mended() {
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
    // What is wrong with the services is not forgotten over it.
    world.write("desk.crt", "nonsense");
    world.until("the broken file", |status| status["problems"].to_string().contains("stays in use"));
    world.end();
}
