//! The step against a real server on loopback, with stand-ins for NVIDIA's file: a script of makeself's form, and an
//! archive of small libraries.

mod files;
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use files::{Packed, Stand, VERSION, arch};
use server::{Answer, Server};

/// A machine below a folder, and the step on it.
struct World {
    dir: tempfile::TempDir,
    work: Work,
}

impl World {
    fn new(source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let step = NvidiaDriver {
            run_dir: dir.path().join("run"),
            source: source.to_owned(),
            cache: dir.path().join("cache"),
            patience: Duration::from_secs(60),
            limit: Duration::from_secs(60),
            size: 64 << 20,
        };
        fs::create_dir(&step.run_dir).unwrap();
        let spec = DriverSpec {
            version: VERSION.to_owned(),
            lacking: ["libEGL_nvidia.so.0", "libGLX_nvidia.so.0", "nvidia_drv.so", "libglxserver_nvidia.so"]
                .map(str::to_owned)
                .into(),
            ..DriverSpec::default()
        };
        let limits = Limits { wait: Duration::from_millis(5), tries: 3, ..LIMITS };
        let work = Work { root: dir.path().join("root"), step, spec, socket: None, limits };
        Self { dir, work }
    }

    /// Runs the step: whether a new plan is needed, and the error.
    fn run(&self) -> (bool, Result<(), String>) {
        command::block_on(async { Ok(self.work.bounded().await) }).unwrap()
    }

    /// Runs the step, which must fail. Returns what the probe then says.
    fn failed(&self) -> String {
        let (changed, result) = self.run();
        let why = result.expect_err("the step succeeded");
        let told = self.told();
        assert!(told.contains(&why) && told.starts_with("desktopd could not bring them: "), "{why}: {told}");
        assert!(changed && told.ends_with("`desktopd restart nvidia-driver` tries again"), "{told}");
        assert!(!self.at("opt/nvidia-drivers/version").exists() && self.files().is_empty(), "{told}");
        told
    }

    fn told(&self) -> String {
        self.work.told().unwrap_or_default()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.work.root.join(path)
    }

