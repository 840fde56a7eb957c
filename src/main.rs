//! The entry point: chooses the subcommand to run, and has the only `process::exit`.

use std::process::exit;

use desktopd::cli::{self, Args, Command, Failure, code};
use desktopd::config::{Config, Service, env};
use desktopd::facts::Facts;
use desktopd::logs::Mask;
use desktopd::plan::Plan;
use desktopd::sys::print;
use desktopd::{app, steps, sys};
use tokio::runtime::Builder;

/// The stack of a worker thread: the futures are small and no function recurses deeply. Bytes.
const STACK: usize = 512 * 1024;

fn main() {
    exit(run());
}

fn run() -> i32 {
    if let Some(code) = own_side() {
        return code;
    }
    let args = match Args::read(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` also end here, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { code::USAGE } else { 0 };
        }
    };
    match &args.command {
        Command::Plan { json, variables } => {
            plan(&Config::load(args.config.clone(), variables).with_files(), *json)
        }
        Command::Init { unless_running, variables } => {
            let config = Config::load(args.config.clone(), variables);
            if *unless_running && cli::runs(&config) {
                // Some scripts replace parts of the boot and end with this command.
                let _ = print::out("desktopd runs already; it does the work of this command\n");
                return 0;
            }
            desktop(config)
        }
        Command::Run { command } => {
            let mut config = Config::load(args.config.clone(), &[]);
            config.services.push(Service::of_command(command.clone(), env::working_folder()));
            desktop(config)
        }
        command => {
            let config = Config::of_client(args.config.clone());
            let result =
                with_runtime(Builder::new_current_thread().enable_all().build(), cli::ask(command, &config));
            match result {
                Err(error) => told(Err(error)),
                Ok(Ok(())) => 0,
                Ok(Err(failure)) => refused(&failure),
            }
        }
    }
}

/// Runs an internal subcommand, which only this program itself starts. This happens before the command line is parsed,
/// because the parser's memory would stay allocated in every guard.
fn own_side() -> Option<i32> {
    let mut words = std::env::args_os().skip(1);
    match words.next()?.to_str()? {
        sys::subcommands::EXEC => Some(sys::launch::exec()),
        sys::subcommands::GUARD => Some(sys::guard::guard()),
        sys::subcommands::STEP => {
            let words: Result<Vec<String>, _> = words.map(std::ffi::OsString::into_string).collect();
            let words = words.map_err(|word| format!("{} is not UTF-8", word.display()));
            let code = words.and_then(|words| steps::run(&words));
            Some(code.unwrap_or_else(|error| told(Err(error))))
        }
        _ => None,
    }
}

/// Runs the daemon.
fn desktop(config: Config) -> i32 {
    let config = config.with_door();
    sys::start_clean();
    // The call has no reason to fail; if it does, the limit is unchanged.
    let _ = sys::limits::raise_open_files();
    if let Err(error) = sys::threads_work() {
        return told(Err(error));
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_stack_size(STACK).enable_all().build();
    match with_runtime(runtime, app::run(config)) {
        Err(error) => told(Err(error)),
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => refused(&failure),
    }
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

fn with_runtime<T>(
    runtime: std::io::Result<tokio::runtime::Runtime>,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let runtime = runtime.map_err(|error| format!("starting: {error}"))?;
    let result = runtime.block_on(work);
    // A thread that hangs on a dead disk must not keep the program from ending.
    runtime.shutdown_background();
    Ok(result)
}

fn told(result: Result<(), String>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            print::error(&format!("desktopd: {error}"));
            code::FAILED
        }
    }
}

fn plan(config: &Config, json: bool) -> i32 {
    let facts = Facts::probe(config);
    let plan = Plan::build(config, &facts);
    // A service file may contain in plain text a value that is a secret elsewhere.
    let mask = Mask::default();
    mask.hide(config.env.secrets());
    let printed = if json {
        match serde_json::to_string_pretty(&plan.view()) {
            Ok(text) => print::data(format!("{}\n", mask.apply(&text)).as_bytes()),
            Err(error) => return told(Err(error.to_string())),
        }
    } else {
        print::out(&mask.apply(&plan.text()))
    };
    if let Err(failure) = printed.map_err(Failure::from) {
        return refused(&failure);
    }
    if plan.problems.is_empty() { 0 } else { code::CONFIG }
}
