//! The workspace on real volumes: its owner, the files that are copied and moved there, and the result when containers
//! are killed, share it, or cannot write there. The desktop itself is not started: only the boot is tested.

use std::ops::Deref;
use std::time::Duration;

use desktopd::observe::UnitState;

use crate::docker::{Container, Spec, Volume};
use crate::poll::eventually;
use crate::stack::{self, Stack};

const OFF: &str = "kde,x-server,selkies,vnc,fcitx5,pipewire,wireplumber,pipewire-pulse,dbus-session,x-access,x-keys,x-cookie";

/// Longer than any of these boots takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const STEPS: [&str; 4] = ["workspace", "workspace-files", "opt-sync", "prepare"];

/// An application of 40 MB in /opt that can check whether it is complete, and an rsync that needs some seconds for it.
const SLOW_APP: &str = r#"
    mkdir -p /opt/app/sub; head -c 40000000 /dev/urandom >/opt/app/sub/data; echo small >/opt/app/small
    ln -s sub/data /opt/app/link; cd /opt/app; sha256sum link small >sum
    printf '#!/bin/sh\nexec /usr/bin/rsync --bwlimit=8m "$@"\n' >/usr/local/bin/rsync
    chmod 755 /usr/local/bin/rsync"#;

fn light(spec: Spec) -> Spec {
    spec.env("SUPERVISOR_NO_AUTOSTART", OFF)
}

/// A container whose boot is over, whatever its result.
struct Boot(Stack);

impl Deref for Boot {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.0
    }
}

impl Boot {
    async fn of(spec: Spec) -> Boot {
        Boot::with(spec, &["init"]).await
    }

    async fn with(spec: Spec, command: &[&str]) -> Boot {
        let boot = Boot(Stack::new(spec.start(command)));
        boot.settle().await;
        boot
    }

    /// Waits until every step has ended; the step that prepares the desktop must have succeeded.
    async fn settle(&self) {
        let busy = [UnitState::Waiting, UnitState::Starting, UnitState::Stopping, UnitState::Backoff];
        let status = eventually("the end of the boot", SOON, async || {
            let status = self.status()?;
            let over =
                STEPS.iter().all(|name| status.unit(name).is_some_and(|unit| !busy.contains(&unit.state)));
            if over { Ok(status) } else { Err(stack::units(&status)) }
        })
        .await;
        let prepare = status.unit("prepare").expect("a unit of the image");
        assert_eq!(prepare.state, UnitState::Done, "{}", stack::units(&status));
    }

    async fn again(&self) {
        self.restart(Duration::from_secs(10));
        self.settle().await;
    }

    fn state(&self, name: &str) -> UnitState {
        self.status().expect("a status").unit(name).expect("a unit").state
    }

    fn log(&self, name: &str) -> String {
        self.exec_ok(&["desktopd", "logs", name])
    }

    fn shell(&self, script: &str) -> String {
        self.exec_ok(&["bash", "-ec", script])
    }

    /// Checks that the application is on the volume, complete, and used from there, with no other files beside it.
    fn assert_moved(&self) {
        assert_eq!(self.state("opt-sync"), UnitState::Done, "{}", self.log("opt-sync"));
        assert_eq!(self.shell("readlink /opt/app; cd /opt/app; sha256sum --quiet -c sum"), "/workspace/app");
        assert_eq!(self.shell("cd /workspace; ls -d .*desktopd-sync .*desktopd-new 2>/dev/null || true"), "");
        assert_eq!(
            self.shell("ls -A /opt | grep moved || true; ls /run/workspace_sync 2>/dev/null || true"),
            ""
        );
    }
}

