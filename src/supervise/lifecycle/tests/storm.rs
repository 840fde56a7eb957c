//! A stress test with any events in any order: random units in a simulated world with random outcomes and random
//! requests.

use std::collections::BTreeMap;

use super::*;
use crate::config::service::{Action, Health, Probe};
use crate::supervise::lifecycle::runtime::Stage;

/// Seeds that found mistakes once.
const KEPT: [u64; 4] = [
    11_776_371_480_831_277_309,
    365_368_023_964_433_530,
    7_930_241_112_626_045_360,
    4_996_617_433_630_707_213,
];

/// The number of fresh worlds per run.
const WORLDS: u64 = 256;

/// The number of events before the requests end.
const EVENTS: usize = 300;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap()
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct World {
    seed: u64,
    units: Vec<Unit>,
    random: Random,
    core: Core,
    now: Now,
    /// The coming events with their times. The number distinguishes events of the same time.
    coming: BTreeMap<(Now, u64), (UnitId, u64, Event)>,
    count: u64,
    /// The run of each unit that is alive.
    alive: Vec<Option<u64>>,
    runs: u64,
    /// The running check of each unit.
    checking: Vec<Option<u64>>,
    /// Whether a check succeeded since processes behave as expected.
    well: Vec<bool>,
    /// Whether processes behave as expected.
    calm: bool,
    /// When each unit's stop began, and how long it may take.
    stops: Vec<Option<(Now, Duration)>>,
    shutdown: Option<Now>,
    finished: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 1 + random.index(9);
        let units: Vec<Unit> = (0..count).map(|at| some_unit(at, &mut random)).collect();
        let core = Core::new(units.clone(), random.next(), 0);
        Self {
            seed,
            units,
            random,
            core,
            now: Now::ZERO,
            coming: BTreeMap::new(),
            count: 0,
            alive: vec![None; count],
            runs: 0,
            checking: vec![None; count],
            well: vec![false; count],
            calm: false,
            stops: vec![None; count],
            shutdown: None,
            finished: false,
        }
    }

    fn later(&mut self, longest: u64, at: UnitId, event: Event) {
        let due = self.now + MS(self.random.below(longest + 1));
        self.count += 1;
        self.coming.insert((due, self.count), (at, self.runs, event));
    }

    /// The end of the current run; its later events are dropped.
    fn ends(&mut self, longest: u64, at: UnitId) {
        let run = self.alive[at];
        let outcome = match self.random.below(8) {
            0..=3 => Outcome::Ended(Exit::Code(0)),
            4 | 5 => Outcome::Ended(Exit::Code(1)),
            6 => Outcome::Ended(Exit::Signal(9)),
            // Not by another random number: the sequences of the kept seeds must stay the same.
            _ if self.count.is_multiple_of(2) => Outcome::HeldUp("not now".to_owned()),
            _ => Outcome::NotStarted("no".to_owned()),
        };
        let due = self.now + MS(self.random.below(longest + 1));
        self.count += 1;
        self.coming.insert((due, self.count), (at, run.unwrap_or(0), Event::Exited(at, outcome)));
    }

    fn carry_out(&mut self, effect: &Effect) {
        let seed = self.seed;
        match *effect {
            Effect::Spawn(at) => {
                assert_eq!(self.alive[at], None, "seed {seed}: a second process of {at:?}");
                assert_eq!(self.shutdown, None, "seed {seed}: a start during the end");
                assert_eq!(
                    self.core.users(at).next(),
                    None,
                    "seed {seed}: {at:?} starts under what needs it"
                );
                self.runs += 1;
                self.alive[at] = Some(self.runs);
                self.stops[at] = None;
                self.well[at] = false;
                if self.random.once_in(4) {
                    self.later(300, at, Event::ProbeFailed(at, "no listener".to_owned()));
                    self.later(3000, at, Event::StatusText(at, "nearly".to_owned()));
                }
                let oneshot = self.core.unit(at).oneshot;
                if self.calm || !self.random.once_in(6) {
                    self.later(20, at, Event::Launched(at, 1000));
                    self.later(if self.calm { 100 } else { 400 }, at, Event::Ready(at));
                }
                if oneshot {
                    let well = Event::Exited(at, Outcome::Ended(Exit::Code(0)));
                    if self.calm { self.later(100, at, well) } else { self.ends(2000, at) }
                } else if !self.calm && self.random.once_in(2) {
                    let longest = [5, 500, 20_000, 200_000][self.random.index(4)];
                    self.ends(longest, at);
                }
            }
            Effect::RunStopCommand(at) => {
                assert!(self.alive[at].is_some(), "seed {seed}: {at:?} is asked and not alive");
                self.stops[at] = Some((self.now, self.core.unit(at).stop.timeout));
                let well = self.calm || self.random.once_in(2);
                self.later(2000, at, Event::StopCommandEnded(at, well));
                if well {
                    self.ends(6000, at);
                }
            }
            Effect::Signal(at) => {
                self.stops[at].get_or_insert((self.now, self.core.unit(at).stop.timeout));
                if self.alive[at].is_some() && (self.calm || !self.random.once_in(4)) {
                    self.ends(if self.calm { 100 } else { 8000 }, at);
                }
            }
            Effect::Kill(at) => {
                if let Some((began, limit)) = self.stops[at].take() {
                    let took = self.now.saturating_sub(began);
                    assert!(took <= limit, "seed {seed}: {at:?} is killed after {took:?}");
                }
                if self.alive[at].is_some() {
                    let stuck = !self.calm && self.random.once_in(10);
                    self.ends(if stuck { 30_000 } else { 20 }, at);
                }
            }
            Effect::Check(at, number) => {
                assert_eq!(self.checking[at], None, "seed {seed}: a second check of {at:?}");
                assert!(self.alive[at].is_some(), "seed {seed}: a check of {at:?}, which is not alive");
                self.checking[at] = Some(number);
                let result = match self.random.below(20) {
                    _ if self.calm => Ok(()),
                    0..=7 => Ok(()),
                    8..=15 => Err("no".to_owned()),
                    // It hangs.
                    _ => return,
                };
                // Some answers come after the check was given up.
                let due = self.now + MS(self.random.below(if self.calm { 50 } else { 1500 }));
                self.count += 1;
                let event = Event::Checked(at, number, result);
                self.coming.insert((due, self.count), (at, self.alive[at].unwrap_or(0), event));
            }
            Effect::CancelCheck(at) => self.checking[at] = None,
            Effect::Finished => {
                assert!(!self.finished, "seed {seed}: the end comes twice");
                let began = self.shutdown.expect("an end that was asked for");
                let took = self.now.saturating_sub(began);
                assert!(
                    took <= requests::STOP_BUDGET + transitions::KILL_BUDGET,
                    "seed {seed}: the end took {took:?}"
                );
                self.finished = true;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        if let Event::Checked(at, number, result) = &event
            && self.checking[*at] == Some(*number)
        {
            self.checking[*at] = None;
            self.well[*at] |= self.calm && result.is_ok();
        }
        let effects = self.core.handle(event, self.now);
        if self.core.is_stopping() {
            // The main unit may have ended.
            self.shutdown.get_or_insert(self.now);
        }
        for effect in effects {
            self.carry_out(&effect);
        }
        self.check();
    }

    fn check(&self) {
        let seed = self.seed;
        let deadline = self.core.deadline();
        assert!(deadline.is_none_or(|d| d > self.now), "seed {seed}: {deadline:?} at {:?}", self.now);
        for (at, runtime) in self.core.ids().zip(&self.core.units) {
            assert_eq!(runtime.is_alive(), self.alive[at].is_some(), "seed {seed}: {at:?} is {runtime:?}");
            let checks = matches!(runtime.phase(), Some(Phase::Ready(Some(checks))) if matches!(checks.stage, Stage::Running { .. }));
            assert!(self.checking[at].is_none() || checks, "seed {seed}: {at:?} is checked as {runtime:?}");
            let satisfied = runtime.deps.needs.iter().all(|need| self.core.is_open(*need));
            if matches!(runtime.phase(), Some(Phase::Starting { .. } | Phase::Ready(_))) {
                assert!(satisfied, "seed {seed}: {runtime:?} runs without what it needs");
            }
            if runtime.state == State::Waiting && self.shutdown.is_none() {
                assert!(!self.core.waits_for(at).is_empty(), "seed {seed}: {runtime:?} waits for nothing");
            }
        }
    }

    /// The next event that happens by itself, if any. False if there is none.
    fn step(&mut self) -> bool {
        let coming = self.coming.first_key_value().map(|(key, _)| *key);
        let deadline = self.core.deadline();
        match (coming, deadline) {
            (Some(key), deadline) if deadline.is_none_or(|deadline| key.0 <= deadline) => {
                self.now = self.now.max(key.0);
                let Some((at, run, event)) = self.coming.remove(&key) else { return false };
                let current = self.alive[at] == Some(run);
                match event {
                    // A stop command may outlive its unit.
                    Event::StopCommandEnded(..) => self.handle(event),
                    _ if !current => {}
                    Event::Exited(..) => {
                        self.alive[at] = None;
                        self.handle(event);
                    }
                    _ => self.handle(event),
                }
                true
            }
            (_, Some(deadline)) => {
                self.now = self.now.max(deadline);
                self.handle(Event::Tick);
                true
            }
            (_, None) => false,
        }
    }

    fn request(&mut self) {
        let count = self.alive.len();
        let units: Vec<UnitId> =
            (0..=self.random.index(2)).map(|_| UnitId(self.random.index(count))).collect();
        let event = match self.random.below(3) {
            0 => Event::Start(units),
            1 => Event::Stop(units, "ada".to_owned()),
            _ if self.random.once_in(2) => Event::Restart(units, "ada".to_owned()),
            _ => Event::Restart(self.core.restart_together(&units), "ada".to_owned()),
        };
        // Requests come at any time, not only together with other events.
        let next =
            self.coming.first_key_value().map(|(key, _)| key.0).into_iter().chain(self.core.deadline()).min();
        if let Some(gap) = next.map(|next| next.saturating_sub(self.now)) {
            self.now += gap / u32::try_from(1 + self.random.below(5)).unwrap();
        }
        self.handle(event);
    }

    /// Some files are changed, added or removed.
    fn replan(&mut self) {
        let changed: Vec<bool> = self.units.iter().map(|_| self.random.once_in(3)).collect();
        for at in (0..self.units.len()).filter(|at| changed[*at]) {
            self.units[at] = some_unit(at, &mut self.random);
        }
        if self.random.once_in(4) && self.units.len() < 12 {
            self.units.push(some_unit(self.units.len(), &mut self.random));
            self.alive.push(None);
            self.checking.push(None);
            self.well.push(false);
            self.stops.push(None);
        }
        self.core.replan(self.units.clone(), self.now);
        for effect in self.core.handle(Event::Tick, self.now) {
            self.carry_out(&effect);
        }
        self.check();
    }

    fn live(mut self) {
        self.handle(Event::Tick);
        for _ in 0..EVENTS {
            if self.core.is_stopping() {
                break;
            }
            if self.random.once_in(20) {
                self.replan();
            } else if self.random.once_in(4) || !self.step() {
                self.request();
            }
        }
        if self.core.is_stopping() || self.random.once_in(2) {
            self.end();
        } else {
            self.rest();
        }
    }

    /// Everything is stopped while processes behave randomly.
    fn end(&mut self) {
        if !self.core.is_stopping() {
            self.shutdown = Some(self.now);
            self.handle(Event::Shutdown);
        }
        while !self.finished {
            match self.random.below(12) {
                0 => self.handle(Event::Shutdown),
                1 => self.request(),
                _ => assert!(self.step(), "seed {}: the end does not come", self.seed),
            }
        }
    }

    /// Without requests and with well-behaved processes, everything settles, and then nothing is missing.
    fn rest(&mut self) {
        self.calm = true;
        let mut steps = 0;
        while !self.only_checks_are_left() && self.step() {
            steps += 1;
            assert!(steps < 20_000, "seed {}: no rest: {:#?}", self.seed, self.core);
        }
        for runtime in &self.core.units {
            let needs = || runtime.deps.needs.iter().all(|need| self.core.is_open(*need));
            // A unit without a start timeout that was started before the calm may start forever.
            let endless = |runtime: &UnitRuntime| {
                matches!(runtime.phase(), Some(Phase::Starting { deadline: None, .. }))
            };
            let held_up = || self.held_up(runtime, &endless);
            let fits = match (&runtime.state, runtime.phase()) {
                (_, Some(Phase::Ready(_))) => true,
                (_, Some(Phase::Starting { .. })) => endless(runtime),
                (_, Some(Phase::Draining { .. } | Phase::Stopping { .. })) => false,
                (State::Waiting, _) => !needs() || held_up(),
                (state, _) => !matches!(state, State::Backoff { .. }),
            };
            assert!(fits, "seed {}: at rest with {runtime:#?}", self.seed);
        }
    }
}

impl World {
    /// Whether the only coming events are checks, and all checked units are healthy.
    fn only_checks_are_left(&self) -> bool {
        let checks = |(at, run, event): &(UnitId, u64, Event)| {
            self.alive[*at] != Some(*run) || matches!(event, Event::Checked(..))
        };
        let rests = |at: UnitId| match self.core.units[at].phase() {
            Some(Phase::Ready(checks)) => checks.is_none() || self.well[at],
            Some(Phase::Starting { deadline, .. }) => deadline.is_none(),
            Some(Phase::Draining { .. } | Phase::Stopping { .. }) => false,
            None => !matches!(self.core.units[at].state, State::Backoff { .. }),
        };
        self.coming.values().all(checks) && self.core.ids().all(rests)
    }

    /// Whether `runtime` is, or waits for, a unit that starts forever.
    fn held_up(&self, runtime: &UnitRuntime, endless: &impl Fn(&UnitRuntime) -> bool) -> bool {
        let mut before = runtime.deps.needs.iter().chain(&runtime.deps.after);
        endless(runtime)
            || runtime.state == State::Waiting
                && (runtime.spec.last && self.core.units.iter().any(endless)
                    || before.any(|unit| self.held_up(&self.core.units[*unit], endless)))
    }
}

fn some_unit(at: usize, random: &mut Random) -> Unit {
    let mut others = |one_in: u64| -> Vec<String> {
        (0..at).filter(|_| random.once_in(one_in)).map(|other| other.to_string()).collect()
    };
    let (needs, after, follows, mut partner) = (others(3), others(5), others(6), others(6));
    let oneshot = random.once_in(4);
    let start_timeout = [None, Some(MS(0)), Some(MS(250)), Some(MS(60_000))][random.index(4)];
    // Without any time to get ready and without a limit, it would fail forever.
    let limits = usize::from(start_timeout == Some(MS(0)));
    let health = (!oneshot && random.once_in(3)).then(|| Health {
        probe: Probe::Tcp("port".to_owned()),
        period: MS([1000, 10_000][random.index(2)]),
        retry: MS(1000),
        timeout: MS([200, 1000][random.index(2)]),
        threshold: [1, 2, 3][random.index(3)],
        action: [Action::Restart, Action::Tell][random.index(2)],
    });
    // Not by another random number: the sequences of the kept seeds must stay the same.
    let listen = (!oneshot && random.0.is_multiple_of(3)).then(|| socket("/s"));
    let launch = Orders { listen: listen.into_iter().collect(), ..Orders::default() };
    Unit {
        launch,
        relations: Relations { needs, after, follows, restart_with: partner.pop(), ..Relations::default() },
        health,
        main: at == 0 && random.once_in(4),
        last: random.once_in(10),
        oneshot,
        start_timeout,
        restart: RestartPolicy {
            when: [Restart::Always, Restart::OnFailure, Restart::Never][random.index(3)],
            limit: [None, Some(1), Some(3), Some(5)][limits + random.index(4 - limits)],
            ..RestartPolicy::default()
        },
        stop: StopPolicy {
            command: random.once_in(3).then(Vec::new),
            timeout: MS([0, 500, 5000][random.index(3)]),
            ..StopPolicy::default()
        },
        autostart: !random.once_in(5),
        disposition: if random.once_in(20) {
            Disposition::Skip("not here".to_owned())
        } else {
            Disposition::Run
        },
        ..unit(&at.to_string())
    }
}

#[test]
fn the_invariants_hold_for_random_events() {
    for seed in KEPT {
        World::new(seed).live();
    }
    // Each run uses fresh seeds; the seed is in the message of every failure.
    let first: u64 = rand::random();
    for seed in (0..WORLDS).map(|world| first.wrapping_add(world)) {
        World::new(seed).live();
    }
}
