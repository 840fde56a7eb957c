// What the pages of the portal share: text, requests with the question before them, and the stream of snapshots.
// Everything from the server becomes text nodes, never markup.
'use strict';

// Addresses are relative: a proxy may serve the pages under another path.
const at = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(text) {
  const message = at('message');
  message.textContent = text;
  message.hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { message.hidden = true; }, 6000);
}

// After the login the browser comes back to this page. The portal's first page has no name.
function logIn() {
  const page = location.pathname.split('/').pop();
  location.assign(page ? `desktopd/login?next=/${page}` : 'desktopd/login');
}

// --- The snapshot.

// Calls `show` with each snapshot, and `lost` whenever the connection is lost.
function watchStatus(show, lost) {
  const events = new EventSource('api/status/stream');
  events.addEventListener('snapshot', (event) => show(JSON.parse(event.data)));
  events.addEventListener('error', () => {
    lost();
    if (events.readyState === EventSource.CLOSED) setTimeout(again, 2000);
  });

  // The connection ended for good: the login session ended, or the daemon did not answer.
  async function again() {
    const response = await fetch('api/status').catch(() => null);
    if (response?.status === 401) logIn();
    else watchStatus(show, lost);
  }
}

function showProblems(problems) {
  const list = at('problems');
  const texts = [...list.children].map((item) => item.textContent);
  // An unchanged list is not announced again.
  if (texts.length === problems.length && texts.every((text, index) => text === problems[index])) return;
  list.hidden = problems.length === 0;
  list.replaceChildren(...problems.map((text) => make('li', { textContent: text })));
}

// --- Requests. Those that end the user's desktop need a confirmation that says what is lost.

// `names` and all services that they need, directly or not.
function neededBy(units, names) {
  const all = new Set(names);
  for (const name of all) units.find((unit) => unit.name === name)?.needs.forEach((need) => all.add(need));
  return all;
}

// The names of the running services that a stop or restart of `name` takes along.
function takenAlong(units, name) {
  const along = units.filter((other) => other.pid && other.name !== name && neededBy(units, [other.name]).has(name));
  return along.map((other) => other.name).join(', ');
}

const LOST = 'The desktop ends. Programs that are open on it end too, and work that is not saved is lost.';

async function confirmed(title, text, yes) {
  const dialog = at('question');
  set(at('question-title'), title);
  set(at('question-text'), text);
  set(at('question-yes'), yes);
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => { dialog.addEventListener('close', resolve, { once: true }); });
  return dialog.returnValue === 'yes';
}

async function ask(verb, name, button) {
  button.disabled = true;
  try {
    const response = await fetch(`api/units/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ names: [name] }),
    });
    if (response.status === 401) return logIn();
    const answer = await response.json();
    if (!response.ok) {
      say(answer.error);
      button.disabled = false;
    }
  } catch {
    say('desktopd does not answer');
    button.disabled = false;
  }
}
