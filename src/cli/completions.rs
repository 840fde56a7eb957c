//! Completion scripts for shells, without the hidden commands. The names of services come from the daemon that runs: a
//! shell asks for them by `desktopd ps --quiet`.

use std::fmt::Write as _;
use std::io::Write;

use clap::CommandFactory;
use clap_complete::aot::{self, generate};

use super::Failure;
use super::args::{Args, Shell};

/// How an argument that is a service is named in the help.
const SERVICE: &str = "SERVICE";

/// The command that prints the names.
const NAMES: &str = "desktopd ps --quiet 2>/dev/null";

/// Prints the script.
pub(super) fn print(shell: Shell) -> Result<(), Failure> {
    let script = script(shell);
    std::io::stdout().lock().write_all(script.as_bytes())?;
    Ok(())
}

fn script(shell: Shell) -> String {
    let all = Args::command();
    let mut shown = clap::Command::new("desktopd")
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let takers = takers(&shown);
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(aot::Bash, &mut shown, "desktopd", &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut shown, "desktopd", &mut script),
        Shell::Fish => generate(aot::Fish, &mut shown, "desktopd", &mut script),
    }
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + &for_bash(&takers),
        Shell::Zsh => for_zsh(&script),
        Shell::Fish => script + &for_fish(&takers),
    }
}

/// The commands that take the names of services.
fn takers(shown: &clap::Command) -> Vec<String> {
    let takes_services = |command: &&clap::Command| {
        let mut positionals = command.get_positionals();
        positionals
            .any(|arg| arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == SERVICE)))
    };
    let takers = shown.get_subcommands().filter(takes_services);
    takers
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_all_aliases()))
        .map(str::to_owned)
        .collect()
}

/// A function around the generated one: where a name may follow, the names of the services are offered, too.
fn for_bash(takers: &[String]) -> String {
    format!(
        r#"
_desktopd_with_services() {{
    _desktopd "$@"
    local word=${{COMP_WORDS[COMP_CWORD]}} command= at
    [[ $word == -* ]] && return 0
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${{COMP_WORDS[at]}} in
            --config) ((at++)) ;;
            -*) ;;
            *) command=${{COMP_WORDS[at]}}; break ;;
        esac
    done
    case $command in
        {})
            COMPREPLY=( $(compgen -W "$({NAMES})" -- "$word") )
            ;;
    esac
}}

complete -F _desktopd_with_services -o nosort -o bashdefault -o default desktopd
"#,
        takers.join("|")
    )
}

/// The generated script completes an unknown argument by the names of files.
fn for_zsh(script: &str) -> String {
    let mut changed = String::with_capacity(script.len());
    for line in script.lines() {
        // Such as `'*::names -- Names, aliases or patterns:_default' \`. `env` takes the names of variables.
        let is_service =
            ["'*::names -- ", "'::name -- ", "'::service -- "].iter().any(|start| line.starts_with(start))
                && !line.contains("-- Variables");
        let line =
            if is_service { line.replace(":_default'", ":_desktopd_services'") } else { line.to_owned() };
        if line.starts_with("_desktopd() {") {
            changed.push_str("_desktopd_services() {\n    local -a names\n");
            // Writing to a string cannot fail.
            let _ = writeln!(changed, "    names=(${{(f)\"$({NAMES})\"}})");
            changed.push_str("    compadd -a names\n}\n\n");
        }
        changed.extend([line.as_str(), "\n"]);
    }
    changed
}

fn for_fish(takers: &[String]) -> String {
    format!(
        "complete -c desktopd -n \"__fish_seen_subcommand_from {}\" -f -a \"({NAMES})\"\n",
        takers.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_have_only_the_visible_commands() {
        for (shell, sign) in
            [(Shell::Bash, "complete -F"), (Shell::Zsh, "#compdef desktopd"), (Shell::Fish, "complete -c")]
        {
            let script = script(shell);
            for part in [sign, "timeline", "restart", "follow", "config", "screenshot", "url", "ps"] {
                assert!(script.contains(part), "{shell:?}: no {part}");
            }
            assert!(!script.contains("__exec") && !script.contains("__guard"), "{shell:?}");
        }
    }

    #[test]
    fn commands_that_take_services_offer_their_names() {
        let zsh = script(Shell::Zsh);
        // `status`, `ps`, `url`, `start`, `stop`, `restart` and `logs`; `env` takes variables.
        assert_eq!(zsh.matches(":_desktopd_services'").count(), 7, "{zsh}");
        let fish = script(Shell::Fish);
        let line = fish.lines().last().unwrap();
        for name in ["status", "ps", "ls", "url", "start", "stop", "restart", "logs"] {
            assert!(
                line.contains(&format!(" {name} ")) || line.contains(&format!(" {name}\"")),
                "{name}: {line}"
            );
        }
        assert!(
            !line.contains(" env ") && line.ends_with(" -f -a \"(desktopd ps --quiet 2>/dev/null)\""),
            "{line}"
        );
    }
}
