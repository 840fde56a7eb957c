// Keeps the waiting page true and enters when the service answers. Everything foreign becomes text nodes.
'use strict';

const LINES = 12;
const at = (id) => document.getElementById(id);
// Beside this script, under whatever path a proxy has us.
const source = new EventSource(new URL('wait/events', document.currentScript.src));

const state = (element, name) => {
  element.textContent = name;
  element.className = `state ${name}`;
};

source.addEventListener('status', (event) => {
  const status = JSON.parse(event.data);
  document.title = status.headline;
  at('headline').textContent = status.headline;
  at('reason').textContent = status.reason;
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

// Closed for good means that the session has ended: the reload leads to the login page.
source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
});
