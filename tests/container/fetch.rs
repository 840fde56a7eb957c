//! Programs that no package archive has (`docker/install/fetch.py`): what a build says about each thing that goes wrong, in
//! a container with a web server of its own and without any other network.

use std::path::Path;

use crate::cleanup::Cleanup;
use crate::docker::{self, Container, Done};

/// Where the server's files are, beside the packages `good.deb`, `other.deb` (for another machine) and `needy.deb` (needs
/// what nobody has).
const FILES: &str = r#"
set -eu
mkdir -p /srv && cd /srv
arch=$(dpkg --print-architecture)
[ "$arch" = amd64 ] && other=arm64 || other=amd64
package() {
  mkdir -p "/tmp/$1/DEBIAN" "/tmp/$1/usr/bin"
  printf '#!/bin/sh\necho stand-in\n' >"/tmp/$1/usr/bin/Xkasmvnc"
  chmod 755 "/tmp/$1/usr/bin/Xkasmvnc"
  printf 'Package: kasmvncserver\nVersion: 1\nArchitecture: %s\nMaintainer: a test <a@b.example>\nDescription: x\n%s' "$2" "$3" \
    >"/tmp/$1/DEBIAN/control"
  dpkg-deb --build --root-owner-group "/tmp/$1" "/srv/$1.deb" >/dev/null
}
package good "$arch" ''
package other "$other" ''
package needy "$arch" 'Depends: nobody-has-this
'
head -c 300 good.deb >cut.deb
printf '<!DOCTYPE html>\n<title>Sign in</title>\n' >page.deb
head -c 1000000 /dev/zero >zeros.deb
printf '#!/bin/sh\necho stand-in\n' >program
cp program "program-$arch" && cp program "program-$other"
cp /bin/true binary && printf '\363\000' | dd of=binary bs=1 seek=18 conv=notrunc status=none
# No archive answers here, and apt would ask each three times.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
setsid python3 -m http.server 8000 --bind 127.0.0.1 --directory /srv >/dev/null 2>&1 </dev/null &
for _ in $(seq 100); do curl -sf http://127.0.0.1:8000/program -o /dev/null && exit 0; sleep 0.1; done
exit 1
"#;

/// A container with the server and the build's scripts.
fn machine() -> Container {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker");
    let container = Container::of_image()
        .option("--init")
        .option("--network=none")
        .option("--tmpfs=/small:size=64k")
        .mount(&scripts.to_string_lossy(), "/docker")
        .start(&["sleep", "600"]);
    container.exec_ok(&["bash", "-c", FILES]);
    container
}

fn sum(container: &Container, file: &str) -> String {
    container.exec_ok(&["sha256sum", &format!("/srv/{file}")])[..64].to_owned()
}

/// The last line that the script wrote to standard error.
fn last(done: &Done) -> &str {
    done.stderr.lines().last().unwrap_or_default()
}

const SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_program_that_a_person_named_is_installed_or_the_build_says_what_is_wrong() {
    let container = machine();
    let fetch = |folder: &str, url: &str, sum: &str| {
        let script = ["/docker/install/fetch.py", "/docker/sources.toml", "kasmvnc", url, sum];
        container.exec(&[&["env", folder][..], &script].concat())
    };
    let sum = |file| sum(&container, file);
    let url = |file: &str| format!("http://127.0.0.1:8000/{file}");
    let there =
        || container.exec(&["sh", "-c", "command -v Xkasmvnc; ls /usr/share/desktopd/left-out"]).stdout;
    let plain = "TMPDIR=/tmp";
    for (folder, url, sum, said) in [
        (plain, url("good.deb"), SUM.to_owned(), "has the SHA-256 sum"),
        (plain, url("good.deb"), String::new(), "KASMVNC_SHA256: a URL needs a SHA-256 sum of 64 digits"),
        (plain, url("good.deb"), "abc".to_owned(), "KASMVNC_SHA256: 'abc' is not a SHA-256 sum of 64 digits"),
        (plain, String::new(), SUM.to_owned(), "KASMVNC_SHA256 is set without KASMVNC_URL"),
        (plain, "ftp://a/b.deb".to_owned(), SUM.to_owned(), "KASMVNC_URL: 'ftp://a/b.deb' is not a URL"),
        (plain, url("page.deb"), sum("page.deb"), "answers with a web page"),
        (plain, url("nothing.deb"), SUM.to_owned(), "could not be downloaded (curl: (22)"),
        (plain, "http://127.0.0.1:1/x.deb".to_owned(), SUM.to_owned(), "could not be downloaded (curl: (7)"),
        (plain, "https://no.example/x.deb".to_owned(), SUM.to_owned(), "could not be downloaded (curl: (6)"),
        (plain, url("zeros.deb"), sum("zeros.deb"), "is neither a Debian package nor a program"),
        (plain, url("cut.deb"), sum("cut.deb"), "dpkg-deb cannot read the package ("),
        (plain, url("other.deb"), sum("other.deb"), "and this image is for"),
        (plain, url("binary"), sum("binary"), "is for machine 243, and this image is for"),
        (plain, url("needy.deb"), sum("needy.deb"), "apt-get install failed ("),
        ("TMPDIR=/small", url("zeros.deb"), sum("zeros.deb"), "does not fit on the disk"),
    ] {
        let done = fetch(folder, &url, &sum);
        assert_eq!(done.code, Some(1), "{url}: {done:?}");
        let line = last(&done);
        assert!(line.starts_with("fetch: KASMVNC_") && line.contains(said), "{url}: {said:?} in {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "one sentence: {done:?}");
        assert_eq!(there(), "", "{url}: something was left behind");
    }
    // Nothing but what was asked for remains.
    assert_eq!(container.exec(&["ls", "/usr/sbin/policy-rc.d"]).code, Some(2));
    let done = fetch(plain, "none", "");
    assert_eq!((done.code, there()), (Some(0), String::new()), "{done:?}");
    let done = fetch(plain, &url("good.deb"), &sum("good.deb").to_uppercase());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(container.exec_ok(&["Xkasmvnc"]), "stand-in");
    assert_eq!(container.exec_ok(&["dpkg-query", "-W", "kasmvncserver"]), "kasmvncserver\t1");
    let program =
        ["/docker/install/fetch.py", "/docker/sources.toml", "cloudflared", &url("program"), &sum("program")];
    container.exec_ok(&program);
    assert_eq!(container.exec_ok(&["cloudflared"]), "stand-in");
}

/// Writes a file with one source; `sum` is for this container's architecture.
fn sources(container: &Container, url: &str, sum: &str, more: &str) {
    let arch = container.exec_ok(&["dpkg", "--print-architecture"]);
    let sum = if sum.is_empty() { String::new() } else { format!("sha256.{arch} = \"{sum}\"\n") };
    let text = format!(
        "# A remark.\n\n[kasmvnc]\ntitle = \"KasmVNC\"\nversion = \"1\"\nurl = \"{url}\"\nprogram = \"/none/Xkasmvnc\"\n{more}{sum}\n\
         [other]\ntitle = \"Other\"\nversion = \"2\"\nurl = \"http://127.0.0.1:8000/program-{{arch}}\"\nprogram = \"x\"\n"
    );
    container.exec_with_input(&["tee", "/tmp/sources.toml"], text.as_bytes());
}

#[test]
fn a_default_that_is_not_to_be_had_is_left_out_and_one_that_was_changed_ends_the_build() {
    let container = machine();
    let fetch = || container.exec(&["/docker/install/fetch.py", "/tmp/sources.toml", "kasmvnc", "", ""]);
    let left_out = || container.exec(&["cat", "/usr/share/desktopd/left-out"]).stdout;
    let local = "http://127.0.0.1:8000";
    let good = sum(&container, "good.deb");
    for (url, sum, more, said) in [
        ("https://no.example/{arch}.deb", "", "", "https://no.example/"),
        (&format!("{local}/page.deb"), &good, "", "answers with a web page"),
        (&format!("{local}/nothing.deb"), &good, "", "could not be downloaded (curl: (22)"),
        (&format!("{local}/good.deb"), "", "", "has no sum for http://127.0.0.1:8000/good.deb"),
        (&format!("{local}/good.deb"), &good, "releases = [\"sarge\"]\n", "knows no package of it for"),
        (&format!("{local}/needy.deb"), &self::sum(&container, "needy.deb"), "", "Depends: nobody-has-this"),
    ] {
        sources(&container, url, sum, more);
        let done = fetch();
        assert_eq!(done.code, Some(0), "{url}: {done:?}");
        let line = done.stdout.lines().last().unwrap_or_default();
        assert!(
            line.starts_with("fetch: KasmVNC is left out: ") && line.contains(said),
            "{said:?} in {done:?}"
        );
        let file = left_out();
        let sentence = file.strip_prefix("/none/Xkasmvnc\tKasmVNC is not in this image: ").expect(&file);
        assert!(sentence.contains(said) && sentence.contains("--build-arg FETCH="), "{sentence}");
        assert_eq!(file.lines().count(), 1, "{file}");
        container.exec_ok(&["rm", "/usr/share/desktopd/left-out"]);
    }
    sources(&container, &format!("{local}/good.deb"), SUM, "");
    let done = fetch();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        last(&done).starts_with("fetch: KASMVNC_URL: ")
            && last(&done).contains("docker/sources.toml says 000"),
        "{done:?}"
    );
    sources(&container, &format!("{local}/good.deb"), &good, "");
    assert_eq!(fetch().code, Some(0));
    assert_eq!(container.exec_ok(&["Xkasmvnc"]), "stand-in");
    assert_eq!(left_out(), "");
}