#[tokio::test]
async fn a_volume_keeps_its_owner_and_files_of_root_are_writable_there() {
    for (owner, expected) in [(0, 1000), (1000, 1000), (4321, 4321)] {
        let volume = Volume::new(owner, "echo kept >mine; touch WARNING-NO-MOUNT.txt");
        let boot = Boot::of(volume.of(light(Container::of_image()))).await;
        for _ in 0..2 {
            let ids = format!("{expected}:{expected}");
            assert_eq!(boot.shell("stat -c %u:%g /workspace"), ids, "a volume of {owner}");
            assert_eq!(boot.shell("stat -c %A /workspace | cut -c 7"), "s", "a volume of {owner}");
            let list = boot.shell("getfacl -pn /workspace");
            assert!(list.contains(&format!("default:user:{expected}:rwx")), "{list}");
            boot.shell(&format!(
                "rm -f /workspace/roots; echo 1 >/workspace/roots; \
                 setpriv --reuid {expected} --regid {expected} --clear-groups sh -c 'echo 2 >>/workspace/roots'"
            ));
            assert_eq!(boot.shell("cat /workspace/mine"), "kept");
            let folders =
                "stat -c %u /workspace/storage /workspace/environments/{python,javascript} | sort -u";
            assert_eq!(boot.shell(folders), expected.to_string());
            assert_eq!(boot.exec(&["test", "-e", "/workspace/WARNING-NO-MOUNT.txt"]).code, Some(1));
            boot.again().await;
        }
    }
}

#[tokio::test]
async fn ids_and_access_lists_can_be_chosen() {
    let volume = Volume::new(0, "");
    let spec = volume.of(light(Container::of_image()));
    let boot =
        Boot::of(spec.env("SKIP_ACL", "True").env("WORKSPACE_UID", "2000").env("WORKSPACE_GID", "2001"))
            .await;
    assert_eq!(boot.shell("stat -c %u:%g /workspace"), "2000:2001");
    let list = boot.shell("getfacl -pn /workspace");
    assert!(!list.contains("default:"), "{list}");
}

#[tokio::test]
async fn without_a_volume_the_workspace_has_a_warning() {
    let bare = Boot::of(light(Container::of_image())).await;
    assert_eq!(
        bare.shell("stat -c %u:%g /workspace; readlink /workspace/storage"),
        "1000:1000\n/opt/storage"
    );
    let warning = bare.shell("cat /workspace/WARNING-NO-MOUNT.txt");
    assert!(warning.contains("/workspace is not a mounted volume"), "{warning}");
    assert_eq!(bare.shell("ls /workspace"), "storage\nWARNING-NO-MOUNT.txt");
    bare.again().await;
    // Docker fills a new volume with the image's files of that folder.
    let snapshot = bare.commit();
    let volume = Volume::fresh();
    let mounted = Boot::of(volume.of(light(snapshot.spec()))).await;
    assert_eq!(mounted.shell("ls -I home /workspace"), "environments\nstorage");
    let forced = Boot::of(light(Container::of_image()).env("WORKSPACE_MOUNTED", "force")).await;
    assert_eq!(forced.shell("ls -I home /workspace"), "environments\nstorage");
}

#[tokio::test]
async fn odd_places_for_a_workspace_do_not_prevent_the_desktop() {
    for (workspace, prepare, found, told) in [
        ("/data/deep/work/", "", "/data/deep/work", ""),
        ("/my work\nplace", "", "/my work\nplace", ""),
        ("/link", "mkdir /real; ln -s /real /link", "/real", ""),
        ("/nowhere", "ln -s /gone /nowhere", "", "is a link to /gone"),
        ("/etc/hostname", "", "", "not a folder"),
        ("/opt", "", "", "the system's own"),
        ("/", "", "/workspace", ""),
    ] {
        let spec = light(Container::of_image()).env("WORKSPACE", workspace);
        let boot = Boot::with(spec, &["bash", "-c", &format!(":; {prepare}\nexec init")]).await;
        let log = boot.log("workspace");
        assert!(log.contains(told), "{workspace}: {log}");
        if !found.is_empty() {
            let warning = format!("{found}/WARNING-NO-MOUNT.txt");
            assert_eq!(boot.exec(&["test", "-s", &warning]).code, Some(0), "{workspace}: {log}");
        }
        assert_eq!(boot.shell("stat -c %u /opt"), "0", "{workspace}");
    }
}

#[tokio::test]
async fn files_of_the_image_are_copied_where_none_exist() {
    let volume = Volume::new(4321, "mkdir notes; echo theirs >notes/file; mkdir .half.desktopd-new");
    let brings = "mkdir -p /opt/workspace-internal/{notes,examples}; cd /opt/workspace-internal; \
                  echo ours >notes/file; echo ours >'examples/a file'; exec init";
    let boot = Boot::with(volume.of(light(Container::of_image())), &["bash", "-c", brings]).await;
    for _ in 0..2 {
        assert_eq!(boot.shell("cd /workspace; cat notes/file 'examples/a file'"), "theirs\nours");
        assert_eq!(boot.shell("stat -c %u '/workspace/examples/a file'"), "4321");
        assert_eq!(boot.exec(&["test", "-e", "/workspace/.half.desktopd-new"]).code, Some(1));
        boot.again().await;
    }
}