    /// All files and links in the driver's folder.
    fn files(&self) -> Vec<String> {
        let root = self.at("opt/nvidia-drivers");
        let (mut folders, mut found) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for name in read::names(&folder) {
                let path = folder.join(name);
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// The names in the folder of downloads.
    fn cache(&self) -> Vec<String> {
        let names = read::names(&self.work.step.cache);
        names.into_iter().map(|name| name.into_string().unwrap()).collect()
    }

    fn assert_whole(&self) {
        let v = VERSION;
        assert_eq!(
            self.files(),
            [
                "lib64/libEGL_nvidia.so.0",
                &format!("lib64/libEGL_nvidia.so.{v}"),
                "lib64/libGLX_nvidia.so.0",
                &format!("lib64/libGLX_nvidia.so.{v}"),
                "lib64/xorg/modules/drivers/nvidia_drv.so",
                "lib64/xorg/modules/extensions/libglxserver_nvidia.so",
                "version",
            ]
        );
        let text = |path: &str| fs::read_to_string(self.at(path)).unwrap();
        assert_eq!(text("opt/nvidia-drivers/version"), format!("{v}\n"));
        assert_eq!(text("etc/ld.so.conf.d/zz-nvidia-drivers.conf"), "/opt/nvidia-drivers/lib64\n");
        assert_eq!(self.told(), "");
    }
}

fn run_name() -> String {
    format!("NVIDIA-Linux-{}-{VERSION}.run", arch())
}

fn xfree86() -> String {
    format!("/XFree86/Linux-{}/{VERSION}/{}", arch(), run_name())
}

fn tesla() -> String {
    format!("/tesla/{VERSION}/{}", run_name())
}

#[test]
fn the_driver_is_unpacked_whatever_its_compression_and_its_script_is_not_run() {
    let nothing: &[u8] = &[];
    for (packed, behind) in [
        (Packed::Zstd, nothing),
        (Packed::Xz, nothing),
        (Packed::Gzip, nothing),
        // Something may follow the archive.
        (Packed::Zstd, b"more"),
        (Packed::Xz, b"more"),
        (Packed::Gzip, b"more"),
    ] {
        let marker = tempfile::tempdir().unwrap();
        let marker = marker.path().join("ran");
        let stand = Stand { packed, command: format!("touch {}", marker.display()), ..Stand::default() };
        let bytes = [&stand.bytes()[..], behind].concat();
        let server = Server::new(&[(&xfree86(), Answer::file(bytes))]);
        let world = World::new(&server.url);
        assert_eq!(world.run(), (true, Ok(())), "{packed:?}, {behind:?}");
        world.assert_whole();
        assert!(!marker.exists(), "the script ran");
        // What programs need to find the libraries; OpenCL's is not there.
        for (file, there) in [
            ("usr/share/glvnd/egl_vendor.d/10_nvidia.json", true),
            ("etc/vulkan/icd.d/nvidia_icd.json", true),
            ("etc/OpenCL/vendors/nvidia.icd", false),
        ] {
            assert_eq!(world.at(file).exists(), there, "{file}");
        }
        // The cache is no volume, so the file is not kept, and the next start needs none.
        assert_eq!(world.cache(), [""; 0]);
        assert_eq!(world.run(), (false, Ok(())), "a second time");
        // The libraries are on a volume, and the container is new.
        fs::remove_file(world.at("etc/ld.so.conf.d/zz-nvidia-drivers.conf")).unwrap();
        assert_eq!(world.run(), (true, Ok(())), "in a new container");
        world.assert_whole();
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_download_that_is_cut_is_continued_if_the_file_is_the_same() {
    let bytes = Stand { padding: 300_000, ..Stand::default() }.bytes();
    let half = bytes.len() / 2;
    let other = Stand { padding: 200_000, ..Stand::default() }.bytes();
    for (first, then, expected) in [
        // By its tag, and by its date.
        (Answer::file(bytes.clone()).tag("\"a\"").cut(half), Answer::file(bytes.clone()).tag("\"a\""), true),
        (Answer::file(bytes.clone()).date("Mon").cut(half), Answer::file(bytes.clone()).date("Mon"), true),
        // Another file, a weak tag, and a server without tags: from the beginning.
        (Answer::file(bytes.clone()).tag("\"a\"").cut(half), Answer::file(other.clone()).tag("\"b\""), false),
        (Answer::file(bytes.clone()).tag("W/\"a\"").cut(half), Answer::file(bytes.clone()), false),
        (Answer::file(bytes.clone()).cut(half), Answer::file(bytes.clone()), false),
        // A server that continues at the wrong place is asked again from the beginning.
        (
            Answer::file(bytes.clone()).tag("\"a\"").cut(half),
            Answer::file(bytes.clone()).tag("\"a\"").wrong_range(),
            false,
        ),
    ] {
        let server = Server::new(&[(&xfree86(), first), (&xfree86(), then)]);
        let world = World::new(&server.url);
        assert_eq!(world.run(), (true, Ok(())));
        world.assert_whole();
        let asked = server.asked();
        let continued = asked[1..].iter().filter(|head| server::answered_by_part(head)).count();
        assert_eq!(continued == 1 && asked.len() == 2, expected, "{asked:?}");
    }
}

#[test]
fn a_part_of_an_earlier_start_is_continued() {
    let bytes = Stand { padding: 300_000, ..Stand::default() }.bytes();
    let cut = || Answer::file(bytes.clone()).tag("\"a\"").cut(bytes.len() / 3);
    let server = Server::new(&[(&xfree86(), cut()), (&xfree86(), Answer::status("500 No"))]);
    let world = World::new(&server.url);
    let told = world.failed();
    assert!(told.contains("500 Internal Server Error, 3 times"), "{told}");
    let name = run_name();
    assert_eq!(world.cache(), [format!("{name}.origin"), format!("{name}.part")]);
    // Other users cannot exchange what root will load.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.work.step.cache), 0o700);
    server.set(&[(&xfree86(), Answer::file(bytes.clone()).tag("\"a\""))]);
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
    let range = format!("range: bytes={}-", bytes.len() / 3);
    assert!(server.asked().last().unwrap().to_lowercase().contains(&range), "{:?}", server.asked());
}

#[test]
fn a_driver_for_datacenters_alone_is_found_in_its_own_folder() {
    let server = Server::new(&[
        (&xfree86(), Answer::status("404 Not Found")),
        (&tesla(), Answer::file(Stand::default().bytes())),
    ]);
    let world = World::new(&format!("{}/", server.url));
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
    let asked = server.asked();
    assert!(asked.len() == 2 && asked[1].starts_with(&format!("GET {}", tesla())), "{asked:?}");
}

#[test]
fn each_failure_is_a_reason_with_a_remedy_and_leaves_nothing() {
    let whole = Stand::default().bytes();
    let cut = Answer::file(whole[..whole.len() - 40].to_vec());
    let damaged = |before_the_end: usize| {
        let mut bytes = whole.clone();
        let at = bytes.len() - before_the_end;
        bytes[at] ^= 0xff;
        Answer::file(bytes)
    };
    let of = |stand: Stand| Answer::file(stand.bytes());
    let huge = Stand { announced: Some(3 << 30), ..Stand::default() };
    let other_arch = if arch() == "x86_64" { "aarch64" } else { "x86_64" };
    let computing = Stand { without: "libEGL_nvidia", ..Stand::default() };
    for (answer, expected) in [
        (
            Answer::status("404 Not Found"),
            "NVIDIA_DRIVER_SOURCE names a mirror, or a folder with NVIDIA-Linux-",
        ),
        (Answer::status("403 Forbidden"), "the server does not have it"),
        (Answer::status("500 No"), "500 Internal Server Error, 3 times"),
        (cut, "its archive cannot be read"),
        (damaged(60), "its archive cannot be read"),
        // Only the sum at the end shows it: the archive's own end is before it.
        (damaged(1), "its archive cannot be read"),
        (Answer::file(whole[..whole.len() - 1].to_vec()), "its archive cannot be read"),
        (of(Stand { version: "550.90.07", ..Stand::default() }), "both must have the same version"),
        (of(Stand { arch: other_arch, ..Stand::default() }), "and this machine is"),
        (of(huge), "has 3 GiB, and no library has"),
        (of(computing), "has no libEGL_nvidia.so.0: it may be a driver for computing alone"),
        (of(Stand { packed: Packed::No, ..Stand::default() }), "compressed in an unknown way"),
        (Answer::file(b"<html>log in</html>".to_vec()), "it is a web page"),
        (Answer::file(b"#!/bin/sh\nskip=3\n".to_vec()), "it ends before line 3"),
        (Answer::endless(), "it is larger than 64 MiB, and no driver is"),
        (Answer::announced(65 << 20), "it is larger than 64 MiB, and no driver is"),
    ] {
        let server = Server::new(&[(&xfree86(), answer.clone()), (&tesla(), answer)]);
        let world = World::new(&server.url);
        let told = world.failed();
        assert!(told.contains(expected), "{expected}: {told}");
        assert_eq!(world.cache(), [""; 0], "{expected}");
    }
}

#[test]
fn a_server_that_is_away_or_too_slow_is_given_up() {
    let world = World::new("http://127.0.0.1:1");
    assert!(world.failed().contains("3 times"));
    let server = Server::new(&[(&xfree86(), Answer::silent())]);
    let mut world = World::new(&server.url);
    world.work.step.limit = Duration::from_millis(300);
    assert!(world.failed().contains("the download took longer than 300ms"));
}

#[test]
fn more_than_the_free_space_is_not_even_begun() {
    let server = Server::new(&[(&xfree86(), Answer::announced(1 << 50))]);
    let mut world = World::new(&server.url);
    world.work.step.size = 1 << 60;
    let told = world.failed();
    assert!(told.contains("1073741825 MiB are needed in") && told.contains("MiB are free"), "{told}");
}

#[test]
fn neither_names_nor_links_lead_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let evil = outside.path().join("libevil.so.1");
    let stand = Stand { traps: Some(evil.clone()), ..Stand::default() };
    let server = Server::new(&[(&xfree86(), Answer::file(stand.bytes()))]);
    let world = World::new(&server.url);
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
    assert!(!evil.exists() && read::names(outside.path()).is_empty());
    assert!(!world.dir.path().join("libup.so.1").exists() && !world.at("opt/libup.so.1").exists());
}

#[test]
fn a_folder_without_a_network_has_the_file_or_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().to_str().unwrap();
    let world = World::new(source);
    let told = world.failed();
    assert!(told.contains(&format!("has neither {}", run_name())), "{told}");
    let file = folder.path().join(run_name());
    fs::write(&file, Stand::default().bytes()).unwrap();
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
    assert!(file.exists(), "the file is the user's");
    // The same by a URL, and unpacked.
    fs::remove_file(&file).unwrap();
    Stand::default().unpack(&folder.path().join(format!("NVIDIA-Linux-{}-{VERSION}", arch())));
    let world = World::new(&format!("file://{source}"));
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
}

#[test]
fn a_file_of_an_earlier_start_is_used_without_a_network() {
    let world = World::new("http://127.0.0.1:1");
    fs::create_dir(&world.work.step.cache).unwrap();
    fs::write(world.work.step.cache.join(run_name()), Stand::default().bytes()).unwrap();
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
}

#[test]
fn nothing_is_brought_without_the_license_or_a_need() {
    let server = Server::new(&[(&xfree86(), Answer::file(Stand::default().bytes()))]);
    let mut world = World::new(&server.url);
    world.work.spec.refused = Some("desktopd does not bring them: no license".to_owned());
    assert_eq!(world.run(), (true, Ok(())));
    assert_eq!(world.told(), "desktopd does not bring them: no license");
    // The plan has it already.
    assert_eq!(world.run(), (false, Ok(())));
    world.work.spec = DriverSpec { lacking: Vec::new(), refused: None, ..world.work.spec };
    assert_eq!(world.run(), (false, Ok(())));
    assert_eq!((server.asked(), world.files()), (vec![], vec![]));
}

#[test]
fn libraries_of_another_version_are_replaced_also_when_the_new_ones_cannot_be_brought() {
    let server = Server::new(&[(&xfree86(), Answer::file(Stand::default().bytes()))]);
    let old = |world: &World| {
        let folder = world.at("opt/nvidia-drivers");
        fs::create_dir_all(folder.join("lib64")).unwrap();
        fs::write(folder.join("lib64/libEGL_nvidia.so.470.1.2"), "").unwrap();
        fs::write(folder.join("version"), "470.1.2\n").unwrap();
    };
    let world = World::new(&server.url);
    old(&world);
    assert_eq!(world.run(), (true, Ok(())));
    world.assert_whole();
    let world = World::new("http://127.0.0.1:1");
    old(&world);
    world.failed();
}

#[test]
fn the_display_waits_no_longer_than_the_patience() {
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let server = Server::new(&[(&xfree86(), Answer::silent())]);
    let mut world = World::new(&server.url);
    world.work.socket = Some(path.into());
    world.work.step.patience = Duration::from_millis(10);
    world.work.step.limit = Duration::from_millis(500);
    let told = world.failed();
    assert!(told.contains("the download took longer"), "{told}");
    let mut message = [0; 64];
    let length = listener.recv(&mut message).unwrap();
    assert_eq!(&message[..length], b"READY=1");
}

#[test]
fn progress_is_shown_in_hundredths_and_logged_in_tenths() {
    let whole = Some(200_000_000);
    let (mut shown, mut lines) = (Shown::default(), Vec::new());
    for have in [0, 1_000_000, 2_000_000, 3_999_999, 20_000_000, 200_000_000] {
        let (line, next) = shown.after(Progress { have, whole });
        shown = next;
        lines.extend(line.map(|line| (line, next.is_tenth)));
    }
    let expected = [
        ("downloaded 0 of 200 MB (0 %)", true),
        ("downloaded 2 of 200 MB (1 %)", false),
        ("downloaded 20 of 200 MB (10 %)", true),
        ("downloaded 200 of 200 MB (100 %)", true),
    ];
    assert_eq!(lines, expected.map(|(line, tenth)| (line.to_owned(), tenth)));
}
