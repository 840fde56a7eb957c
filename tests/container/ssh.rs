//! SSH: keys from all places where people put them, and no login without a key.

use std::time::Duration;

use desktopd::observe::UnitState;

use crate::docker::{Done, Spec};
use crate::poll::eventually;
use crate::stack::{self, LIGHT, START, Stack};

const GRACE: Duration = Duration::from_secs(10);

/// Makes a key with each of these names, once.
const KEYS: &str = "make() { for name; do test -e /tmp/$name || ssh-keygen -q -t ed25519 -N '' -C $name -f /tmp/$name; done; }";

fn light() -> Spec {
    stack::spec().env("SUPERVISOR_NO_AUTOSTART", LIGHT)
}

/// Starts it as `init` does, after `before`, a script for the shell.
fn start(spec: Spec, before: &str) -> Stack {
    Stack::new(spec.start(&["sh", "-c", &format!("{KEYS}\n{before}\nexec init")]))
}

async fn listening(stack: &Stack) {
    eventually("an SSH server", START, async || {
        let status = stack.status()?;
        let ready = status.unit("sshd").is_some_and(|unit| unit.state == UnitState::Ready);
        if ready { Ok(()) } else { Err(stack::units(&status)) }
    })
    .await;
}

fn ssh(stack: &Stack, port: u16, user: &str, key: &str, command: &str) -> Done {
    let options = "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
                   -o NumberOfPasswordPrompts=0 -o ConnectTimeout=10";
    stack.exec(&["sh", "-c", &format!("ssh {options} -p {port} -i /tmp/{key} {user}@127.0.0.1 '{command}'")])
}

fn enters(stack: &Stack, user: &str, key: &str) {
    let done = ssh(stack, 22, user, key, "id -un");
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), user), "{key}: {}", done.stderr);
}

fn is_refused(stack: &Stack, user: &str, key: &str) {
    let done = ssh(stack, 22, user, key, "id -un");
    assert_eq!(done.code, Some(255), "{key} of {user}: {}", done.stdout);
    // The server's list of methods: no passwords.
    assert!(done.stderr.contains("Permission denied (publickey)."), "{key} of {user}: {}", done.stderr);
}

fn sh(stack: &Stack, script: &str) -> String {
    stack.exec_ok(&["sh", "-c", script])
}

#[tokio::test]
async fn keys_of_all_sources_are_accepted_and_nothing_else() {
    let before = r#"make env env2 env3 runpod vast mounted roots own other
        export SSH_PUBKEY="$(printf '%s\r\nrubbish\r\n\r\n%s\\n%s' "$(cat /tmp/env.pub)" "$(cat /tmp/env2.pub)" \
            "restrict,pty,command=\"echo a b\" $(cat /tmp/env3.pub)")"
        export PUBLIC_KEY="\"$(cat /tmp/runpod.pub)\"" SSH_PUBLIC_KEY="$(cat /tmp/vast.pub /tmp/env.pub)"
        mkdir -p /root/.ssh; cp /tmp/mounted.pub /root/.ssh/authorized_keys_mount
        test -e /root/.ssh/authorized_keys || { echo '# my own'; cat /tmp/roots.pub; } >/root/.ssh/authorized_keys
        install -d -o user -g user /home/user/.ssh && install -o user -g user /tmp/own.pub /home/user/.ssh/authorized_keys
        printf 'PermitRootLogin yes\nMatch User user,root\n  PasswordAuthentication yes\n  KbdInteractiveAuthentication yes\n  AuthenticationMethods any\n' >/etc/ssh/sshd_config.d/open.conf"#;
    let stack = start(light().env("USER_PASSWORD", "secret").env("MY_OWN", "a \"b' $c"), before);
    for boot in ["first", "second"] {
        listening(&stack).await;
        for key in ["env", "env2", "runpod", "vast", "mounted", "roots"] {
            enters(&stack, "root", key);
            enters(&stack, "user", key);
        }
        enters(&stack, "user", "own");
        is_refused(&stack, "root", "own");
        is_refused(&stack, "root", "other");
        is_refused(&stack, "user", "other");
        assert_eq!(ssh(&stack, 22, "user", "env3", "id").stdout, "a b", "a key with a command of its own");

        let host = sh(&stack, "cat /var/lib/desktopd/ssh/etc/ssh/*.pub | sort");
        let files = "cd /root/.ssh; stat -c '%a %U %n' . authorized_keys; cat authorized_keys | cut -c 1-12";
        let kept = sh(&stack, files);
        assert!(kept.starts_with("700 root .\n600 root authorized_keys\n# my own\n"), "{kept}");
        assert_eq!(kept.lines().count(), 2 + 1 + 7, "each key once:\n{kept}");
        let seen = ssh(&stack, 22, "user", "env", "printenv MY_OWN");
        assert_eq!(seen.stdout, "a \"b' $c", "{}", seen.stderr);
        if boot == "first" {
            stack.restart(GRACE);
            listening(&stack).await;
            assert_eq!(sh(&stack, "cat /var/lib/desktopd/ssh/etc/ssh/*.pub | sort"), host, "the same server");
        }
    }
    let logs = stack.logs();
    assert!(logs.contains("ssh-keys | SSH_PUBKEY, line 2: it does not begin with"), "{logs}");
    assert!(!logs.contains("no SSH key is known"), "there is a key, so no warning:\n{logs}");
}

