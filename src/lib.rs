//! `desktopd`: a desktop in one container, in one process.
//!
//! Data flows one way:
//!
//! ```text
//! environment + TOML   the machine     pure          processes       what is true     people
//!       config    ->     facts    ->   plan   ->    supervise   ->    observe   ->  gateway, portal, cli
//!                                                       ^                                  |
//!                                                       +------------ commands ------------+
//! sys (PID 1 duties, the one fork and the one wait, signals), state and logs lie under all; app wires all.
//! ```
//!
//! A module imports only modules that come before it in this list:
//!
//! - [`sys`]: the duties of PID 1: fork, wait, signals, and what a new child does before it becomes the service's
//!   program.
//! - [`state`]: data that survives a restart of the container (keys, generated passwords).
//! - [`logs`]: every line that a unit prints: ring, rotated file, container output; secrets masked.
//! - [`config`]: environment and TOML to typed values; one pass reports all mistakes.
//! - [`facts`]: what this machine has. Never fails: an absence is a value with a reason.
//! - [`plan`]: config and facts to the units that will run. Pure.
//! - [`steps`]: the work of boot steps, each in a child process.
//! - [`supervise`]: units to processes; a pure core decides, a driver acts.
//! - [`observe`]: the snapshot that pages, commands and the gateway read, and the events.
//! - [`gateway`]: listeners, authentication, login page, reverse proxy, waiting pages.
//! - [`portal`]: pages and the API, served by the gateway and on the control socket.
//! - [`cli`]: the commands that people type.
//! - [`app`]: creates all parts and connects them.
//!
//! Other rules, checked by `tests/it/house.rs`: no files use each other in a circle; `plan`, `supervise/lifecycle`
//! and `supervise/backoff.rs` use no clock, file, environment or process; the only fork and the only wait of PID 1
//! and its guards are in `sys/reaper.rs` (a step is a process of its own, and starts programs by
//! `steps/command.rs`); files are read only through `sys/read.rs`, with a limit; the environment is read only in
//! `config/env.rs`; `unsafe` is only in `sys/heap.rs` and, for the libraries of drivers that have no safe interface, in
//! `facts/gpu/render.rs` (EGL) and `facts/gpu/libcuda.rs` (CUDA); only `main.rs` ends the process; words that hide who
//! acts are refused (the list is `tests/it/house/words.rs`). The exceptions are listed in the tests.
//!
//! # Three walks through the code
//!
//! An environment variable becomes a part of a command line:
//!
//! 1. `config/env/table.rs` has a row for each variable: its name, type, default and description.
//! 2. `config/env/sources.rs` merges the sources of values (what desktopd made, provider, environment, files, arguments
//!    of `init`, hooks) into one set, and keeps where each value comes from; `normalize.rs` corrects older forms;
//!    `value.rs`, `value_types.rs` and `web_types.rs` parse the values.
//! 3. `plan/values.rs` names the values that texts may use (`${width}`), `plan/template.rs` puts them in, and
//!    `plan/expander.rs` collects the mistakes.
//! 4. `plan/compose.rs` makes the planned unit from them: arguments, user, limits, files; `compose/environment.rs` its
//!    environment. `plan/env_overrides.rs` appends what `NAME_ARGS` says, `plan/adjust.rs` what has to be computed.
//! 5. `supervise/process/start.rs` starts the unit: `sys/reaper.rs` forks `desktopd __exec`, which `sys/launch.rs`
//!    turns into the program. For a contained unit the fork is `desktopd __guard`, and `sys/guard.rs` starts `__exec`.
//!
//! A request passes from a client to a service and back:
//!
//! 1. `gateway/mod.rs` accepts on the ports that `listener/listen.rs` opened, `limits.rs` limits the connections,
//!    `listener/workers.rs` gives them to threads, `listener/carry.rs` tells TLS from http (all below `gateway`).
//! 2. `listener/connection.rs` serves HTTP/1, whose heads `listener/validator.rs` checks, and HTTP/2, whose frames
//!    `listener/frames.rs` counts; `listener/timeouts.rs` has the time limits.
//! 3. `answer` in `request/handler.rs` is the entry: it catches panics and counts answers in `gateway/metrics.rs`.
//!    `decide` has the order of the checks: `auth/admit.rs` says who asks, `admitted` checks the origin, `inside` what
//!    a client without a login may see, and chooses page or service; `service` chooses waiting page or service. What
//!    the checks need to know about the request is in `request/context.rs`.
//! 4. `upstream/forward.rs` changes the request into the one that the service gets (`to_service`, after
//!    `Auth::strip`), and sends it on a connection of `upstream/pool.rs`; an upgrade goes by `upstream/upgrade.rs`,
//!    and one whose service speaks no WebSocket by `upstream/bridge.rs`.
//! 5. The same file changes the service's answer into the one that the client gets (`to_client`);
//!    `upstream/compress.rs` compresses it, `upstream/body.rs` passes its data on.
//!
//! The end of a service's process reaches the portal:
//!
//! 1. `sys/signals.rs` gets SIGCHLD, `sys/reaper.rs` waits and gives the exit to `supervise/process/attend.rs`, which
//!    reports the end of the unit; of a contained unit the guard (`sys/guard.rs`) waits.
//! 2. `supervise/driver.rs` passes the end to `supervise/lifecycle.rs`, which is pure;
//!    `supervise/lifecycle/transitions.rs` decides: done, restart at once or after a delay (`supervise/backoff.rs`),
//!    failed.
//! 3. The driver carries the effects out; `supervise/publisher.rs` reports what changed, which `observe/events.rs`
//!    records, and publishes the states of all units.
//! 4. `app/daemon.rs` gives the states to `observe/observer.rs`, which writes the snapshot; `observe/sight.rs` says
//!    what a person sees at a route.
//! 5. `portal/api.rs` streams that the snapshot changed; the scripts in `portal/web` then fetch the page again, which a
//!    file of `portal/pages` writes. `cli/client.rs` fetches the same snapshot, and `cli/status.rs` prints it.
//!
//! # Where to change what
//!
//! - a published image, its name and its architectures: a line of `docker/publish/images.txt`; its tags:
//!   `docker/publish/tags`. The program for the other architecture: `docker/install/compile.sh`.
//! - a variable: its row in `config/env/table.rs`; tests compare the tables of `config/README.md`, `.env.example` and
//!   `docker-compose.yaml`, and write them with `DESKTOPD_WRITE_DOCS=1`.
//! - a service: its file in `config/services` of the repository: command, route, `autostart`, `restart-delay`,
//!   files, environment. Defaults of the keys: `config/service.rs`; of those about restart and stop:
//!   `config/service/policies.rs`. What must be computed: a hook in `plan/adjust.rs`.
//! - the display: `plan/display.rs` decides, from the devices of `facts/display.rs` and `DESKTOPD_DISPLAY`.
//! - a way to detect that a service is ready: `config/service/ready.rs` parses it, `plan/probes.rs` expands it,
//!   `supervise/ready.rs` waits for it; a new probe is in `config/service/probe.rs` and `supervise/ready/probe.rs`.
//! - the login page: `login.rs` in `gateway/request`, in the HTML layout of `page.rs`, with
//!   `gateway/assets/gateway.css`.
//! - the page of a service that is starting: `waiting.rs` and `waiting/markup.rs` in `gateway/request`, with
//!   `gateway/assets/wait.js`; sentences about services: `observe/sight.rs`.
//! - headers that services get, and clients from services: `to_service` and `to_client` in
//!   `gateway/upstream/forward.rs`; our own credentials: `Auth::strip`. Of one service alone: `headers` of its route.
//!   Headers of our own pages: `PROTECTION` in `gateway/request/page.rs`; CORS: `gateway/request/cors.rs`.
//! - a command: its words in `cli/args.rs`, its work in a file of `cli`, called by `ask` in `cli/mod.rs`;
//!   `desktopd status`: `cli/status.rs`, its first line `Snapshot::summed_up` and its sentences in `observe/sight.rs`.
//! - the page of `desktopd status`: `cli/status/page.rs`; the command that mends a problem: `cli/status/remedies.rs`;
//!   commands that users know from other programs: `cli/args/habits.rs`; names of services in completions:
//!   `cli/completions.rs`.
//! - a picture of the desktop: `steps/screenshot.rs` and its files make it, in a child of PID 1; `portal/screenshot.rs`
//!   starts the child, `portal/screenshot/kept.rs` shares the result; `portal/api/screenshot.rs` and `cli/screenshot.rs`
//!   serve it.
//! - links to the services: `observe/links.rs`, with the provider's addresses from `config/provider.rs`; where only the
//!   browser knows the address, `portal/pages/ways.rs`.
//! - a page of the portal: a file of `portal/pages`, all in the layout of `shell.rs`, with `portal/assets/portal.css`. The
//!   colours and distances of all our pages: `gateway/assets/tokens.css`. What happens in the browser: `portal/web`,
//!   which `tests/run` and the images compile; the files that pages load: `portal/assets.rs`.
//! - who is connected: `gateway/auth/visits.rs` remembers sessions, `visitors.rs` there lists and ends them;
//!   `portal/api/sessions.rs` serves both, `portal/pages/settings/sessions.rs` shows them. The credentials after the
//!   password was given again: `portal/pages/settings/credentials.rs`, from `portal/credentials.rs`. Paths of the portal
//!   that need a login on an open port too: `is_private` in `gateway/request/builtin.rs`.
//! - the page about the display: `plan/display/report.rs` collects what the page shows, `portal/api/display.rs` serves
//!   it with what failed since the start, `portal/pages/display.rs` and its files show it. Remedies, and the commands in them that people copy: `facts/remedy.rs`.
//! - a number for Prometheus: `observe/metrics.rs` prints all; those of the gateway are in `gateway/metrics.rs`, those of
//!   the machine in `observe/metrics/machine.rs`.
//! - a figure of the machine (processor, memory, disks, network, GPUs, services): its place in the answers is in
//!   `observe/machine/sample.rs`, how it is read in the other files there; `sampler.rs` has the one thread that reads them
//!   while a client looks, `portal/api/machine.rs` serves them, `cli/top.rs` shows them. What a GPU does:
//!   `facts/gpu/load.rs`, and for NVIDIA's `loads.rs`, whose child is in `facts/gpu/nvml.rs`.
//! - the rows of logs: `logs/window.rs` makes them of what a program prints, `logs/level.rs` guesses their levels,
//!   `logs/reader.rs` merges those of several services; the parameters of a request: `portal/api/logs/query.rs`.
//! - a secret: a variable's type in `config/env/table.rs` or its name (`config/env/names.rs`) makes a secret;
//!   `Environment::secrets` lists them, `app.rs` gives them to `logs/mask.rs`.
//! - what makes a display fail while the daemon runs, and the sentences about that: `app/fallback/chain.rs` and
//!   `app/fallback/words.rs`; the next plan without that display: `app/reload.rs`.
//! - how a lost GPU is noticed: the table in `app/loss.rs`; what follows from each sign: `app/loss/losses.rs`, and the
//!   sentences: `app/loss/words.rs`. NVIDIA's numbers of errors: `facts/gpu/xid.rs`. What counts as a use of the
//!   machine: who calls `observe/looks.rs`.
//! - limits of connections, in number and in bytes: `gateway/limits.rs`.
//! - the choice of the display: `plan/display.rs`; which GPU: `choice.rs`, Xorg and what protects the host: `guards.rs`,
//!   VirtualGL and its devices: `virtualgl.rs` and `egl.rs`, Xorg's configuration: `xorg.rs` and `modeline.rs` (all in
//!   `plan/display`). The sentence about what draws and why nothing better does: `sentence.rs` there, for `desktopd status`
//!   and all pages; what it says on each machine: `tests/machines/sentences.list`. How the decisions for machines that
//!   are not at hand are written anew: `tests/it/machines/display.rs`.
//! - what encodes the video: `plan/display/encoder.rs` decides, from the encoders that `facts/gpu/encoder.rs` expects and
//!   the results of the step `steps/encoder.rs`, which runs `config/files/encoder.py`; sentences about encoders that
//!   failed: `steps/encoder/words.rs`. The names of encoders: `config/env/encoder.rs`.
//! - what is brought of NVIDIA's driver: `steps/nvidia_driver.rs` and its files download, unpack and install,
//!   `plan/display/driver.rs` says what is needed, `facts/gpu/brought.rs` what is there.
//! - what an image is built from: `Dockerfile.cpu`, whose text is also that of the two others outside their marks
//!   (`tests/it/docs/dockerfiles.rs`). Programs that no package archive has: `docker/sources.toml`; those that a build left
//!   out: `facts/left_out.rs`. What `desktopd version` says: `sys/version.rs`, from `docker/version`.
//! - the image's programs: `docker/packages/apps-*.txt`, and what opens what: `docker/rootfs/etc/xdg/mimeapps.list`. The
//!   icons of a new desktop, and which files of `docker/rootfs/etc/skel` a home gets: `steps/user/home.rs`; what its user may
//!   do: `steps/user.rs`.
//! - a boot step: its work in a file of `steps`, called by `perform` in `steps/mod.rs`, its keys in
//!   `config/service/step.rs`, its unit in a file of `config/services`.
//! - what draws through VirtualGL: the key `virtualgl` of service files, and `virtualgl` in `plan/adjust.rs`, which puts
//!   a command under `vglrun`; for programs from outside, `plan/mod.rs` has the session, `portal/session.rs` serves it,
//!   and `cli/run.rs` becomes the program. KDE's defaults for one display alone: `config/files/xdg-xorg` and the like.
//! - a check of `desktopd doctor`: files of `cli/doctor`; what the machine gives comes from `facts/resources.rs`. What
//!   is in the bundle: `cli/doctor/gather.rs`; secrets in the bundle that no variable has: `cli/doctor/scrub.rs`.
//! - a question to the library of a GPU's driver: `ask.rs` and `answer.rs` in `facts/gpu` are its two sides, the
//!   daemon's and the child's; `sys/subprocess.rs` has the time limit.
//! - CUDA's toolkits and their library for newer drivers: `cuda.rs` in `facts/gpu` judges, `trial.rs` has what is
//!   remembered, the step `steps/cuda.rs` tries and sets it. Device nodes: `facts/gpu/repair.rs` and
//!   `steps/device_nodes.rs`. Variables that follow from the machine, such as limits of threads:
//!   `plan/machine_variables.rs`.
//! - what is known about GPUs: files of `facts/gpu` read each source, `identity.rs` joins what belongs to one GPU,
//!   `reason.rs` and `driver.rs` say why a GPU can draw or not. Machines for the tests of all this: `tests/machines`.
//!
//! # Glossary
//!
//! - **service**: what people see: a file in `config/services`, a row of `desktopd status`. **unit**: the planned
//!   and supervised form of a service.
//! - **step**: a unit whose work is part of this program, run as `desktopd __step NAME`. **oneshot**: a unit that
//!   ends when its work is done.
//! - **disposition**: whether a unit runs, is skipped (it does not apply here) or is broken (its file is wrong).
//! - **ready**: a unit does its work for others now. **health**: whether it still does, asked again and again.
//!   **probe**: one such question.
//! - **guard**: the process above a contained unit (`contain = true`). Orphaned processes of the unit become children
//!   of the guard (a subreaper), so that all of them can be found and ended.
//! - **boot**: the time from the start of PID 1 until everything is up, or no unit changes any more.
//! - **candidate**: a display that the plan could choose, with the reason for or against it.
//! - **job**: a program that a person started in a terminal and detached from it (`nohup`, tmux). A restart of the
//!   desktop leaves the job alone.
//! - **session**: a login in one browser, shown by a cookie. **session guard**: what a response holds to end with
//!   its session. **desktop session**: the programs of the user's desktop.
//! - **trusted connection**: one that has shown a login. **stranger**: a client without a login.
//! - **route**: a port of the gateway with the service behind it. **upstream**: where that service listens.
//!   **sight**: what a person would see there.
//! - **upgrade**: a connection that left HTTP for another protocol, such as a WebSocket. **tunnel**: a connection
//!   of cloudflared, and nothing else; none is opened yet.
//! - **provider**: the cloud that rents the machine. **hooks**: scripts of people, run at boot. The key
//!   `hook` of a service file names a function of `plan/adjust.rs` instead.
//! - **snapshot**: the state of everything at one moment. **event**: a change of it, with a time.

pub mod sys;

pub mod state;

pub mod logs;

pub mod config;

pub mod facts;

pub mod plan;

pub mod steps;

pub mod supervise;

pub mod observe;

pub mod gateway;

pub mod portal;

pub mod cli;

pub mod app;