#[tokio::test]
async fn a_full_or_read_only_volume_is_reported_with_advice() {
    let app = "mkdir -p /opt/app /opt/workspace-internal/more; cp -a /usr/share/doc/bash /opt/app/; \
               head -c 3000000 /dev/urandom | tee /opt/app/data >/opt/workspace-internal/more/data";
    let fill = format!("{app}; head -c 2000000 /dev/zero >/workspace/fill; exec init");
    for (option, script, step, told) in [
        ("--tmpfs=/workspace:size=1m", format!("{app}; exec init"), "opt-sync", "there is room for"),
        ("--tmpfs=/workspace:size=1m", fill, "workspace-files", "there is room for 0 B"),
        ("--tmpfs=/workspace:ro", format!("{app}; exec init"), "workspace", "without `:ro`"),
    ] {
        let spec = light(Container::of_image()).option(option).env("OPT_SYNC", "app");
        let boot = Boot::with(spec, &["bash", "-c", &script]).await;
        assert_eq!(boot.state("workspace"), UnitState::Done, "{option}: {}", boot.log("workspace"));
        assert_eq!(boot.state("opt-sync"), UnitState::Failed, "{option}");
        let log = boot.log(step);
        assert!(log.contains(told), "{option}: {log}");
        assert_eq!(
            boot.shell("stat -c %F /opt/app; ls -A /workspace | grep desktopd- | grep -v lock || true"),
            "directory"
        );
        boot.again().await;
    }
}

#[tokio::test]
async fn a_read_only_container_needs_no_workspace() {
    let options = ["--read-only", "--tmpfs=/run", "--tmpfs=/tmp"];
    let spec = light(Container::of_image()).env("OPT_SYNC", "app");
    let boot = Boot::of(options.into_iter().fold(spec, Spec::option)).await;
    for name in STEPS {
        assert_eq!(boot.state(name), UnitState::Done, "{name}: {}", boot.log(name));
    }
    let log = boot.log("workspace");
    assert!(log.contains("mount a volume there"), "{log}");
}

#[tokio::test]
async fn two_containers_on_one_volume_copy_once() {
    let image = Container::of_image().option("--init").start(&["sleep", "600"]);
    image.exec_ok(&["bash", "-ec", SLOW_APP]);
    // These folders belong to the image's layers, and cannot be replaced with a link in one step.
    let snapshot = image.commit();
    let volume = Volume::new(0, "");
    let start =
        || Boot(Stack::new(volume.of(light(snapshot.spec())).env("OPT_SYNC", "app").start(&["init"])));
    let both = [start(), start()];
    let mut logs = Vec::new();
    for boot in &both {
        boot.settle().await;
        boot.assert_moved();
        logs.push(boot.log("opt-sync"));
    }
    let copied = logs.iter().filter(|log| log.contains("moving /opt/app")).count();
    assert_eq!(copied, 1, "{logs:#?}");
    let waited = logs.iter().find(|log| log.contains("waiting for container ")).expect("a container waits");
    assert!(waited.contains("since 20") && waited.contains("stop it"), "{waited}");
    let progress = logs.iter().any(|log| log.contains("% at ") && log.contains(" MB of 40.0 MB copied"));
    assert!(progress, "{logs:#?}");
    for boot in &both {
        boot.again().await;
        boot.assert_moved();
    }
}

/// Also a volume that an older image has filled.
#[tokio::test]
async fn python_environments_are_moved_unless_switched_off() {
    let volume = Volume::new(1000, "mkdir comfy; echo theirs >comfy/file; echo 1 >comfy/.move_complete");
    let script = "[ -e /venv/main ] || python3 -m venv --without-pip /venv/main; [ -e /opt/comfy ] || mkdir /opt/comfy; exec init";
    let spec = || volume.of(light(Container::of_image())).env("OPT_SYNC", "comfy:not-there");
    let stays = Boot::with(spec().env("WORKSPACE_SYNC", "no"), &["bash", "-c", script]).await;
    assert_eq!(stays.shell("stat -c %F /venv/main; cat /opt/comfy/file"), "directory\ntheirs");
    let boot = Boot::with(spec(), &["bash", "-c", script]).await;
    for _ in 0..2 {
        assert_eq!(boot.state("opt-sync"), UnitState::Done, "{}", boot.log("opt-sync"));
        assert_eq!(boot.shell("readlink /venv/main"), "/workspace/environments/python/main");
        assert_eq!(boot.shell("/venv/main/bin/python -c 'import sys; print(sys.prefix)'"), "/venv/main");
        assert_eq!(boot.shell("stat -c %u /venv/main/pyvenv.cfg"), "1000");
        boot.again().await;
    }
}

