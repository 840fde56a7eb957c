// The display: what draws and why, what was considered, what the machine has, and how to mend what is missing.
// The page follows the stream of snapshots, and fetches `api/display` only when a snapshot says that it changed.
'use strict';

const OUTCOMES = {
  chosen: ['ready', 'chosen'],
  possible: ['', 'possible, another is preferred'],
  doubtful: ['waiting', 'in doubt'],
  impossible: ['', 'not possible'],
  failed: ['failed', 'failed'],
};
const PLACES = { start: 'option of docker run', host: 'on the host', container: 'in the container' };

let current = { units: [], problems: [] };
// What `api/display` answered last, and for which snapshot.
let display = null;
let fetched = '';

// --- Parts.

function state(name, text) {
  return make('span', { className: `state ${name}`, textContent: text });
}

// Reasons begin in the middle of a sentence. A path or a name with a sign in it stays as it is.
function begun(text) {
  return text.replace(/^[a-z]+(?= )/, (word) => word[0].toUpperCase() + word.slice(1));
}

// A name or a text that a driver or a program told: it may be written from right to left.
function foreign(tag, text, className = '') {
  return make(tag, { className }, make('bdi', { textContent: text }));
}

function commandItem({ place, text }) {
  const button = make('button', { type: 'button', textContent: 'Copy' });
  button.setAttribute('aria-label', `Copy ${text}`);
  button.addEventListener('click', () => copy(text));
  return make('li', {}, make('code', { textContent: text }), make('small', { textContent: PLACES[place] ?? '' }), button);
}

function commandList(commands, label) {
  const list = make('ul', { className: 'commands' }, ...commands.map(commandItem));
  list.setAttribute('aria-label', `Commands for ${label}`);
  return list;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages by plain http have no clipboard of their own.
    const field = make('textarea', { value: text, readOnly: true });
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    focused?.focus();
    if (!done) return say(`This browser does not let the page copy: ${text}`);
  }
  say(`copied: ${text}`);
}

// A reason with its remedy and, unless they are shown elsewhere, the commands in it.
function reasonParts(reason, label, hasCommands = true) {
  const mend = display.mends[reason];
  if (!mend) return [foreign('p', begun(reason))];
  const parts = [foreign('p', begun(mend.what)), foreign('p', mend.remedy, 'remedy')];
  if (hasCommands && mend.commands.length) parts.push(commandList(mend.commands, label));
  return parts;
}

function terms(list, pairs) {
  const items = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '').flatMap(([name, value]) => [
    make('dt', { textContent: name }),
    Array.isArray(value) ? make('dd', {}, make('ul', {}, ...value.map((text) => foreign('li', text)))) : foreign('dd', String(value)),
  ]);
  list.replaceChildren(...items);
  return list;
}

// Escape sequences and control characters of a log line are left out.
function plainLine(text) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\][^\x07\x1b]*(\x07|\x1b\\)?/g, '').replace(/\x1b\[[0-?]*[ -/]*[@-~]?/g, '').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
}

// --- The sections.

function showNow() {
  set(at('head'), display.head);
  const { why } = display;
  const mend = why === null ? null : display.mends[why];
  at('why').hidden = why === null;
  set(at('why'), begun(mend ? mend.what : why ?? ''));
  at('why-remedy').hidden = !mend;
  set(at('why-remedy'), mend?.remedy ?? '');
  at('why-commands').hidden = !mend?.commands.length;
  at('why-commands').replaceChildren(...(mend?.commands ?? []).map(commandItem));
}

function xServer() {
  return current.units.find((unit) => unit.name === 'x-server' || unit.aliases.includes('x-server'));
}

function hasFailed() {
  return display !== null && (display.failures.length > 0 || display.candidates.some((one) => one.outcome === 'failed'));
}

function showServer() {
  const unit = xServer();
  const line = at('server');
  const button = at('again');
  button.hidden = !unit;
  if (!unit) return line.replaceChildren('No X server runs.');
  const unhealthy = unit.health === 'unhealthy';
  const shown = unhealthy ? 'unhealthy' : unit.state;
  line.replaceChildren(make('span', { textContent: `X server: ${unit.name}` }), state(unhealthy ? 'failed' : unit.state, shown));
  if (unit.reason) line.append(' ', foreign('small', unit.reason));
  set(button, hasFailed() ? 'Try again from the top' : 'Restart the X server');
  button.disabled = document.body.classList.contains('stale') || unit.state === 'skipped';
}

function showFailures() {
  at('failures').hidden = display.failures.length === 0;
  const items = display.failures.map((failure) => {
    const date = new Date(failure.at);
    const time = make('time', { dateTime: date.toISOString(), textContent: date.toLocaleString([], { hour12: false }) });
    const body = make('div', {}, foreign('p', begun(failure.reason)));
    if (failure.lines.length) {
      const lines = make('pre', { tabIndex: 0, textContent: failure.lines.map(plainLine).join('\n') });
      lines.setAttribute('aria-label', `Last lines of the log of ${failure.unit}`);
      body.append(make('details', {}, make('summary', { textContent: `Last lines of the log of ${failure.unit}` }), lines));
    }
    const name = display.candidates.find((one) => one.kind === failure.kind)?.name ?? failure.kind;
    return make('li', { className: 'failed' }, make('div', {}, make('h3', { textContent: name }), make('p', { className: 'on' }, time)), body);
  });
  at('failures-list').replaceChildren(...items);
}

