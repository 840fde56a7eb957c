//! Creates or corrects the desktop's account as the plan decided: name, ids, groups, home, sudo and password.
//!
//! Almost always the account is correct already; then no program is started and no file is written. If the account
//! cannot be made, the desktop runs as the existing account: the reason is written to a file that the next plan reads.

mod home;
mod lists;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;

use crate::config::service::step::{AccountSpec, User};
use crate::config::{Environment, Secret};
use crate::facts::account::{TROUBLE, usual_home};
use crate::sys::read;
use crate::sys::replace::replace;

use super::report::tell;
use super::{command, replan};
use lists::PATIENCE;

/// The sudo rules of the user.
const SUDOERS: &str = "/etc/sudoers.d/desktopd";

/// The polkit rules of the user.
const POLKIT: &str = "/etc/polkit-1/rules.d/49-desktopd.rules";

/// Makes the account that the plan describes as JSON.
pub(super) fn run(User { run_dir }: &User, wanted: &str) -> Result<(), String> {
    let wanted = serde_json::from_str(wanted).map_err(|error| format!("the account: {error}"))?;
    let mark = run_dir.join(TROUBLE);
    let marked = mark.exists();
    let made = make(&wanted);
    match &made {
        Ok(_) if marked => drop(fs::remove_file(&mark)),
        Ok(_) => {}
        // On a full disk the file may be created but stay empty: the file alone is enough to mark the failure.
        Err(why) => drop(fs::write(&mark, why)),
    }
    // If the account was correct already, the plan has the right values and no new plan is needed.
    if marked || !matches!(made, Ok(false)) {
        replan::ask(run_dir);
    }
    made.map(drop)
}

/// Returns whether the user or group files were changed.
fn make(wanted: &AccountSpec) -> Result<bool, String> {
    let ids = lists::ids(wanted)?;
    let usual = usual_home(&wanted.name);
    let own = home::ensure(wanted);
    let home = if own.is_ok() { &wanted.home } else { &usual };
    if own.is_err() && wanted.home != usual {
        let instead = AccountSpec { home: usual.clone(), ..wanted.clone() };
        tell(usual.display(), home::ensure(&instead));
    }
    let listed = lists::home(wanted, home)?;
    let groups = lists::groups(wanted)?;
    tell(SUDOERS, sudo(SUDOERS.as_ref(), &wanted.name));
    tell(POLKIT, polkit(POLKIT.as_ref(), &wanted.name));
    tell("the password", password(&wanted.name));
    own?;
    Ok(ids | listed | groups)
}

/// Root rights without a password, and with the user's environment, so that no user is locked out of their own
/// container. `HOME` is root's, or else root would leave files of its own in the user's home.
fn sudo(file: &Path, name: &str) -> Result<(), String> {
    let text = format!(
        "# Made by desktopd at each start.\n\
         Defaults:{name} !env_reset, always_set_home, !secure_path\n\
         {name} ALL=(ALL) NOPASSWD: ALL\n"
    );
    // sudo ignores files with a dot in their names, such as an unfinished temporary file.
    write(file, &text, 0o440)
}

/// The same rights in programs that ask polkit: their dialog would ask for a password that the account does not have.
fn polkit(file: &Path, name: &str) -> Result<(), String> {
    let text = format!(
        "// Made by desktopd at each start.\n\
         polkit.addRule(function (action, subject) {{\n    \
             if (subject.user == {name:?}) return polkit.Result.YES;\n\
         }});\n"
    );
    write(file, &text, 0o644)
}

/// Writes rules unless they are there already. A folder that is missing says that the image has no such program.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), String> {
    if read::text(file, read::BY_HAND).is_ok_and(|there| there == text)
        || !file.parent().is_some_and(Path::is_dir)
    {
        return Ok(());
    }
    replace(file, text.as_bytes(), mode).map_err(|error| error.to_string())
}

/// Sets `USER_PASSWORD`. Without the variable, the existing password stays.
fn password(name: &str) -> Result<(), String> {
    let env = Environment::of_process(&[], &mut Vec::new());
    let Some(password) = env.vars.user_password.as_ref().map(Secret::reveal) else { return Ok(()) };
    if password.contains(['\n', '\r', '\0']) {
        return Err("USER_PASSWORD has a line break, which no password can have".to_owned());
    }
    let (reader, mut writer) = io::pipe().map_err(|error| error.to_string())?;
    // The text fits in the pipe's buffer, so the write does not wait for a reader.
    writer.write_all(format!("{name}:{password}\n").as_bytes()).map_err(|error| error.to_string())?;
    drop(writer);
    let mut program = command::program("chpasswd");
    program.stdin(Stdio::from(reader));
    command::run(&mut program, PATIENCE).map_err(|why| format!("chpasswd: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_sudo_are_written_once() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("desktopd");
        sudo(&file, "ada").unwrap();
        let first = fs::metadata(&file).unwrap();
        assert_eq!(first.mode() & 0o777, 0o440);
        assert!(fs::read_to_string(&file).unwrap().contains("\nada ALL=(ALL) NOPASSWD: ALL\n"));
        sudo(&file, "ada").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), first.ino());
        sudo(&file, "bob").unwrap();
        assert!(!fs::read_to_string(&file).unwrap().contains("ada"));
        sudo(&dir.path().join("no-sudo-here/desktopd"), "ada").unwrap();
    }

    #[test]
    fn the_rules_of_polkit_are_for_one_user_and_can_be_read_by_polkits_own() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("49-desktopd.rules");
        polkit(&file, "ada").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("\n    if (subject.user == \"ada\") return polkit.Result.YES;\n"), "{text}");
    }
}
