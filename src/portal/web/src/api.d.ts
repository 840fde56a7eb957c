// What the API sends. A test makes this file from the types in Rust: run it with DESKTOPD_WRITE_DOCS=1 after a change.

/** A request for a service. */
export interface Action {
  /** The service. */
  name: string;
  /** What is asked before. */
  question?: Question | null;
  /** `start`, `stop` or `restart`. */
  verb: string;
}

/** That the state changed. */
export interface Changed {
  /** The number of the last event of a unit. */
  seq: number;
  /** When the daemon started, in milliseconds since the Unix epoch: another value means another daemon. */
  started_at: number;
}

/** Values at equal distances. All lists of a chart have the same length; the last value belongs to `until_at`. Null where nothing is known, because no client looked or the machine did not report the figure. */
export interface Chart {
  /** See [`Sample::cpu_share`]; the others in the same way. */
  cpu_share: (number | null)[];
  /** Read from disks. */
  disk_read_bytes_per_second: (number | null)[];
  /** Written to disks. */
  disk_written_bytes_per_second: (number | null)[];
  /** The GPUs. */
  gpus: (GpuChart)[];
  /** The cache of files. */
  memory_cache_bytes: (number | null)[];
  /** Memory in use. */
  memory_used_bytes: (number | null)[];
  /** Received from the network. */
  network_received_bytes_per_second: (number | null)[];
  /** Sent to the network. */
  network_sent_bytes_per_second: (number | null)[];
  /** The distance between two values. */
  step_seconds: number;
  /** Swap space in use. */
  swap_used_bytes: (number | null)[];
  /** The time of the last value, in milliseconds since the Unix epoch. */
  until_at: number;
}

/** One thing to do. */
export interface Command {
  /** What is asked of a service. */
  action?: Action | null;
  /** Whether it leads out of the portal. */
  away?: boolean;
  /** What else there is to know. */
  detail?: string;
  /** What kind of thing: the heading in the list. */
  group: string;
  /** Where it leads, relative to every page. */
  href?: string | null;
  /** What it does. */
  title: string;
}

/** One unit of the critical path. */
export interface CriticalLink {
  /** When the last unit that it waited for was ready. */
  free: number;
  /** When it was ready. */
  ready: number;
  /** When it was first started. */
  started: number;
  /** Its name. */
  unit: string;
}

/** A file system. */
export interface Disk {
  /** What a user without special rights can still write. */
  available_bytes: number;
  /** The folder at which it was looked. */
  path: string;
  /** Whether the file system does not answer now, and the figures are older ones. */
  stale: boolean;
  /** All space. */
  total_bytes: number;
  /** The space in use. */
  used_bytes: number;
}

/** One candidate. */
export interface DisplayCandidate {
  /** The device, as in [`Candidate::device`]. */
  device: string | null;
  /** The GPU for people. */
  gpu: string | null;
  /** The kind. */
  kind: DisplayKind;
  /** The kind for people. */
  name: string;
  /** What became of it. */
  outcome: Outcome;
  /** Why. */
  reason: string;
}

/** A display that failed while the daemon ran. */
export interface DisplayFailure {
  /** When it was given up, in milliseconds since the Unix epoch. */
  at: number;
  /** The kind of display. */
  kind: DisplayKind;
  /** The last lines of the unit's log, without secrets. */
  lines: (string)[];
  /** What happened, in one sentence. */
  reason: string;
  /** The unit that died, whose log says more. */
  unit: string;
}

/** One kind of display, the best first. */
export type DisplayKind = "xorg" | "virtualgl" | "llvmpipe";

/** The answer. */
export interface DisplayState {
  /** The kind that `DESKTOPD_DISPLAY` asks for. */
  asked: DisplayKind | null;
  /** All candidates. */
  candidates: (DisplayCandidate)[];
  /** The kind that was chosen. */
  chosen: DisplayKind | null;
  /** What encodes the stream, in one sentence. */
  encoder: string;
  /** What failed since the start, or since displays were last tried again, oldest first. */
  failures: (DisplayFailure)[];
  /** The part of the sentence about what draws. */
  head: string;
  /** How to mend what reasons say, by the whole reason. Reasons without a remedy have no entry. */
  mends: Record<string, Mend>;
  /** The number of the X display. */
  number: number;
  /** What `desktopd probe` shows. */
  probe: unknown;
  /** The screen. */
  screen: Screen;
  /** What draws, and why nothing better does: the sentence of `desktopd status`. */
  sentence: string;
  /** The user who draws; `None` if there is none. */
  user: User | null;
  /** The part about why nothing better draws. */
  why: string | null;
}