#[test]
fn the_sums_are_those_of_the_files() {
    let container = machine();
    let pin = || container.exec(&["/docker/install/pin", "/tmp/sources.toml"]);
    let text = || container.exec_ok(&["cat", "/tmp/sources.toml"]);
    sources(&container, "http://127.0.0.1:8000/program-{arch}", SUM, "");
    let before = text();
    assert_eq!(pin().code, Some(0));
    let (pinned, sum) = (text(), sum(&container, "program"));
    for arch in ["amd64", "arm64"] {
        assert_eq!(pinned.matches(&format!("sha256.{arch} = \"{sum}\"\n")).count(), 2, "{pinned}");
    }
    assert!(!pinned.contains(SUM), "the old sum is still there: {pinned}");
    let rest =
        |text: &str| text.lines().filter(|line| !line.starts_with("sha256.")).collect::<Vec<_>>().join("\n");
    assert_eq!(rest(&pinned), rest(&before), "everything else stays");
    assert_eq!((pin().code, text()), (Some(0), pinned), "a second run changes nothing");
    for (url, said) in
        [("http://127.0.0.1:8000/none-{arch}", "curl: (22)"), ("http://127.0.0.1:8000/page.deb", "web page")]
    {
        sources(&container, url, SUM, "");
        let (before, done) = (text(), pin());
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains(said) && last(&done).ends_with("is as it was"), "{done:?}");
        assert_eq!(text(), before);
    }
}

/// What a person sees of it: the build's own words, from the Dockerfile's own lines.
#[test]
fn a_build_with_a_wrong_argument_fails_with_one_sentence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("Dockerfile.cpu")).expect("a Dockerfile");
    let from = text.find("ARG KASMVNC_URL=").expect("the arguments");
    let lines = &text[from..from + text[from..].find("\n\n").expect("their end")];
    let context = tempfile::tempdir().expect("make a folder");
    let file = context.path().join("Dockerfile");
    std::fs::write(&file, format!("FROM {}\n{lines}\n", docker::image())).expect("write a file");
    let name = docker::new_name();
    let client = docker::docker().get_program().to_string_lossy().into_owned();
    let _cleanup = Cleanup::new(r#"exec "$1" rmi -f "$2""#, &[&client, &name]);
    let build = |arguments: &[&str]| {
        let mut build = docker::docker();
        build.env("DOCKER_BUILDKIT", "1").args(["build", "--progress=plain", "-t", &name, "-f"]).arg(&file);
        build.args(arguments.iter().flat_map(|argument| ["--build-arg", argument])).arg(root);
        Done::from(docker::run(&mut build))
    };
    let none = ["KASMVNC_URL=none", "CLOUDFLARED_URL=none"];
    let wrong = build(
        &[&none[..], &["VIRTUALGL_URL=http://127.0.0.1:1/x.deb", &format!("VIRTUALGL_SHA256={SUM}")]]
            .concat(),
    );
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let said = "fetch: VIRTUALGL_URL: http://127.0.0.1:1/x.deb could not be downloaded (curl: (7)";
    assert!(wrong.stderr.contains(said), "{}", wrong.stderr);
    let right = build(&[&none[..], &["VIRTUALGL_URL=none"]].concat());
    assert_eq!(right.code, Some(0), "{}", right.stderr);
}

#[test]
fn a_base_image_that_cannot_be_built_on_is_named() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker");
    let container = Container::of_image()
        .option("--init")
        .option("--network=none")
        .mount(&scripts.to_string_lossy(), "/docker")
        .start(&["sleep", "600"]);
    let done = container.exec(&["env", "PATH=/none", "/bin/sh", "/docker/install/prepare.sh"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(
        last(&done),
        "prepare.sh: BASE_IMAGE has no apt-get or no bash: name an image of Debian 13 or Ubuntu 24.04"
    );
    // Archives of which none answers, then an empty one.
    let packages = |setting: &str| {
        let script =
            "printf '%s' \"$1\" >/etc/apt/sources.list; rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*
            printf 'bash\\nno-such-package | -\\nno-such-package | nor-this\\n' >/tmp/list
            exec /docker/install/packages.sh /tmp/list";
        container.exec(&["bash", "-c", script, "packages", setting])
    };
    let done = packages("deb http://127.0.0.1:1/ trixie main\n");
    assert!(
        last(&done)
            .starts_with("packages.sh: the archives that BASE_IMAGE names in /etc/apt could not be read"),
        "{done:?}"
    );
    let done = packages("");
    assert!(last(&done).contains("the BASE_IMAGE, has no package 'bash'"), "{done:?}");
}