#[tokio::test]
async fn a_copy_of_a_killed_container_is_completed_by_the_next() {
    let image = Container::of_image().option("--init").start(&["sleep", "600"]);
    image.exec_ok(&["bash", "-ec", SLOW_APP]);
    let snapshot = image.commit();
    let volume = Volume::new(4321, "");
    let start = || volume.of(light(snapshot.spec())).env("OPT_SYNC", "app").start(&["init"]);
    let killed = async || {
        let boot = Boot(Stack::new(start()));
        eventually("half a copy", SOON, async || {
            let size = "du -sb /workspace/.app.desktopd-sync | cut -f 1; ls /run/workspace_sync";
            let done = boot.exec(&["bash", "-c", size]);
            let half = done
                .stdout
                .split_once('\n')
                .is_some_and(|(size, _)| size.parse::<u64>().is_ok_and(|size| size > 5_000_000));
            if half { Ok(()) } else { Err(format!("{done:?}")) }
        })
        .await;
        boot.kill("KILL");
        boot.wait_exit_code(SOON).await;
        assert_eq!(
            volume.shell("ls -I home /workspace"),
            "environments\nstorage",
            "an incomplete copy is not used"
        );
        boot
    };
    // The killed container itself, after a restart.
    let first = killed().await;
    first.start_again();
    first.settle().await;
    first.assert_moved();
    assert_eq!(first.shell("stat -c %u /workspace/app/small"), "4321");
    volume.shell("rm -rf /workspace/app");
    // Another container, while the killed container was the lock's last holder; then the killed container again.
    let dead = killed().await;
    let second = Boot::of(volume.of(light(snapshot.spec())).env("OPT_SYNC", "app")).await;
    second.assert_moved();
    dead.start_again();
    dead.settle().await;
    dead.assert_moved();
    assert!(dead.log("opt-sync").contains("is /workspace/app now"));
}

#[tokio::test]
async fn waiting_for_the_lock_of_another_container_has_a_limit() {
    let volume = Volume::new(0, "");
    let holder = volume.of(Container::of_image()).option("--init").start(&[
        "bash",
        "-c",
        "exec 9>>/workspace/.desktopd-sync.lock; flock 9; echo 'container 007 (since ever)' >&9; exec sleep 600",
    ]);
    eventually("the lock's holder", SOON, async || {
        (holder.exec(&["grep", "-q", "007", "/workspace/.desktopd-sync.lock"]).code == Some(0)).then_some(())
    })
    .await;
    let script = "mkdir /opt/app; sed -i 's/\"15m\"/\"3s\"/' /etc/desktopd/services/opt-sync.toml; exec init";
    let spec = volume.of(light(Container::of_image())).env("OPT_SYNC", "app");
    let boot = Boot::with(spec, &["bash", "-c", script]).await;
    assert_eq!(boot.state("opt-sync"), UnitState::Failed);
    let log = boot.log("opt-sync");
    assert!(
        log.contains("waiting for container 007 (since ever)") && log.contains("after 3s of waiting"),
        "{log}"
    );
    assert_eq!(boot.shell("stat -c %F /opt/app"), "directory");
    holder.kill("KILL");
    holder.wait_exit_code(SOON).await;
    boot.exec_ok(&["desktopd", "restart", "opt-sync"]);
    boot.settle().await;
    assert_eq!(boot.shell("readlink /opt/app"), "/workspace/app");
}