/** A request to end one session, or all other sessions than that of the client. Exactly one of the two. */
export interface EndSessions {
  /** The id of the session in [`Sessions`]. */
  id: string | null;
  /** Whether all others are meant, also those that are in no list. */
  others: boolean;
}

/** The body of every error response. */
export interface ErrorBody {
  /** A sentence for the user. */
  error: string;
}

/** An event. */
export type Event = {
  /** When, in milliseconds since the Unix epoch. */
  at: number;
  /** Its number since the daemon started, from 1. */
  seq: number;
} & ({
  kind: "phase";
  /** The phase. */
  phase: Phase;
} | UnitChange | {
  kind: "up";
} | {
  kind: "down";
} | {
  /** The GPU with its address. */
  gpu: string;
  kind: "gpu";
  /** Whether it is lost. */
  lost: boolean;
  /** Why it is lost, in one sentence; empty for a GPU that can be used again. */
  reason: string;
} | {
  /** The display in one line, without the displays that failed. */
  display: string;
  kind: "display";
  /** Why. */
  reason: string;
});

/** The past of a GPU. */
export interface GpuChart {
  /** How much of the time it worked; where that is not reported, how much of the time it was awake. */
  busy_share: (number | null)[];
  /** How much of the time its encoder worked. */
  encoder_share: (number | null)[];
  /** Its memory in use. */
  memory_used_bytes: (number | null)[];
  /** As in [`GpuFigures::place`]. */
  place: string;
  /** The power that it draws. */
  power_watts: (number | null)[];
  /** Its temperature. */
  temperature_celsius: (number | null)[];
}

/** A GPU. */
export interface GpuFigures {
  /** How much of the time the GPU was not in its sleep state: at least as much as it worked. Intel's drivers report this and no busy share. */
  awake_share: number | null;
  /** How much of the time the GPU worked. */
  busy_share: number | null;
  /** How much of the time its video encoder worked. */
  encoder_share: number | null;
  /** All of its own memory. */
  memory_total_bytes: number | null;
  /** Its own memory in use. */
  memory_used_bytes: number | null;
  /** The name for people. */
  name: string;
  /** The PCI address, or else the device node. */
  place: string;
  /** The power that it draws. */
  power_watts: number | null;
  /** Why figures are missing, if that is known. */
  reason: string | null;
  /** The temperature. */
  temperature_celsius: number | null;
}

/** How a session was opened. The last byte of the session's id says so: the id is signed, so that a client cannot change it, and nothing has to be stored. */
export type How = "password" | "token" | "unknown";

/** A ticket for one terminal. */
export interface Issued {
  /** How long it is valid, in seconds. */
  seconds: number;
  /** What the WebSocket has to show. */
  ticket: string;
}

/** A link to a route. */
export interface Link {
  /** Where it comes from. */
  source: Source;
  /** The whole URL. */
  url: string;
}

/** How bad a row says that it is. */
export type LogLevel = "debug" | "info" | "warning" | "error";

/** One line of a unit's output. */
export interface LogLine {
  /** When it was read, in milliseconds since the Unix epoch. */
  at: number;
  /** Whether the row has not ended. */
  open?: boolean;
  /** The text without its newline; secrets are masked, bytes that are not UTF-8 are replaced. */
  text: string;
}

/** A row of a log, or of several logs in one order. */
export interface LogRow {
  /** When the row was read, in milliseconds since the Unix epoch. */
  at: number;
  /** The filter does not accept the row's new state: the row shown before is to be removed. */
  gone?: boolean;
  /** The places of the hits of a search, each as its begin and end in the text without colours, in units of UTF-16. */
  hits?: ([number, number])[];
  /** The level that the text seems to have. */
  level?: LogLevel | null;
  /** Here this many rows of the service are missing, whatever the filter says about them; the text says so. */
  lost?: number | null;
  /** Whether the row has not ended: another state may follow. */
  open?: boolean;
  /** The number under which this row was shown first: this state takes the place of the earlier one. */
  replaces?: number | null;
  /** Here a new daemon begins: the rows before are not in its memory. The text says so. */
  restarted?: boolean;
  /** The row's number. The numbers are the order of the rows of all logs. */
  seq: number;
  /** The service that printed it. */
  service: string;
  /** The text: valid UTF-8 without control characters other than tabs and the sequences of colours (SGR). */
  text: string;
}

