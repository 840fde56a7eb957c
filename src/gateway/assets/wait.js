// Updates the waiting page and reloads it when the service answers. All foreign text is inserted as text nodes only.
'use strict';

const LINES = 12;
const at = (id) => document.getElementById(id);
// Our addresses are relative to this script, because a proxy may serve us under any path prefix.
const ours = document.currentScript.src;
const source = new EventSource(new URL('wait/events', ours));

const state = (element, name) => {
  element.textContent = name;
  element.className = `state ${name}`;
};

// Shows the time in the user's local format.
function showSince(milliseconds) {
  const since = at('since');
  if (!milliseconds) return since.replaceChildren();
  const date = new Date(milliseconds);
  const time = document.createElement('time');
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString();
  const today = date.toDateString() === new Date().toDateString();
  time.textContent = today ? date.toLocaleTimeString([], { hour12: false }) : date.toLocaleString();
  since.replaceChildren('since ', time);
}

// Links without a configured address use the host of this page's own address.
for (const link of document.querySelectorAll('#ways a[data-port]')) {
  const base = `${location.protocol}//${location.hostname}:${link.dataset.port}`;
  link.href = new URL(`${base}/${link.dataset.path.replace(/^\/+/, '')}`).href;
}

const started = document.querySelector('#since time');
if (started) showSince(Date.parse(started.dateTime));

// Without this script, the submitted form redirects back to the page.
at('start').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = at('start').querySelector('button');
  button.disabled = true;
  at('refused').hidden = true;
  const say = (text) => {
    at('refused').textContent = text;
    at('refused').hidden = false;
    button.disabled = false;
  };
  const response = await fetch(at('start').action, { method: 'POST' }).catch(() => null);
  if (response?.status === 401) location.assign(new URL(`login?next=${encodeURIComponent(location.pathname)}`, ours));
  else if (!response?.ok) say((await response?.json().catch(() => null))?.error ?? 'desktopd does not answer');
});

source.addEventListener('status', (event) => {
  const status = JSON.parse(event.data);
  document.title = status.headline;
  at('headline').textContent = status.headline;
  at('reason').textContent = status.reason;
  showSince(status.since);
  at('hint').textContent = status.hint;
  at('anyway').hidden = !status.anyway;
  const button = at('start').querySelector('button');
  at('start').hidden = status.start.length === 0;
  button.textContent = `Start ${status.start.join(', ')}`;
  button.disabled = false;
  state(at('state'), status.state);
  at('needs').replaceChildren(...status.needs.map((need) => {
    const item = document.createElement('li');
    const badge = document.createElement('span');
    state(badge, need.state);
    item.append(`${need.name} `, badge);
    return item;
  }));
});

let lines = [];
const show = () => {
  lines = lines.slice(-LINES);
  at('log').textContent = lines.map((line) => `${line}\n`).join('');
};
source.addEventListener('lines', (event) => {
  lines = JSON.parse(event.data);
  show();
});
source.addEventListener('line', (event) => {
  lines.push(JSON.parse(event.data));
  show();
});

source.addEventListener('enter', () => {
  source.close();
  location.reload();
});

// A permanently closed stream means that the session has ended: the reload leads to the login page.
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
});
