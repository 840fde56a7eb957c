// Fetches the page again whenever the state changes, and puts in only what is different: focus, open parts and the
// place that a person scrolled to stay.
import { Idiomorph } from 'idiomorph';
import type { Changed } from './api';
import { at, logIn } from './page';
import { showTimes } from './times';

/** How long to wait before another connection, in milliseconds. */
const AGAIN = 2000;

/** Follows the state. `after` runs after each update of the page. */
export function watchState(after: () => void): void {
  let asking = false;
  let more = false;
  let lost = 0;
  let ticking = 0;
  let stream: EventSource | null = null;

  async function update(): Promise<void> {
    more = true;
    if (asking) return;
    asking = true;
    try {
      while (more && !document.hidden) {
        more = false;
        await fetchPage(after);
      }
    } finally {
      asking = false;
    }
  }

  function showLost(): void {
    lost ||= Date.now();
    const seconds = Math.round((Date.now() - lost) / 1000);
    const note = at('connection');
    // A screen reader reads each change.
    if (note.hidden || seconds % 30 === 0) {
      note.textContent = `Connection lost ${seconds} s ago. What you see is from then; it comes back by itself.`;
    }
    note.hidden = false;
    document.body.classList.add('stale');
    ticking ||= window.setInterval(showLost, 1000);
  }

  function showFound(): void {
    lost = 0;
    clearInterval(ticking);
    ticking = 0;
    at('connection').hidden = true;
    document.body.classList.remove('stale');
  }

  // A hidden page holds no connection: by plain http a browser has six for all tabs together.
  function connect(): void {
    if (stream || document.hidden) return;
    const opened = new EventSource('api/status/stream?brief=true');
    stream = opened;
    opened.addEventListener('changed', (event: MessageEvent<string>) => {
      showFound();
      const { started_at } = JSON.parse(event.data) as Changed;
      // Another daemon may have other pages and scripts.
      if (String(started_at) !== document.body.dataset['daemon']) location.reload();
      else void update();
    });
    opened.addEventListener('error', () => {
      if (stream !== opened) return;
      showLost();
      if (opened.readyState !== EventSource.CLOSED) return;
      stream = null;
      setTimeout(() => void again(), AGAIN);
    });
  }

  // The connection ended for good: the login ended, or the daemon does not answer.
  async function again(): Promise<void> {
    const response = await fetch('api/status').catch(() => null);
    if (response?.status === 401) logIn();
    else connect();
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else connect();
  });
  document.addEventListener('newer', () => void update());
  connect();
}

async function fetchPage(after: () => void): Promise<void> {
  const { search } = location;
  const response = await fetch(location.href, { headers: { accept: 'text/html' } }).catch(() => null);
  if (response?.redirected && response.url.includes('desktopd/login')) return logIn();
  if (response?.status === 401) return logIn();
  if (!response || response.status >= 500) return;
  const newer = new DOMParser().parseFromString(await response.text(), 'text/html');
  // A person chose something else meanwhile.
  if (location.search !== search) return fetchPage(after);
  showTimes(newer);
  const scrolled = [...document.querySelectorAll('.log:not(#log)')].map((log) => atEnd(log));
  for (const id of ['summary', 'main']) {
    const content = newer.getElementById(id);
    if (content) Idiomorph.morph(at(id), content, { callbacks: { beforeNodeMorphed, beforeAttributeUpdated } });
  }
  document.querySelectorAll('.log:not(#log)').forEach((log, number) => {
    if (scrolled[number] ?? true) log.scrollTop = log.scrollHeight;
  });
  after();
}

function atEnd(element: Element): boolean {
  return element.scrollHeight - element.scrollTop - element.clientHeight < 40;
}

/** The log that is followed, plots, their buttons and what a person chooses belong to the scripts. */
function beforeNodeMorphed(element: Node): boolean {
  // What a person types is not written over. The library would also keep the text of a button that has the focus.
  if (element === document.activeElement && element instanceof Element && element.matches('input, textarea, select')) return false;
  return !(element instanceof Element && element.matches('#choice, #pause, #download, #tools, #refused, .frame, #range, .plot, #figures-stale'));
}

/** What a person opened stays open; what the scripts show stays shown. */
function beforeAttributeUpdated(name: string, element: Element): boolean {
  return !(name === 'open' && element instanceof HTMLDetailsElement) && !(name === 'hidden' && element.matches('#filter, [data-copy], #preview'))
    && !(name === 'src' && element.matches('#preview img'))
    // A typed text is no attribute of the newer page.
    && !(name === 'value' && element.matches('[type="search"], [type="password"]'));
}