/** Rows of several services. */
export interface LogRows {
  /** What `after` has to be in a request that continues here. */
  after: string;
  /** Whether there is more already. */
  more: boolean;
  /** The rows, in order. */
  rows: (LogRow)[];
  /** The services that the rows can be of. */
  services: (string)[];
}

/** The first event of a stream. */
export interface LogStart {
  /** The services that the rows can be of. */
  services: (string)[];
}

/** The figures of the past, as far as the machine was looked at: two charts of the machine, one of each service. */
export interface MachineHistory {
  /** The last 24 hours, minute by minute. A value is the mean of a minute. */
  minutes: Chart;
  /** The last 10 minutes, second by second. */
  seconds: Chart;
  /** The last 10 minutes of the services, in steps of 10 seconds. */
  services: ServiceCharts;
}

/** The answer to one question about the machine. */
export interface MachineReport {
  /** The past. */
  history: MachineHistory;
  /** The figures now; null if they could not be read in time. */
  now: MachineSample | null;
}

/** The figures of one moment. */
export interface MachineSample {
  /** When the figures were read, in milliseconds since the Unix epoch. */
  at: number;
  /** How many cores the container may keep busy; with a fraction where its limit has one. */
  cpu_cores: number | null;
  /** How much of the processor time that the container may use was used since the last sample. Null in the first sample after a pause, like all figures that are differences. */
  cpu_share: number | null;
  /** Bytes that the container read from disks in a second. */
  disk_read_bytes_per_second: number | null;
  /** Bytes that the container wrote to disks in a second. */
  disk_written_bytes_per_second: number | null;
  /** The file systems: that of the container, and that of the workspace if it is another one. */
  disks: (Disk)[];
  /** The GPUs, in the order of `desktopd probe`. */
  gpus: (GpuFigures)[];
  /** The processes that use the most memory, and those that use the most processor time: those with more memory first. The others are only in the sums. */
  largest: (ProcessFigures)[];
  /** The cache of files, which the kernel gives up when memory is needed. */
  memory_cache_bytes: number | null;
  /** The memory that the container may use: its limit, or that of the whole machine. */
  memory_limit_bytes: number | null;
  /** The memory that programs and the kernel hold for this container and cannot give back: without the cache of files. */
  memory_used_bytes: number | null;
  /** Bytes that all network interfaces but loopback received in a second. */
  network_received_bytes_per_second: number | null;
  /** Bytes that they sent in a second. */
  network_sent_bytes_per_second: number | null;
  /** Processes that belong to no service: shells, detached jobs, helpers of the daemon. */
  others: Usage;
  /** The number of all processes. */
  processes: number;
  /** Whether there were too many processes to look at all of them. */
  processes_left_out: boolean;
  /** Counts the samples since the daemon's start. */
  seq: number;
  /** The services that have processes, and the daemon itself. Processes are looked at in every other sample. */
  services: (ServiceFigures)[];
  /** The container's limit of swap space. */
  swap_limit_bytes: number | null;
  /** Memory that was moved to the swap space; null where the container's swap space is not limited. */
  swap_used_bytes: number | null;
}

/** A reason in parts. */
export interface Mend {
  /** The commands in the remedy. */
  commands: (RemedyCommand)[];
  /** The remedy. */
  remedy: string;
  /** What is wrong. */
  what: string;
}

/** The body of a request that changes units. */
export interface Names {
  /** Names or aliases of units, or names of the daemon itself. */
  names: (string)[];
  /** Whether a restart leaves out the units that `restart-with` names. */
  only?: boolean;
}

/** Connections and streams of one session that are open now on one port. */
export interface OpenAt {
  /** How many. */
  count: number;
  /** The port. */
  port: number;
}