function showCandidates() {
  at('asked').hidden = display.asked === null;
  set(at('asked'), `DESKTOPD_DISPLAY=${display.asked} asks for this kind first.`);
  // Eight equal GPUs are one item.
  const groups = [];
  for (const one of display.candidates) {
    const group = groups.find(([other]) => other.kind === one.kind && other.outcome === one.outcome && other.reason === one.reason);
    if (group) group.push(one);
    else groups.push([one]);
  }
  at('candidates-list').replaceChildren(...groups.map(candidateItem));
}

function candidateItem(group) {
  const [one] = group;
  const [className, text] = OUTCOMES[one.outcome] ?? ['', one.outcome];
  const who = make('div', {}, make('h3', { textContent: one.name }));
  for (const { gpu, device } of group) {
    const line = make('p', { className: 'on' });
    if (gpu) line.append(make('bdi', { textContent: gpu }));
    if (device && !gpu?.includes(device)) line.append(' ', make('code', { textContent: device }));
    if (line.childNodes.length) who.append(line);
  }
  const label = one.gpu ? `${one.name} on ${one.gpu}` : one.name;
  const why = make('div', {}, state(className, text));
  // The commands are beside the GPU of which the reason is.
  if (one.outcome !== 'possible') why.append(...reasonParts(one.reason, label, !isOfGpu(one.reason)));
  const item = make('li', { className: ['chosen', 'failed'].includes(one.outcome) ? one.outcome : '' }, who, why);
  if (one.outcome === 'chosen') item.setAttribute('aria-current', 'true');
  return item;
}

function isOfGpu(reason) {
  return display.probe.gpus.some((gpu) => gpu.reason === reason);
}

const KINDS = {
  nvidia: 'NVIDIA GPU', amd: 'AMD GPU', intel: 'Intel GPU', virtual: 'virtual card', display: 'display card', other: 'device of an unknown maker',
};

function showGpus() {
  const { gpus, reason } = display.probe;
  const items = gpus.map((gpu) => {
    const name = gpu.name ?? KINDS[gpu.vendor] ?? gpu.vendor;
    const { nvidia, card, render } = gpu.nodes;
    const facts = terms(make('dl'), [
      ['PCI address', gpu.pci],
      ['Driver', gpu.driver && [gpu.driver.name, gpu.driver.version].filter(Boolean).join(' ')],
      ['Nodes', [nvidia, card, render].filter(Boolean).join(' ') || 'none in this container'],
      ['Encoder', gpu.encoder?.toUpperCase() ?? 'none known'],
      ['EGL index', gpu.egl],
      ['CUDA index', gpu.cuda],
      ['UUID', gpu.uuid],
    ]);
    const who = make('div', {}, make('h3', {}, make('bdi', { textContent: name })), facts);
    // A card without 3D is no failure.
    const broken = ['virtual', 'display'].includes(gpu.vendor) ? '' : 'failed';
    const why = make('div', {}, state(gpu.usable ? 'ready' : broken, gpu.usable ? 'can draw' : 'cannot draw'), ...reasonParts(gpu.reason, name));
    return make('li', {}, who, why);
  });
  // Without a GPU, or where the list may lack one.
  if (reason) items.push(make('li', {}, make('div', { className: 'wide' }, ...reasonParts(reason, 'GPUs'))));
  at('gpus-list').replaceChildren(...items);
}

const LIBRARIES = {
  egl: 'libEGL.so.1', gl: 'libGL.so.1', nvml: 'libnvidia-ml.so.1', cuda: 'libcuda.so.1', egl_nvidia: 'libEGL_nvidia.so.0',
  glx_nvidia: 'libGLX_nvidia.so.0', nvenc: 'libnvidia-encode.so.1', xorg_nvidia: 'nvidia_drv.so', egl_icd: '10_nvidia.json',
};

function renderedLine(device) {
  const index = device.index === null ? 'not initialized' : `egl${device.index}`;
  const result = device.error ?? (device.pixel ? 'the pixel came back' : 'the pixel did not come back');
  const cpu = device.software ? ', on the CPU' : '';
  return `${index}, ${device.card || device.render || 'no node'}: ${device.renderer ?? 'no renderer'}${cpu}; ${result}`;
}

