//! Real shells, and scripts that do the same things to them as users' scripts do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

/// Sources `scripts` one after the other, each for at most `limit`; returns the environment that is left.
fn source(scripts: &[&str], limit: Duration) -> (Variables, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let hooks: Vec<Hook> = scripts
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let file = dir.path().join(format!("{at}.sh"));
            fs::write(&file, text.replace("@D", dir.path().to_str().unwrap())).unwrap();
            Hook { file, mark: Some(dir.path().join(format!("mark{at}"))) }
        })
        .collect();
    let env: Variables = [("PATH", "/usr/bin:/bin"), ("HOME", "/root"), ("SAID", "no")]
        .map(|(n, v)| (n.into(), v.into()))
        .into();
    let room = dir.path().join("room");
    let left = command::until_told(async {
        let talk = prepare(&room).map_err(|error| error.to_string())?;
        Ok(Shells { room: &room, hooks: &hooks, limit, env, next: 0, current: None }.run(talk).await)
    });
    (left.unwrap(), dir)
}

fn value<'a>(env: &'a Variables, name: &str) -> &'a [u8] {
    env.get(OsStr::new(name)).map_or(b"(unset)", |value| value.as_bytes())
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn each_script_sees_what_those_before_it_left() {
    let (env, dir) = source(
        &[
            "A=1; export B=2 SAID=yes; f() { echo \"f: $A\"; }; declare -x D=4",
            "f > @D/heard; export C=\"$A$B\" ODD=$'a\\n\\xff=b '",
            "unset B; return 3",
        ],
        LONG,
    );
    assert_eq!(fs::read_to_string(dir.path().join("heard")).unwrap(), "f: 1\n");
    for (name, expected) in [
        ("A", &b"(unset)"[..]),
        ("B", b"(unset)"),
        ("C", b"12"),
        ("D", b"4"),
        ("SAID", b"yes"),
        ("ODD", b"a\n\xff=b "),
    ] {
        assert_eq!(value(&env, name), expected, "{name}");
    }
    let big = "export BIG=$(head -c 200000 /dev/zero | tr '\\0' x)";
    let (left, _) = source(&["export B=2", big, "export C=3"], LONG);
    assert_eq!(
        [value(&left, "B"), value(&left, "C")],
        [&b"2"[..], b"(unset)"],
        "what no program can be given"
    );
    assert!((0..3).all(|at| dir.path().join(format!("mark{at}")).exists()), "each has been run");
}

/// Whatever the first script does, the second script works, and the variables exported before exist.
#[test]
fn a_script_that_breaks_its_shell_does_not_stop_the_next_script() {
    for wrong in [
        "exit 7",
        "exit",
        "exec true",
        "kill -KILL $$",
        "kill $$",
        "set -e; false; export B=never",
        "set -eu; echo \"$NOT_THERE\"",
        "set -u",
        "set -o noclobber; set -f; set -n",
        "if then",
        "echo 'never closed",
        "cd /tmp; umask 777; IFS=/",
        "exec >/dev/null 2>&1 </dev/zero",
        "exec 0<&- 1>&- 2>&-",
        "for i in {3..40}; do eval \"exec $i>&-\"; done",
        "unset PATH HOME",
        "PATH=/nowhere",
        "trap 'exit 9' DEBUG",
        "trap 'exit 9' ERR; false",
        "trap 'echo bye' EXIT",
        "read line; read -t 5 line",
        "sleep 300 & echo $! > @D/p1; disown; sleep 300 & echo $! > @D/p2",
        "continue",
        "break",
        "export LD_PRELOAD=/no/such/thing.so",
        "printf() { :; }; cat() { :; }",
        "shopt -s extdebug nullglob; set -- x y z; shift 2",
        "export BIG=$(head -c 200000 /dev/zero | tr '\\0' x)",
        "set -o posix; set -T -E",
    ] {
        let then = "[[ -n $PATH && $PWD = / && $(umask) = 0002 ]] && echo fine > @D/then; export C=3; [[ ! -e @D/p1 ]] || kill $(cat @D/p1 @D/p2)";
        let (env, dir) = source(&[&format!("export B=2\n{wrong}"), then], LONG);
        assert_eq!(
            fs::read_to_string(dir.path().join("then")).unwrap_or_default(),
            "fine\n",
            "after {wrong}"
        );
        let left = [value(&env, "B"), value(&env, "C"), value(&env, "SAID")];
        // These leave the shell no chance to save its environment.
        let abrupt = ["exec true", "kill -KILL $$", "set -o noclobber; set -f; set -n"].contains(&wrong);
        let expected: [&[u8]; 3] = match wrong {
            _ if wrong.contains("BIG") => [b"(unset)", b"(unset)", b"no"],
            _ if abrupt => [b"(unset)", b"3", b"no"],
            _ => [b"2", b"3", b"no"],
        };
        assert_eq!(left, expected, "after {wrong}");
        assert!(dir.path().join("mark0").exists(), "{wrong}: it had its turn");
    }
}

#[test]
fn script_over_its_time_limit_is_ended_but_its_background_jobs_stay() {
    let limit = Duration::from_millis(600);
    let (env, dir) = source(
        &[
            "export B=2; setsid sleep 61.5 & echo $! > @D/job",
            "export C=3; sleep 62.5",
            "trap '' TERM; while :; do sleep 1; done",
            "export D=4",
        ],
        limit,
    );
    assert_eq!([value(&env, "B"), value(&env, "D")], [b"2", b"4"]);
    let job = fs::read_to_string(dir.path().join("job")).unwrap().trim().parse().unwrap();
    let job = nix::unistd::Pid::from_raw(job);
    nix::sys::signal::kill(job, nix::sys::signal::Signal::SIGKILL).expect("it is still there");
}

#[test]
fn scripts_are_sorted_by_name_and_scripts_that_run_once_are_not_found_again() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["20-b.sh", "10-a.sh", "notes.txt", "old.sh~"] {
        fs::write(dir.path().join(name), "true\n").unwrap();
    }
    fs::create_dir(dir.path().join("folder.sh")).unwrap();
    let names = |path: &Path, once: Option<&Path>| -> Vec<(String, bool)> {
        scripts(&HookFolder { path: path.into(), once: once.map(Into::into) })
            .into_iter()
            .map(|hook| (hook.file.file_name().unwrap().to_string_lossy().into_owned(), hook.mark.is_some()))
            .collect()
    };
    let mark = dir.path().join("mark");
    let (first, second) = ("10-a.sh".to_owned(), "20-b.sh".to_owned());
    assert_eq!(names(dir.path(), None), [(first.clone(), false), (second.clone(), false)]);
    assert_eq!(names(dir.path(), Some(&mark)), [(first, false), (second, true)]);
    fs::write(&mark, "").unwrap();
    assert_eq!(names(dir.path(), Some(&mark)), []);
    assert_eq!(names("/no/such/folder".as_ref(), None), []);
}