/** What became of a candidate. */
export type Outcome = "chosen" | "possible" | "doubtful" | "impossible" | "failed";

/** A value that was set and lost. */
export interface Overridden {
  /** Where it was set, in words. */
  source: string;
  /** The value. */
  value: string;
}

/** The phase of the whole daemon. */
export type Phase = "starting" | "running" | "stopping";

/** A process. */
export interface ProcessFigures {
  /** How much of the processor time that the container may use it used since the last look. */
  cpu_share: number | null;
  /** Memory of its own. */
  memory_bytes: number;
  /** Its name, of which the kernel keeps 15 bytes. Not its command line, which may have secrets. */
  name: string;
  /** Its number. */
  pid: number;
  /** The service that it belongs to, if there is one. */
  service: string | null;
}

/** A client that sends credentials with each request and has no session. */
export interface Program {
  /** Its address, as far as the gateway knows. */
  address: string;
  /** Whether the token is in a cookie. Otherwise each request has the token or the password itself. */
  cookie: boolean;
  /** The last request, to within about a second, in milliseconds since the Unix epoch. */
  last: number;
  /** The first request that is remembered, in milliseconds since the Unix epoch. */
  since: number;
}

/** A question, and the word that says yes. */
export interface Question {
  text: string;
  title: string;
  yes: string;
}

/** A command, or an option of one. */
export interface RemedyCommand {
  /** Where it is typed. */
  place: RemedyPlace;
  /** The text to type. */
  text: string;
}

/** Where a command is typed. */
export type RemedyPlace = "start" | "host" | "container";

/** A route or link from outside, as shown in the portal. */
export interface RouteStatus {
  /** The most likely URL, for programs, and for users who do not see the portal. */
  address: string;
  /** The links that lead there, the most likely one first. */
  links: (Link)[];
  /** Whether the portal itself answers there. */
  own: boolean;
  /** The path that a link opens. */
  path: string;
  /** The port that the gateway listens on, or that a link leads to. */
  port: number;
  /** Why the gateway does not listen on the port; `None` while it does. */
  problem: string | null;
  /** What the user sees there now. Derived from the other fields. */
  seen: Seen;
  /** The services whose output is visible there. */
  shows: (string)[];
  /** The title for users. */
  title: string;
  /** The unit that answers there; empty if there is none. */
  unit: string;
  /** The URL, if one is right for all clients. Otherwise the portal makes one from the address that the browser uses. Derived from the links, like the next field. */
  url: string | null;
}

/** That there is a sample. */
export interface Sampled {
  /** When it was taken, in milliseconds since the Unix epoch. */
  at: number;
  /** The number of the sample. */
  seq: number;
}

/** The screen as planned. A browser may have changed the size since, where `resize` says so. */
export interface Screen {
  /** Colour depth, in bits. */
  depth: number;
  /** Dots per inch. */
  dpi: number;
  /** Height at the start, in pixels. */
  height: number;
  /** Highest frame rate of the stream, in frames per second. */
  refresh: number;
  /** Whether browsers choose the size, up to the room. */
  resize: boolean;
  /** The largest size, `3840x2160`: the room that the X server has. */
  room: string;
  /** Width at the start, in pixels. */
  width: number;
}

/** What a user sees at one route, and the service that is the reason. */
export interface Seen {
  /** The client that stopped it, if any. */
  by: string | null;
  /** The kind. */
  sight: Sight;
  /** Since when that service is in its state, in milliseconds since the Unix epoch. */
  since: number;
  /** The services to start for a remedy: the stopped and failed ones that may be started. */
  start: (string)[];
  /** The state of that service. */
  state: UnitState | null;
  /** A message in one sentence, without the time; empty if all is well. */
  text: string;
  /** The service that is the reason; empty if there is none. */
  unit: string;
}

/** The past of a service. */
export interface ServiceChart {
  /** How much of the processor time it used. */
  cpu_share: (number | null)[];
  /** The memory of its own processes. */
  memory_bytes: (number | null)[];
  /** Its name. */
  name: string;
}

/** The past of the services. */
export interface ServiceCharts {
  /** The services. */
  services: (ServiceChart)[];
  /** The distance between two values. */
  step_seconds: number;
  /** The time of the last value, in milliseconds since the Unix epoch. */
  until_at: number;
}