#[tokio::test]
async fn odd_owners_and_modes_of_a_mounted_folder_do_not_prevent_a_login() {
    let before = "make env mounted; export SSH_PUBKEY=\"$(cat /tmp/env.pub)\"
        cp /tmp/mounted.pub /root/.ssh/authorized_keys; chown -R 4321:4321 /root/.ssh; chmod 777 /root/.ssh
        chmod 666 /root/.ssh/authorized_keys; chown 4321:4321 /workspace
        install -d -m 777 /workspace/home /workspace/home/user /workspace/home/user/.ssh
        install -m 666 /tmp/mounted.pub /workspace/home/user/.ssh/authorized_keys";
    let volumes = light()
        .option("--mount=type=volume,target=/root/.ssh")
        .option("--mount=type=volume,target=/workspace");
    let stack = start(volumes.env("SSH_PORT", "2022"), before);
    listening(&stack).await;
    for key in ["env", "mounted"] {
        for user in ["root", "user"] {
            let done = ssh(&stack, 2022, user, key, "id -un");
            assert_eq!((done.code, done.stdout.as_str()), (Some(0), user), "{key}: {}", done.stderr);
        }
    }
    let untouched = "cd /root/.ssh; stat -c '%a %u' . authorized_keys; cmp authorized_keys /tmp/mounted.pub";
    assert_eq!(sh(&stack, untouched), "777 4321\n666 4321");
    assert_eq!(sh(&stack, "ss -Hltn 'sport = :22'"), "", "nothing on the usual port");
}

#[tokio::test]
async fn without_a_valid_key_the_server_is_not_started() {
    let before = "make later; export SSH_PUBKEY='ssh-ed25519 AAAA me' PUBLIC_KEY='rubbish'";
    let stack = start(light(), before);
    let status = stack.wait_until_up().await;
    let sshd = status.unit("sshd").expect("the server");
    assert_eq!(sshd.state, UnitState::Skipped);
    assert!(sshd.reason.contains("no SSH key is known"), "{}", sshd.reason);
    assert_eq!(sh(&stack, "ss -Hltn 'sport = :22'; ls /root/.ssh"), "");
    sh(&stack, "install -D -m 600 /tmp/later.pub /root/.ssh/authorized_keys; desktopd reload");
    listening(&stack).await;
    enters(&stack, "root", "later");
}

#[tokio::test]
async fn a_taken_port_is_reported_once() {
    let before = "make env; export SSH_PUBKEY=\"$(cat /tmp/env.pub)\"; mkdir -p /run/sshd; ssh-keygen -q -A
        /usr/sbin/sshd";
    let stack = start(light(), before);
    let status = stack.wait_until_up().await;
    let sshd = status.unit("sshd").expect("the server");
    assert_eq!((sshd.state, sshd.restarts), (UnitState::Skipped, 0), "{}", sshd.reason);
    assert!(sshd.reason.contains("port 22") && sshd.reason.contains("SSH_PORT_LOCAL"), "{}", sshd.reason);
    // The other server still finds the keys.
    enters(&stack, "root", "env");
}

/// A changed list of users may lack the user that the server needs.
#[tokio::test]
async fn the_servers_user_is_made_where_it_is_missing() {
    let before = "make env; export SSH_PUBKEY=\"$(cat /tmp/env.pub)\"; userdel sshd";
    let stack = start(light(), before);
    listening(&stack).await;
    enters(&stack, "user", "env");
}
