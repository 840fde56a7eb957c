// The portal: shows the newest snapshot, sends requests, follows logs.
'use strict';

const LINES = 2000;

// --- Links: from the settings, from the cloud provider, or made from the address of this page.

function linkOf(route) {
  const base = `${location.protocol}//${location.hostname}:${route.port}`;
  try {
    const url = route.url ? new URL(route.url) : new URL(base);
    if (!route.url && route.path) {
      const path = new URL(`${base}/${route.path.replace(/^\/+/, '')}`);
      url.pathname = path.pathname;
      url.search = path.search;
      url.hash = path.hash;
    }
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

// Whether this page was opened on another port than the portal's own. Then the other ports may also have other numbers
// outside the container, and a link made from such a port may lead to another container.
function isMapped(routes) {
  const own = routes.find((route) => route.own);
  const port = Number(location.port || (location.protocol === 'https:' ? 443 : 80));
  return Boolean(own) && !own.url && own.port !== port;
}

function showLinks(snapshot) {
  // The portal's own link is left out: it is this page, on any port.
  const elsewhere = snapshot.routes.filter((route) => !route.own);
  const guessed = isMapped(snapshot.routes) ? elsewhere.filter((route) => !route.url && !route.problem) : [];
  const mapped = at('mapped');
  mapped.hidden = guessed.length === 0;
  if (guessed.length) {
    const own = snapshot.routes.find((route) => route.own);
    mapped.textContent = `This page was opened on port ${location.port || (location.protocol === 'https:' ? 443 : 80)}, but the portal listens on port ${own.port}: other `
      + 'ports may also differ outside, and links to them may lead to another machine. Publish each port under its own number '
      + '(SERVICEPORTAL_PORT_HOST, SELKIES_PORT_HOST and VNC_PORT_HOST set the ports), or set the addresses in '
      + 'SERVICEPORTAL_URL, SELKIES_URL and VNC_URL.';
  }
  const items = elsewhere.map((route) => {
    const { sight, text: why } = route.seen;
    const port = guessed.includes(route) ? `port ${route.port}, if it is the same outside` : `port ${route.port}`;
    const text = [make('strong', { textContent: route.title }), make('small', { textContent: port })];
    // The state of a program that is not one of the services is unknown.
    if (route.unit || sight !== 'ready') text.push(' ', make('small', { className: `state ${sight}`, textContent: sight }));
    if (why) text.push(make('small', { className: 'why', textContent: why }));
    const href = route.problem ? null : linkOf(route);
    const tile = href
      ? make('a', { href, target: '_blank', rel: 'noopener noreferrer' }, ...text)
      : make('div', { className: 'closed' }, ...text);
    return make('li', {}, tile);
  });
  at('links').replaceChildren(...items);
}

// --- Services. Table rows are reused, so that a focused button stays focused.

const rows = new Map();

function since(milliseconds) {
  const seconds = Math.max(0, Math.round((Date.now() - milliseconds) / 1000));
  for (const [size, name] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${seconds} s`;
}

function newRow(name) {
  const row = {
    title: make('span'),
    about: make('small'),
    state: make('span'),
    reason: make('small'),
    since: make('time'),
    pid: make('td', { className: 'number' }),
    restarts: make('td', { className: 'number' }),
    buttons: {},
  };
  const actions = make('div', { className: 'actions' });
  for (const verb of ['start', 'stop', 'restart']) {
    const button = make('button', { type: 'button', textContent: verb });
    button.setAttribute('aria-label', `${verb} ${name}`);
    button.addEventListener('click', async () => { if (await mayEnd(verb, name)) ask(verb, name, button); });
    row.buttons[verb] = button;
    actions.append(button);
  }
  const log = make('button', { type: 'button', textContent: 'log' });
  log.setAttribute('aria-label', `log of ${name}`);
  log.addEventListener('click', () => follow(name));
  actions.append(log);
  row.element = make('tr', {},
    make('td', {}, row.title, row.about), make('td', {}, row.state, row.reason),
    make('td', {}, row.since), row.pid, row.restarts, make('td', { className: 'last' }, actions));
  return row;
}

function showUnits(units) {
  for (const unit of units) {
    let row = rows.get(unit.name);
    if (!row) rows.set(unit.name, row = newRow(unit.name));
    const up = ['starting', 'ready', 'backoff', 'waiting', 'stopping'].includes(unit.state);
    set(row.title, unit.name);
    set(row.about, unit.description);
    const unhealthy = unit.health === 'unhealthy';
    set(row.state, unhealthy ? 'unhealthy' : unit.state);
    row.state.className = `state ${unhealthy ? 'failed' : unit.state}`;
    set(row.reason, unit.reason || unit.status_text);
    row.at = unit.since;
    row.since.dateTime = new Date(unit.since).toISOString();
    row.since.title = new Date(unit.since).toLocaleString();
    set(row.since, since(unit.since));
    set(row.pid, unit.pid === null ? '' : String(unit.pid));
    set(row.restarts, unit.restarts ? String(unit.restarts) : '');
    // A boot step runs once; only a failed or stopped step can be started by hand.
    row.buttons.start.hidden = unit.oneshot && !['failed', 'stopped'].includes(unit.state);
    row.buttons.stop.hidden = row.buttons.restart.hidden = unit.oneshot;
    row.buttons.start.disabled = up || unit.state === 'skipped';
    row.buttons.stop.disabled = !up || unit.state === 'stopping';
    row.buttons.restart.disabled = unit.state === 'skipped';
  }
  const body = at('units');
  for (const [name, row] of rows) {
    if (!units.some((unit) => unit.name === name)) {
      row.element.remove();
      rows.delete(name);
    }
  }
  units.forEach((unit, index) => {
    const element = rows.get(unit.name).element;
    if (body.children[index] !== element) body.insertBefore(element, body.children[index] ?? null);
  });
}

setInterval(() => {
  if (document.hidden) return;
  for (const row of rows.values()) set(row.since, since(row.at));
}, 5000);

// --- Requests that end the user's session need a confirmation that says what is lost.

let current = { units: [], routes: [] };

async function mayEnd(verb, name) {
  const { units, routes } = current;
  const shown = routes.flatMap((route) => route.shows);
  const unit = units.find((candidate) => candidate.name === name);
  if (verb === 'start' || !unit?.pid || !neededBy(units, shown).has(name)) return true;
  const along = takenAlong(units, name);
  const Verb = verb === 'stop' ? 'Stop' : 'Restart';
  return confirmed(`${Verb} ${name}?`, `${LOST}${along && ` With ${name} ${verb}: ${along}.`}`, Verb);
}

// --- The snapshot.

function show(snapshot) {
  current = snapshot;
  set(at('summary'), [snapshot.summary, `version ${snapshot.version}`].filter(Boolean).join(' · '));
  at('drawing').hidden = !snapshot.drawing;
  set(at('drawing-text'), snapshot.drawing);
  showProblems(snapshot.problems);
  at('notes').hidden = snapshot.notes.length === 0;
  at('notes').replaceChildren(...snapshot.notes.map((text) => make('li', { textContent: text })));
  showLinks(snapshot);
  showUnits(snapshot.units);
  if (daemon !== snapshot.started_at) {
    // Another daemon starts to count its events anew.
    daemon = snapshot.started_at;
    seen = 0;
    timeline.done = false;
    at('events').replaceChildren();
  }
  news();
  drawTimeline(snapshot.up);
}

// --- Events and the timeline.

const EVENTS = 100;
let daemon = null;
let seen = 0;
let asking = false;
let more = false;

// A snapshot means that there are new events, so events are requested then; they need no connection of their own.
async function news() {
  more = true;
  if (asking) return;
  asking = true;
  while (more) {
    more = false;
    const response = await fetch(`api/events?since=${seen}`).catch(() => null);
    if (!response?.ok) break;
    showEvents(await response.json());
  }
  asking = false;
}

function showEvents(events) {
  const list = at('events');
  for (const event of events.slice(-EVENTS)) list.prepend(eventRow(event));
  while (list.childElementCount > EVENTS) list.lastElementChild.remove();
  if (events.length) seen = events[events.length - 1].seq;
}

function eventRow(event) {
  const date = new Date(event.at);
  const time = make('time', {
    dateTime: date.toISOString(), title: date.toLocaleString(), textContent: date.toLocaleTimeString([], { hour12: false }),
  });
  if (event.kind === 'unit') {
    const unhealthy = event.health === 'unhealthy';
    const state = make('span', {
      className: `state ${unhealthy ? 'failed' : event.to}`, textContent: unhealthy ? 'unhealthy' : event.to,
    });
    return make('li', {}, time, make('strong', { textContent: event.unit }), state, make('small', { textContent: event.reason }));
  }
  if (event.kind === 'display') {
    return make('li', {}, time, make('strong', { textContent: `the display is ${event.display}` }), make('small', { textContent: event.reason }));
  }
  if (event.kind === 'gpu') {
    const text = event.lost ? event.reason : `${event.gpu} can be used again`;
    return make('li', {}, time, make('strong', { textContent: text }));
  }
  const text = { up: 'everything is up', down: 'not everything is up any more' }[event.kind] ?? `desktopd is ${event.phase}`;
  return make('li', {}, time, make('strong', { textContent: text }));
}

// The timeline picture changes until everything is up. It is loaded at most once a second.
const timeline = { up: false, done: false, timer: null };

function drawTimeline(up) {
  timeline.up = up;
  if (timeline.timer || timeline.done) return;
  timeline.timer = setTimeout(() => {
    timeline.timer = null;
    timeline.done = timeline.up;
    at('timeline-dark').srcset = `api/timeline.svg?theme=dark&seen=${seen}`;
    at('timeline').src = `api/timeline.svg?seen=${seen}`;
  }, 1000);
}

// --- Logs.

let stream = null;

function stopFollowing() {
  stream?.close();
  stream = null;
}

function follow(name) {
  stopFollowing();
  const log = at('log');
  set(at('log-title'), `Log of ${name}`);
  at('viewer').hidden = false;
  at('viewer').scrollIntoView({ block: 'nearest' });
  const source = stream = new EventSource(`api/logs/stream?service=${encodeURIComponent(name)}&tail=500`);
  // The rows that have not ended, by their numbers.
  const open = new Map();
  log.replaceChildren();
  // An event has all rows of some 50 ms. A new connection goes on after the last event of the old one.
  source.addEventListener('rows', (event) => {
    if (source !== stream) return;
    const added = [];
    for (const row of JSON.parse(event.data).slice(-LINES)) {
      const id = row.lost || row.restarted ? null : row.replaces ?? row.seq;
      const before = open.get(id);
      open.delete(id);
      if (row.gone) {
        before?.remove();
        continue;
      }
      const element = logRow(row);
      if (row.open) open.set(id, element);
      if (before?.isConnected) {
        before.replaceWith(element);
      } else {
        const place = added.indexOf(before);
        if (place >= 0) added[place] = element;
        else added.push(element);
      }
    }
    log.append(...added);
    while (log.childElementCount > LINES) log.firstElementChild.remove();
    if (at('follow').checked) log.scrollTop = log.scrollHeight;
  });
}

function logRow(row) {
  if (row.lost || row.restarted) return make('div', { className: 'lost', textContent: `… ${row.text}` });
  const time = make('time', { textContent: `${new Date(row.at).toLocaleTimeString([], { hour12: false })} ` });
  return make('div', {}, time, ...coloured(row.text));
}

// Shows the colours and bold text of escape sequences; all other sequences are removed.
function coloured(text) {
  const parts = [];
  let classes = { colour: '', bold: '', dim: '' };
  // eslint-disable-next-line no-control-regex
  for (const piece of text.split(/(\x1b\[[0-9;:]*m)/)) {
    if (/^\x1b\[[0-9;:]*m$/.test(piece)) {
      classes = styled(classes, piece.slice(2, -1).split(/[;:]/).map(Number));
      continue;
    }
    const plain = piece
      .replace(/\x1b\][^\x07\x1b]*(\x07|\x1b\\)?/g, '')
      .replace(/\x1b\[[0-?]*[ -/]*[@-~]?/g, '')
      .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
    const className = Object.values(classes).filter(Boolean).join(' ');
    if (plain) parts.push(className ? make('span', { className, textContent: plain }) : plain);
  }
  return parts;
}

function styled(classes, codes) {
  let next = { ...classes };
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index];
    if (code === 0) next = { colour: '', bold: '', dim: '' };
    else if (code === 1) next.bold = 'bold';
    else if (code === 2) next.dim = 'dim';
    else if (code === 22) next.bold = next.dim = '';
    else if (code === 39) next.colour = '';
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) next.colour = `c${code % 10}`;
    // Colours of the large palettes: skip their arguments, which are not codes.
    else if (code === 38 || code === 48) index += codes[index + 1] === 5 ? 2 : 4;
  }
  return next;
}

at('close-log').addEventListener('click', () => {
  stopFollowing();
  at('viewer').hidden = true;
});
at('log').addEventListener('scroll', () => {
  const log = at('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  at('follow').checked = atEnd;
});

watchStatus(show, () => set(at('summary'), 'connection lost; trying again …'));