/** A service. */
export interface ServiceFigures {
  /** How much of the processor time that the container may use they used since the last sample. */
  cpu_share: number | null;
  /** Memory of their own: without files and without memory that is shared with other processes. */
  memory_bytes: number;
  /** Its name. */
  name: string;
  /** How many there are. */
  processes: number;
}

/** Who is logged in. */
export interface Sessions {
  /** Clients that send credentials with each request. */
  programs: (Program)[];
  /** Whether a login is required. */
  required: boolean;
  /** The sessions that made requests since the daemon started: that of the client first, then the last used. */
  sessions: (Visit)[];
}

/** What a user sees, from best to worst. */
export type Sight = "ready" | "off" | "starting" | "stopped" | "unhealthy" | "failed";

/** The whole state of the daemon. */
export interface Snapshot {
  /** The chosen display as a text, with the kinds that failed; empty until it is chosen. */
  display: string;
  /** Why better displays are not used any more, one sentence for each that failed. A restart of the X server tries them again. */
  display_failed: (string)[];
  /** The display to which a restart of the X server leads, if that is another one; otherwise empty. */
  display_next: string;
  /** Counts the changes of what is known about the display: pages that show more than the sentence ask again then. */
  display_revision: number;
  /** What draws on the display, with which renderer, and why nothing better does, in one sentence; empty until the display is chosen. */
  drawing: string;
  /** What encodes the video of the stream as a text, with the reason for each better encoder that is not used; empty until it is chosen. */
  encoder: string;
  /** The GPUs that were lost since the start, one sentence each. */
  gpus_lost: (string)[];
  /** The problems of the configuration, one sentence each. */
  mistakes: (string)[];
  /** The reasons why not, one sentence for each cause; empty while it is ready. */
  not_ready: (string)[];
  /** What is no problem and good to know, one sentence each: programs that this image lacks. */
  notes: (string)[];
  /** The daemon's phase. */
  phase: Phase;
  /** The id of the daemon's own process. */
  pid: number;
  /** All problems, one sentence each, the worst first: failed services, services that do not answer, `gpus_lost`, and `mistakes`. Derived from the rest. */
  problems: (string)[];
  /** Whether users can connect and see the expected services. Derived from the rest, like the next two fields. */
  ready: boolean;
  /** All routes and links. */
  routes: (RouteStatus)[];
  /** The number of the last event of a unit that is contained in `units`. */
  seq: number;
  /** When the daemon started, in milliseconds since the Unix epoch. */
  started_at: number;
  /** A summary in one line; problems come first. */
  summary: string;
  /** All units, in the order of start. */
  units: (UnitStatus)[];
  /** Whether every unit that should be up is up. Stopped units should not, so this does not tell what users see. */
  up: boolean;
  /** The version of this program. */
  version: string;
}

/** Where a link comes from. */
export type Source = "preset" | "provider" | "public-address" | "direct";

/** The time in one state. */
export interface Span {
  /** When it began. */
  from: number;
  /** The state. */
  state: UnitState;
  /** When it ended; at most the end of the chart. */
  to: number;
}

/** Whether there is a terminal, as the API answers it. */
export interface Standing {
  /** How many there may be. */
  limit: number;
  /** The terminals that are open, and tickets for one. */
  open: number;
  /** Why it is off. */
  reason?: string | null;
  /** Whose shells they are; `None` if the terminal is off. */
  user: string | null;
}

/** The chart. All times but `started_at` are milliseconds since the daemon's start. */
export interface Timeline {
  /** The critical path, first to last. */
  critical: (CriticalLink)[];
  /** The end of the chart. */
  end: number;
  /** Whether the boot is over, with everything up or not. */
  over: boolean;
  /** The daemon's own row, then the units: started ones by their start times, then the others. */
  rows: (TimelineRow)[];
  /** The daemon's start, in milliseconds since the Unix epoch. */
  started_at: number;
  /** When everything that should be up was up. */
  up: number | null;
}

