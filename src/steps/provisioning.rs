//! Runs the provisioning script, by which users set up their machine.
//!
//! The two older images run it in two ways, and users' scripts rely on theirs. On vast.ai it runs once, as root, and
//! files in the root folder show its state. Elsewhere it runs at every start, as the desktop's user, unless the script
//! has left a lock file in the workspace that says not to run it again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::config::env::Variables;
use crate::config::service::step::Provisioning;
use crate::config::{Environment, Provider};
use crate::sys::replace::remove;

use super::appended;
use super::command;
use super::fetch::{LIMITS, Source};
use super::report::tell;
use super::runner::{Job, Person};
use super::script;

/// Where vast.ai's portal and scripts look for its log.
const LOG: &str = "/var/log/portal/provisioning.log";

/// In the workspace: if this file exists, the script does not run again.
const LOCK: &str = ".update_lock";

/// In the root folder of vast.ai's machines: the state of the script.
const RUNNING: &str = ".provisioning";
const COMPLETE: &str = ".provisioning_complete";
const FAILED: &str = ".provisioning_failed";

/// Runs the script that the environment names, or else the first of the step's files that exists. Returns the exit code.
pub(super) fn run(step: &Provisioning) -> Result<i32, String> {
    let env = Environment::of_process(&[], &mut Vec::new());
    let vars = &env.vars;
    let marks = Marks::of(Provider::of(&env.raw).is_vast(), Path::new("/"), vars.workspace.folder());
    if let Some(reason) = marks.enough() {
        println!("{reason}");
        return Ok(0);
    }
    let root = Uid::effective().is_root();
    if root {
        link_log(&step.log_dir.join("provisioning.log"), LOG.as_ref());
    }
    marks.begin();
    let person = person(vars, marks.vast, &step.user);
    let result = person.and_then(|person| provision(vars, &person, step));
    if root {
        // Scripts install libraries; programs that the user starts must be able to find them.
        if let Err(error) = command::run(&mut command::program("/sbin/ldconfig"), LDCONFIG) {
            eprintln!("ldconfig: {error}");
        }
    }
    marks.end(result == Ok(0));
    result
}

/// Time limit of `ldconfig`.
const LDCONFIG: std::time::Duration = std::time::Duration::from_secs(120);

fn provision(vars: &Variables, person: &Person, step: &Provisioning) -> Result<i32, String> {
    let source = source(vars.provisioning_script.as_deref(), &step.files)?;
    if person.is_other() {
        appended::open(person.ids);
    }
    let copy = step.run_dir.join("scripts/provisioning.sh");
    let folder = vars.workspace.folder();
    let ended = Job { source: &source, limits: &LIMITS, copy, person, folder }.perform("", |_| None);
    if person.is_other() {
        for told in appended::collect() {
            println!("{told}");
        }
    }
    ended
}

fn source(asked: Option<&str>, files: &[PathBuf]) -> Result<Source, String> {
    match asked {
        Some(text) => Source::parse(text).map_err(|error| format!("PROVISIONING_SCRIPT: {error}")),
        None => files.iter().find(|path| path.exists()).cloned().map(Source::Local).ok_or_else(|| {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            format!("PROVISIONING_SCRIPT is not set, and nothing is at {}", files.join(" or "))
        }),
    }
}

/// The user who runs the script. Where desktopd is an ordinary user, only that user can run it.
fn person(vars: &Variables, vast: bool, user: &str) -> Result<Person, String> {
    match &vars.provisioning_user {
        Some(name) => Person::named(name).map_err(|error| format!("PROVISIONING_USER: {error}")),
        None if vast || !Uid::effective().is_root() => Ok(Person::own()),
        None => Person::named(user),
    }
}

/// The marker files that show whether the script has run; only on vast.ai they are written.
struct Marks {
    vast: bool,
    root: PathBuf,
    lock: PathBuf,
}

impl Marks {
    fn of(vast: bool, root: &Path, workspace: &Path) -> Self {
        Self { vast, root: root.to_owned(), lock: workspace.join(LOCK) }
    }

    /// Why the script must not run, if so.
    fn enough(&self) -> Option<String> {
        let complete = self.root.join(COMPLETE);
        let (file, why) =
            if self.vast { (&complete, "it was run before") } else { (&self.lock, "it must not run") };
        let again = "to run it again, remove that file, then `desktopd restart provisioning`";
        file.exists().then(|| format!("{} exists: {why}; {again}", file.display()))
    }

    fn begin(&self) {
        self.set(RUNNING, true);
    }

    fn end(&self, well: bool) {
        if well {
            self.set(COMPLETE, true);
        }
        self.set(FAILED, !well);
        self.set(RUNNING, false);
    }

    /// A failure is reported.
    fn set(&self, name: &str, there: bool) {
        let file = self.root.join(name);
        match (self.vast, there) {
            (false, _) => {}
            (true, true) => script::mark(&file),
            (true, false) => tell(file.display(), remove(&file)),
        }
    }
}

/// Makes a link to `log` at `place`, unless something exists there. A failure is reported.
fn link_log(log: &Path, place: &Path) {
    if fs::symlink_metadata(place).is_ok() {
        return;
    }
    let made = place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(log, place));
    tell(place.display(), made);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_the_script_runs_again_depends_on_the_provider() {
        let root = tempfile::tempdir().unwrap();
        let workspace = root.path().join("work");
        fs::create_dir(&workspace).unwrap();
        let there = || {
            let names = [".provisioning", ".provisioning_complete", ".provisioning_failed"];
            names.map(|name| root.path().join(name).exists())
        };
        let vast = Marks::of(true, root.path(), &workspace);
        let plain = Marks::of(false, root.path(), &workspace);
        plain.begin();
        plain.end(true);
        assert_eq!((plain.enough(), there()), (None, [false; 3]));
        vast.begin();
        assert_eq!((vast.enough(), there()), (None, [true, false, false]));
        vast.end(false);
        assert_eq!(
            (vast.enough(), there()),
            (None, [false, false, true]),
            "a failure is tried at the next boot"
        );
        vast.begin();
        vast.end(true);
        assert_eq!(there(), [false, true, false]);
        assert!(vast.enough().unwrap().contains(".provisioning_complete exists: it was run before"));
        assert_eq!(plain.enough(), None);
        fs::write(workspace.join(LOCK), "").unwrap();
        assert!(plain.enough().unwrap().contains("work/.update_lock exists"));
    }

    #[test]
    fn the_variable_comes_before_what_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.sh");
        fs::write(&file, "").unwrap();
        let (missing, there) = (PathBuf::from("/no/such/file.sh"), file);
        let local = |path: &Path| Ok(Source::Local(path.into()));
        assert_eq!(source(None, &[missing.clone(), there.clone()]), local(&there));
        assert_eq!(source(Some("/x.sh"), std::slice::from_ref(&there)), local("/x.sh".as_ref()));
        assert!(source(None, &[missing]).unwrap_err().contains("nothing is at /no/such/file.sh"));
        let told = source(Some("ftp://a/b"), &[there]).unwrap_err();
        assert!(told.contains("PROVISIONING_SCRIPT: it begins with \"ftp:\""), "{told}");
    }

    #[test]
    fn a_log_is_shown_at_the_other_place_once() {
        let dir = tempfile::tempdir().unwrap();
        let (log, place) = (dir.path().join("log"), dir.path().join("portal/p.log"));
        fs::write(&log, "a").unwrap();
        link_log(&log, &place);
        link_log(&dir.path().join("other"), &place);
        assert_eq!(fs::read_to_string(&place).unwrap(), "a");
    }
}