function showDrivers() {
  const { nvidia, kfd, libraries, rendered } = display.probe;
  const missing = Object.entries(LIBRARIES).filter(([key]) => libraries[key] === null).map(([, name]) => name);
  const found = Object.entries(LIBRARIES).filter(([key]) => libraries[key]).map(([, name]) => name);
  const drawn = rendered && (rendered.reason ? [rendered.reason] : rendered.devices.length ? rendered.devices.map(renderedLine) : ['EGL lists no device']);
  terms(at('drivers-list'), [
    ['NVIDIA', [nvidia.module && `kernel module ${nvidia.module}`, nvidia.cuda && `CUDA up to ${nvidia.cuda}`, isOfGpu(nvidia.reason) ? '' : nvidia.reason].filter(Boolean).join('; ')],
    ['AMD (ROCm)', kfd.reason ?? `${kfd.gpus} in the topology`],
    ['Drawn on', drawn ?? 'not asked'],
    ['Libraries', found.join(' ') || 'none'],
    ['Missing libraries', missing.join(' ')],
  ]);
}

function showScreen() {
  const { screen, encoder, number } = display;
  const limit = screen.resize ? `${screen.room}; browsers choose the size up to this` : `${screen.room}; WEBRTC_ENABLE_RESIZE lets browsers choose the size`;
  terms(at('screen-list'), [
    ['Display', `:${number}`],
    ['Size at the start', `${screen.width}x${screen.height}`],
    ['Largest size', limit],
    ['Dots per inch', screen.dpi],
    ['Colour depth', `${screen.depth} bits`],
    ['Highest frame rate', `${screen.refresh} frames a second`],
    ['Encoder', encoder],
  ]);
}

function known(value, yes, no) {
  return value === null ? 'not known' : value ? yes : no;
}

function showContainer() {
  const { container } = display.probe;
  const groups = display.user?.groups.map(([id, name]) => (name ? `${name} (${id})` : String(id)));
  terms(at('container-list'), [
    ['Privileged', known(container.privileged, 'yes', 'no')],
    ['CAP_SYS_ADMIN', known(container.sys_admin, 'yes', 'no')],
    ['CAP_MKNOD', known(container.mknod, 'yes', 'no: device nodes cannot be made here')],
    ['/dev/shm', container.shm === null ? null : `${Math.round(container.shm / 1048576)} MiB`],
    ['Displays of other X servers', container.foreign_x.map((number) => `:${number}`).join(' ') || 'none'],
    ['WSL', container.wsl ? 'yes' : null],
    ['NVIDIA_VISIBLE_DEVICES', container.visible],
    ['NVIDIA_DRIVER_CAPABILITIES', container.capabilities],
    ['User', display.user && `${display.user.name} (${display.user.uid})`],
    ['Groups', groups?.join(', ')],
  ]);
}

// A button that had the focus has it again after its section was drawn anew.
function keepingFocus(draw) {
  const label = document.activeElement?.getAttribute('aria-label');
  draw();
  if (!label || document.activeElement !== document.body) return;
  [...document.querySelectorAll('button[aria-label]')].find((button) => button.getAttribute('aria-label') === label)?.focus();
}

function draw() {
  showNow();
  showFailures();
  showCandidates();
  showGpus();
  showDrivers();
  showScreen();
  showContainer();
  const isFirst = at('details').hidden;
  at('details').hidden = false;
  // The browser looked for the section in the address before there was one.
  if (isFirst && location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

// --- Following.

let asking = false;
let more = false;

async function refresh() {
  more = true;
  if (asking) return;
  asking = true;
  while (more) {
    more = false;
    // Before the first plan there is nothing to ask for; a later snapshot says when there is.
    if (!current.display_revision) break;
    const wanted = `${current.started_at}/${current.display_revision}`;
    if (wanted === fetched) break;
    const response = await fetch('api/display').catch(() => null);
    if (response?.status === 401) return logIn();
    if (!response?.ok) break;
    display = await response.json();
    fetched = wanted;
    keepingFocus(draw);
    showServer();
  }
  asking = false;
}

function show(snapshot) {
  current = snapshot;
  document.body.classList.remove('stale');
  set(at('summary'), `${snapshot.summary} · version ${snapshot.version}`);
  showProblems(snapshot.problems);
  showServer();
  refresh();
}

function lost() {
  // Each further attempt that fails is reported, too.
  if (document.body.classList.contains('stale')) return;
  document.body.classList.add('stale');
  set(at('summary'), `connection lost at ${new Date().toLocaleTimeString([], { hour12: false })}; trying again …`);
  showServer();
}

at('again').addEventListener('click', async () => {
  const unit = xServer();
  if (!unit) return;
  const along = takenAlong(current.units, unit.name);
  const order = display?.candidates.map((one) => one.name).filter((name, index, all) => all.indexOf(name) === index).join(', then ');
  const again = hasFailed() ? `What failed is forgotten, and the displays are tried again in this order: ${order}. ` : '';
  const jobs = ' Programs that were detached from a terminal (tmux, nohup) run on.';
  const text = `${again}${LOST}${jobs}${along && ` With ${unit.name} restart: ${along}.`}`;
  if (await confirmed('Restart the X server?', text, 'Restart')) ask('restart', 'x-server', at('again'));
});

watchStatus(show, lost);