/** One unit's bar. */
export interface TimelineRow {
  /** How often it was started. */
  attempts: number;
  /** Whether it is on the critical path. */
  critical: boolean;
  /** When it was first ready or done. */
  ready: number | null;
  /** The reason for this state. */
  reason: string;
  /** Its states in order. */
  spans: (Span)[];
  /** When it was first started. */
  started: number | null;
  /** Its last state during the boot. */
  state: UnitState;
  /** Its name. */
  unit: string;
}

/** The password, typed again. */
export interface Typed {
  password: string;
}

/** One transition of one unit. */
export interface UnitChange {
  /** The state before; `None` for the first state. */
  from: UnitState | null;
  /** The result of its checks, if it is ready and has checks. */
  health: UnitHealth | null;
  /** The process that the change is about, if any. */
  pid: number | null;
  /** Why; may be empty. Secrets are masked. */
  reason: string;
  /** The state now. Equal to `from` if only the reason is new. */
  to: UnitState;
  /** Its name. */
  unit: string;
}

/** The result of the checks of a unit that is ready. */
export type UnitHealth = "healthy" | "unhealthy";

/** A unit's state by name; the reason is a separate field. */
export type UnitState = "waiting" | "starting" | "ready" | "stopping" | "stopped" | "backoff" | "done" | "failed" | "skipped";

/** One unit, as all clients see it. */
export interface UnitStatus {
  /** The units that start before it, even if they fail. */
  after: (string)[];
  /** Its other names. */
  aliases: (string)[];
  /** A short description. */
  description: string;
  /** The result of its checks; `None` for a unit without checks, or not ready. */
  health: UnitHealth | null;
  /** Its name: that of its file. */
  name: string;
  /** The units that must be ready, or listening, before it starts. */
  needs: (string)[];
  /** Whether it starts only on request, and was never requested: the configuration leaves it out. */
  off: boolean;
  /** Whether it is kept running (a service) or runs once (a boot step). */
  oneshot: boolean;
  /** Its main process, while it has one. */
  pid: number | null;
  /** Why it is in this state, or why it is unhealthy; may be empty. */
  reason: string;
  /** The unit that a restart restarts too, unless the request leaves it out. */
  restart_with?: string | null;
  /** How often it was restarted without a request. */
  restarts: number;
  /** Since when it is in this state, in milliseconds since the Unix epoch. */
  since: number;
  /** Its state. */
  state: UnitState;
  /** Its own status text, sent by `sd_notify`; may be empty. */
  status_text: string;
  /** Who requested its stop; `None` once it is wanted again. */
  stopped_by: string | null;
}

/** The units that a changing request applies to. */
export interface Units {
  /** What the daemon did itself, if one of its own names was in the request: sentences for the user. */
  notes?: (string)[];
  /** The number of the last event that the request caused at once: later effects have higher numbers. */
  seq: number;
  /** Their names. */
  units: (string)[];
}

/** What processes use together. */
export interface Usage {
  /** How much of the processor time that the container may use they used since the last sample. */
  cpu_share: number | null;
  /** Memory of their own: without files and without memory that is shared with other processes. */
  memory_bytes: number;
  /** How many there are. */
  processes: number;
}

/** The desktop's user. */
export interface User {
  /** The ids of the groups, each with its name if the name is known. */
  groups: ([number, string | null])[];
  /** Login name. */
  name: string;
  /** The id. */
  uid: number;
}

/** One variable. */
export interface Variable {
  /** The other names by which it is read. */
  aliases: (string)[];
  /** The value if the variable is not set. */
  default: string;
  /** The description. */
  doc: string;
  /** Its name. */
  name: string;
  /** Other values that were set, and lost. */
  overrode: (Overridden)[];
  /** Whether the value is never shown. */
  secret: boolean;
  /** Where the value comes from, in words. */
  source: string;
  /** Empty when it is not set and has no default. */
  value: string;
}

/** A session that was seen. */
export interface Visit {
  /** The address that the last request came from, as far as the gateway knows. */
  address: string;
  /** How the session was opened. */
  how: How;
  /** Names the session in requests to end it, and is good for nothing else. */
  id: string;
  /** The last request, to within about a second, in milliseconds since the Unix epoch. */
  last: number;
  /** What it has open now. */
  open: (OpenAt)[];
  /** Whether the request for this list belongs to it. */
  own: boolean;
  /** When it was opened, in milliseconds since the Unix epoch. */
  since: number;
}
