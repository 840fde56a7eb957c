//! Resource limits and privileges of services, and the fallbacks where the daemon itself has lower limits.

use std::collections::BTreeMap;
use std::fs;

use nix::unistd::User;

use crate::daemon::world::{World, is_root, pid_of, proc_status, skipped, until, variable, works};

/// Soft and hard limits of a process, by their names in `/proc/PID/limits`.
fn limits(pid: i32) -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let row = |line: &str| {
        let (name, rest) = line.split_at(26);
        let mut fields = rest.split_ascii_whitespace().map(str::to_owned);
        Some((name.trim().to_owned(), (fields.next()?, fields.next()?)))
    };
    text.lines().skip(1).filter_map(row).collect()
}

fn pair(soft: &str, hard: &str) -> (String, String) {
    (soft.to_owned(), hard.to_owned())
}

/// How much higher a process's OOM score is than the daemon's.
fn score(world: &World, pid: i32) -> i32 {
    let score = |pid| fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse::<i32>();
    score(pid).unwrap() - score(world.pid()).unwrap()
}

#[test]
fn a_service_has_the_limits_of_its_file() {
    let world = World::running(&[
        (
            "limited",
            "command = [\"sleep\", \"1000\"]\nopen-files = 64\noom-score-adj = 321\n[limits]\ncore = 0\nfsize = \"1GiB\"\n\
             cpu = \"2h\"\nnproc = { soft = 1000, hard = 2000 }\nstack = { soft = \"4MiB\", hard = \"8MiB\" }",
        ),
        // The descriptors that this service inherits have numbers far above such a limit.
        (
            "few",
            "command = [\"/bin/sh\", \"-c\", \"echo >&3; exec sleep 1000\"]\nready = { kind = \"fd\" }\nopen-files = 16\ncontain = true",
        ),
        ("plain", "command = [\"sleep\", \"1000\"]"),
    ]);
    world.until_up();
    let pid = pid_of(&world.unit("limited"));
    until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
    let found = limits(pid);
    for (name, expected) in [
        ("Max open files", pair("64", "64")),
        ("Max core file size", pair("0", "0")),
        ("Max file size", pair("1073741824", "1073741824")),
        ("Max cpu time", pair("7200", "7200")),
        ("Max processes", pair("1000", "2000")),
        ("Max stack size", pair("4194304", "8388608")),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    assert_eq!(limits(pid_of(&world.unit("few")))["Max open files"], pair("16", "16"));
    let plain = pid_of(&world.unit("plain"));
    // The kernel kills desktopd last.
    assert_eq!((score(&world, plain), score(&world, pid)), (400, 321));
    assert_eq!([world.log("limited"), world.log("few"), world.log("plain")], ["", "", ""]);
    let shown = world.cli(&["plan"]).out;
    assert!(shown.contains("may: open-files = 64, ") && shown.contains("oom-score-adj = 321"), "{shown}");
}

#[test]
fn the_daemon_opens_as_many_files_as_it_may_and_its_services_as_many_as_before() {
    let mut world = World::of(&[
        ("plain", "command = [\"sleep\", \"1000\"]"),
        ("guarded", "command = [\"sleep\", \"1000\"]\ncontain = true"),
        ("more", "command = [\"sleep\", \"1000\"]\nopen-files = { soft = 400, hard = 500 }"),
    ]);
    world.wrapped_in(&["/bin/sh", "-c", "ulimit -S -n 300; ulimit -H -n 600; exec \"$@\"", "sh"]);
    world.start();
    world.until_up();
    assert_eq!(limits(world.pid())["Max open files"], pair("600", "600"));
    for (name, expected) in [("plain", ("300", "600")), ("guarded", ("300", "600")), ("more", ("400", "500"))]
    {
        let pid = pid_of(&world.unit(name));
        until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
        assert_eq!(limits(pid)["Max open files"], pair(expected.0, expected.1), "{name}");
    }
}

/// Docker gives root neither `CAP_SYS_RESOURCE` nor `CAP_SYS_NICE`; an ordinary user has no capability at all.
#[test]
fn limits_that_cannot_be_raised_are_as_high_as_possible_and_logged() {
    let mut world = World::of(&[(
        "greedy",
        "command = [\"sleep\", \"1000\"]\nnice = -5\noom-score-adj = -500\nopen-files = 100000\n\
         stop-command = [\"true\"]\n[limits]\nrtprio = { soft = 0, hard = 50 }\ncore = { soft = 0, hard = \"unlimited\" }",
    )]);
    world.wrapped_in(&["prlimit", "--nofile=600:600", "--rtprio=0:0", "--core=0:4096", "--"]);
    if is_root() {
        world.as_user(65534);
    }
    world.start();
    let unit = world.until_state("greedy", "ready");
    let pid = pid_of(&unit);
    until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
    let found = limits(pid);
    assert_eq!(found["Max open files"], pair("600", "600"));
    assert_eq!(found["Max realtime priority"], pair("0", "0"));
    assert_eq!(found["Max core file size"], pair("0", "4096"));
    let log = world.log("greedy");
    let expected = [
        "desktopd: setting the priority to nice = -5: Permission denied; it starts without",
        "desktopd: setting oom-score-adj = -500: Permission denied; it starts without",
        "desktopd: setting the limit open-files = 100000: Operation not permitted; it gets open-files = 600",
        "desktopd: setting the limit limits.core = 0 (hard unlimited): Operation not permitted; it gets limits.core = 0 (hard 4096)",
        "desktopd: setting the limit limits.rtprio = 0 (hard 50): Operation not permitted; it gets limits.rtprio = 0",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    // The stop command has the same limits, and does not report them again.
    world.tell(&["stop", "--wait", "greedy"]);
    assert_eq!(world.log("greedy"), log);
}

#[test]
fn a_missing_home_is_ignored_and_a_missing_configured_folder_is_an_error() {
    if !is_root() {
        return skipped("only root can become a user without a home");
    }
    let user = User::from_uid(65534.into()).unwrap().expect("the user `nobody`");
    if user.dir.exists() {
        return skipped("the user `nobody` has a home");
    }
    let mut world = World::of(&[
        (
            "homeless",
            "user = \"desktop\"\ncommand = [\"sleep\", \"1000\"]\nready = { kind = \"exec\", command = [\"true\"] }",
        ),
        (
            "asking",
            "user = \"desktop\"\ncommand = [\"sleep\", \"1000\"]\ndirectory = \"${home}\"\nrestart = \"never\"",
        ),
        (
            "member",
            "user = \"desktop\"\ncommand = [\"sleep\", \"1000\"]\ndirectory = \"/\"\ngroups = [\"tty\", \"4321\"]",
        ),
        ("root-member", "user = \"root\"\ncommand = [\"sleep\", \"1000\"]\ngroups = [\"4321\"]"),
        ("typo", "user = \"desktop\"\ncommand = [\"sleep\", \"1000\"]\ngroups = [\"no-such-group\"]"),
    ]);
    world.env("USER_NAME", &user.name);
    world.start();
    let missing = format!("changing to the folder {}: No such file or directory", user.dir.display());
    let homeless = pid_of(&world.until_state("homeless", "ready"));
    assert_eq!(fs::read_link(format!("/proc/{homeless}/cwd")).unwrap().to_str(), Some("/"));
    assert_eq!(world.log("homeless"), format!("desktopd: {missing}; it starts in / instead\n"));
    assert_eq!(world.until_state("asking", "failed")["reason"], missing.as_str());
    let groups = |name: &str| {
        let pid = pid_of(&world.until_state(name, "ready"));
        until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
        proc_status(pid, "Groups").split(' ').map(|id| id.parse().unwrap()).collect::<Vec<u32>>()
    };
    let member = groups("member");
    assert_eq!(member.len(), 3, "{member:?}");
    assert!(member.contains(&4321) && member.contains(&user.gid.as_raw()), "{member:?}");
    assert!(groups("root-member").contains(&4321));
    let typo = world.until_state("typo", "failed")["reason"].as_str().unwrap().to_owned();
    assert!(typo.ends_with("typo.toml: groups: \"no-such-group\" is not a group of this machine"), "{typo}");
}

#[test]
fn without_root_no_groups_are_joined_and_the_log_says_so() {
    let mut world = World::of(&[("own", "command = [\"sleep\", \"1000\"]\ngroups = [\"4321\"]")]);
    if is_root() {
        world.as_user(65534);
    }
    world.start();
    world.until_state("own", "ready");
    world.until_said("own | desktopd: joining the groups 4321: Operation not permitted; it starts without");
}

/// Mounts a control group with a limit of cores over the real one.
const CORES: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /sys/fs/cgroup \
                     && { [ -z \"$D\" ] || ln -s \"$D/cpu.max\" /sys/fs/cgroup/cpu.max; } && exec \"$@\"";

#[test]
fn libraries_start_no_more_threads_than_there_are_cores_and_a_persons_variable_wins() {
    if !is_root() || std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return skipped("only root can mount a control group, and one core cannot be limited");
    }
    let wrapper = ["unshare", "--mount", "sh", "-c", CORES, "sh"];
    if !works(&wrapper) {
        return;
    }
    let mut world = World::of(&[("app", "@polite"), ("later", "@polite\nafter = [\"app\"]")]);
    world.write("cpu.max", "50000 100000\n");
    fs::create_dir(world.path("work")).unwrap();
    world.write("work/.env", "MKL_NUM_THREADS=7\n");
    let work = world.path("work");
    world.env("WORKSPACE", work).env("OPENBLAS_NUM_THREADS", "5");
    world.wrapped_in(&wrapper);
    world.start();
    world.until_up();
    let pid = pid_of(&world.unit("app"));
    let value = |name: &str| variable(pid, name).map(|value| value.into_string().unwrap());
    for (name, expected) in [
        ("OMP_NUM_THREADS", "1"),
        ("LP_NUM_THREADS", "1"),
        ("OPENBLAS_NUM_THREADS", "5"),
        ("MKL_NUM_THREADS", "7"),
    ] {
        assert_eq!(value(name).as_deref(), Some(expected), "{name}");
    }
    // A limit that is changed meanwhile restarts nothing.
    world.write("cpu.max", "max 100000\n");
    world.tell(&["reload"]);
    assert_eq!(pid_of(&world.until_state("app", "ready")), pid);
    world.end();
}
