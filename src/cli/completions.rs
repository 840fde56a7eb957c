//! Completion scripts for shells, without the hidden commands.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::aot::{self, generate};

use super::Failure;
use super::args::{Args, Shell};

/// Prints the script.
pub(super) fn print(shell: Shell) -> Result<(), Failure> {
    let script = script(shell);
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}

fn script(shell: Shell) -> Vec<u8> {
    let all = Args::command();
    let mut shown = clap::Command::new("desktopd")
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(aot::Bash, &mut shown, "desktopd", &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut shown, "desktopd", &mut script),
        Shell::Fish => generate(aot::Fish, &mut shown, "desktopd", &mut script),
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_have_only_the_visible_commands() {
        for (shell, sign) in
            [(Shell::Bash, "complete -F"), (Shell::Zsh, "#compdef desktopd"), (Shell::Fish, "complete -c")]
        {
            let script = String::from_utf8(script(shell)).unwrap();
            for part in [sign, "timeline", "restart", "follow", "config"] {
                assert!(script.contains(part), "{shell:?}: no {part}");
            }
            assert!(!script.contains("__exec") && !script.contains("__guard"), "{shell:?}");
        }
    }
}