/// A folder that rclone mounts through FUSE: no owners, no modes, no links, no access lists.
#[tokio::test]
async fn a_file_system_without_owners_gets_what_is_possible() {
    let script = "mkdir -p /workspace /back /opt/plain /opt/linked /opt/workspace-internal/more; \
                  echo 1 | tee /opt/plain/file /opt/linked/file >/opt/workspace-internal/more/file; \
                  [ -e /opt/linked/link ] || ln -s file /opt/linked/link; \
                  rclone mount /back /workspace --daemon --allow-other --vfs-cache-mode writes; exec init";
    let spec = light(Container::of_image()).env("OPT_SYNC", "plain:linked");
    let fuse = ["--device=/dev/fuse", "--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];
    let spec = fuse.into_iter().fold(spec, Spec::option);
    let boot = Boot::with(spec, &["bash", "-c", script]).await;
    for _ in 0..2 {
        let log = boot.log("workspace");
        assert_eq!(boot.state("workspace"), UnitState::Done, "{log}");
        let told = log.lines().filter(|line| line.contains("keeps no owners or permissions")).count();
        assert_eq!(told, 1, "{log}");
        assert_eq!(boot.shell("readlink /opt/plain; cat /opt/plain/file"), "/workspace/plain\n1");
        // rclone can read the files of a renamed folder only after it has uploaded them.
        eventually("files of the image", SOON, async || {
            let done = boot.exec(&["cat", "/workspace/more/file"]);
            if done.stdout == "1" { Ok(()) } else { Err(done.stderr) }
        })
        .await;
        assert_eq!(boot.shell("stat -c %F /opt/linked; cat /opt/linked/file"), "directory\n1");
        assert!(boot.log("opt-sync").contains("/opt/linked stays in use"), "{}", boot.log("opt-sync"));
        // The image's own environment is no reason to fail.
        let stays = "/venv/main stays where it is: /workspace takes no symbolic links";
        assert!(boot.log("opt-sync").contains(stays), "{}", boot.log("opt-sync"));
        assert_eq!(boot.shell("ls -A /workspace/linked"), "file");
        boot.again().await;
    }
}

/// Root without its access to other users' files: as on a server that maps root to `nobody`.
#[tokio::test]
async fn where_root_may_not_write_the_owner_writes() {
    let volume = Volume::new(4321, "chmod 755 .");
    let dropped = ["DAC_OVERRIDE", "DAC_READ_SEARCH"];
    let spec = volume.of(light(Container::of_image())).env("OPT_SYNC", "app");
    let spec = dropped.into_iter().fold(spec, |spec, power| spec.option(format!("--cap-drop={power}")));
    let script =
        "[ -L /opt/app ] || mkdir -p /opt/app /opt/workspace-internal/more; echo 1 >/opt/app/file; exec init";
    let boot = Boot::with(spec, &["bash", "-c", script]).await;
    for _ in 0..2 {
        let log = boot.log("workspace");
        assert_eq!(boot.state("workspace"), UnitState::Done, "{log}");
        assert!(log.contains("root may not write to /workspace"), "{log}");
        assert_eq!(boot.state("opt-sync"), UnitState::Done, "{}", boot.log("opt-sync"));
        assert_eq!(boot.shell("readlink /opt/app; cat /opt/app/file"), "/workspace/app\n1");
        let ids = "cd /workspace; stat -c %u storage environments/python more app app/file .desktopd-sync.lock | sort -u";
        assert_eq!(boot.shell(ids), "4321");
        boot.again().await;
    }
}

/// A FUSE volume whose server does not answer.
#[tokio::test]
async fn a_volume_that_does_not_answer_does_not_delay_the_boot() {
    let script = "mkdir -p /workspace /back /opt/app; \
                  rclone mount /back /workspace --daemon --allow-other; pkill -STOP rclone; exec init";
    let spec = light(Container::of_image()).env("OPT_SYNC", "app");
    let fuse = ["--device=/dev/fuse", "--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"];
    let spec = fuse.into_iter().fold(spec, Spec::option);
    let boot = Boot::with(spec, &["bash", "-c", script]).await;
    for name in ["workspace", "opt-sync"] {
        let log = boot.log(name);
        assert_eq!(boot.state(name), UnitState::Failed, "{log}");
        assert!(log.contains("does not answer: see to the server"), "{log}");
    }
    boot.exec_ok(&["pkill", "-CONT", "rclone"]);
    boot.exec_ok(&["desktopd", "restart", "workspace"]);
    boot.settle().await;
    assert_eq!(boot.shell("ls -I home /workspace"), "environments\nstorage");
}
