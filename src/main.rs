//! The entry point: chooses the subcommand to run, and has the only `process::exit`.

use std::path::Path;
use std::process::exit;

use desktopd::cli::{self, Args, Command, Failure, code};
use desktopd::config::{Config, Service, env};
use desktopd::facts::gpu::{Answers, Gpus, answer, ask};
use desktopd::logs::Mask;
use desktopd::sys::print;
use desktopd::{app, steps, sys};
use tokio::runtime::Builder;

/// The stack of a worker thread: the futures are small and no function recurses deeply. Bytes.
const STACK: usize = 512 * 1024;

fn main() {
    exit(run().unwrap_or_else(|failure| refused(&failure)));
}

fn run() -> Result<i32, Failure> {
    if let Some(result) = own_side() {
        return result;
    }
    let args = match Args::read(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` also end here, and are no errors.
            let _ = error.print();
            return Ok(if error.use_stderr() { code::USAGE } else { 0 });
        }
    };
    match &args.command {
        Command::Plan { json, root, variables } => {
            let config = Config::load(args.config.clone(), variables).with_files();
            plan(&config, root, *json)
        }
        Command::Probe { json, root, render } => {
            let config = Config::of_client(args.config.clone());
            // The drivers here say nothing about another machine.
            let own = root.as_os_str() == "/";
            let found = if own {
                Gpus::here(&config, &ask::ask_now(&ask::Questions::of(&config, root, *render)))
            } else {
                Gpus::probe(root, &Answers::of_another_machine(*render))
            };
            cli::show_probe(&found, *json).map(|()| 0)
        }
        Command::Doctor { json, bundle } => {
            let config = Config::load(args.config.clone(), &[]).with_files();
            let found = cli::Found::look(config);
            let tell = cli::doctor(&found, *json, bundle.as_deref());
            with_runtime(Builder::new_current_thread().enable_all().build(), tell).map(|()| 0)
        }
        Command::Init { unless_running, variables } => {
            let config = Config::load(args.config.clone(), variables);
            if *unless_running && cli::runs(&config) {
                // Some scripts replace parts of the boot and end with this command.
                let _ = print::out("desktopd runs already; it does the work of this command\n");
                return Ok(0);
            }
            desktop(config)
        }
        Command::Run { command } => {
            let beside = Config::of_client(args.config.clone());
            if cli::is_beside(&beside) {
                let session = cli::session(&beside);
                let session = with_runtime(Builder::new_current_thread().enable_all().build(), session)?;
                return Err(cli::become_command(session, command));
            }
            let mut config = Config::load(args.config.clone(), &[]);
            config.services.push(Service::of_command(command.clone(), env::working_folder()));
            desktop(config)
        }
        Command::Url(url) if url.open => {
            let config = Config::of_client(args.config.clone());
            let found = cli::to_open(&config, url);
            let (session, address) = with_runtime(Builder::new_current_thread().enable_all().build(), found)?;
            Err(cli::become_command(session, &["xdg-open".to_owned(), address]))
        }
        command => {
            let config = Config::of_client(args.config.clone());
            let ask = cli::ask(command, &config);
            with_runtime(Builder::new_current_thread().enable_all().build(), ask).map(|()| 0)
        }
    }
}

/// Runs an internal subcommand, which only this program itself starts. This happens before the command line is parsed,
/// because the parser's memory would stay allocated in every guard.
fn own_side() -> Option<Result<i32, Failure>> {
    let mut words = std::env::args_os().skip(1);
    match words.next()?.to_str()? {
        sys::subcommands::EXEC => Some(Ok(sys::launch::exec())),
        sys::subcommands::GUARD => Some(Ok(sys::guard::guard())),
        verb @ (sys::subcommands::STEP | sys::subcommands::PROBE) => {
            let words: Result<Vec<String>, _> = words.map(std::ffi::OsString::into_string).collect();
            let words = words.map_err(|word| format!("{} is not UTF-8", word.display()));
            let run = if verb == sys::subcommands::STEP { steps::run } else { answer::run };
            Some(words.and_then(|words| run(&words)).map_err(failed))
        }
        _ => None,
    }
}

/// Runs the daemon.
fn desktop(config: Config) -> Result<i32, Failure> {
    let config = config.with_door();
    sys::start_clean();
    // The call has no reason to fail; if it does, the limit is unchanged.
    let _ = sys::limits::raise_open_files();
    sys::threads_work().map_err(failed)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_stack_size(STACK).enable_all().build();
    with_runtime(runtime, app::run(config))
}

fn refused(failure: &Failure) -> i32 {
    if !failure.message.is_empty() {
        print::error(&format!("desktopd: {}", failure.message));
        if failure.for_root && !nix::unistd::Uid::effective().is_root() {
            let words: Vec<_> = std::env::args_os().collect();
            print::error(&format!("desktopd: {}", cli::as_root(&words)));
        }
    }
    failure.code
}

fn failed(error: String) -> Failure {
    Failure::new(code::FAILED, error)
}

fn with_runtime<T>(
    runtime: std::io::Result<tokio::runtime::Runtime>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime.map_err(|error| failed(format!("starting: {error}")))?;
    let result = runtime.block_on(work);
    // A thread that hangs on a dead disk must not keep the program from ending.
    runtime.shutdown_background();
    result
}

fn plan(config: &Config, root: &Path, json: bool) -> Result<i32, Failure> {
    // The drivers here say nothing about another machine.
    let own = root == Path::new("/");
    let answers = own.then(|| ask::ask_now(&ask::Questions::of(config, root, false)));
    let (_, plan) = cli::planned(config, root, &answers.unwrap_or_default());
    // A service file may contain in plain text a value that is a secret elsewhere.
    let mask = Mask::default();
    mask.hide(config.env.secrets());
    if json {
        let text = serde_json::to_string_pretty(&plan.view()).map_err(|error| failed(error.to_string()))?;
        print::data(format!("{}\n", mask.apply(&text)).as_bytes())?;
    } else {
        print::out(&mask.apply(&plan.text()))?;
    }
    Ok(if plan.problems.is_empty() { 0 } else { code::CONFIG })
}
