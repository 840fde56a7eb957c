// The plots of the page of the machine. The figures beside them are the server's: the page is fetched again for them.
import { follow } from './figures';
import { at, newer } from './page';
import { Past, type History, type Range, type Sample } from './machine/past';
import { Plot } from './machine/plot';

/** Services and processes are looked at in every other sample. */
const REFRESH = 2;

/** After this time without a sample the page says so. Milliseconds. */
const STALE = 5000;

/** The time between two questions for the last 24 hours, in milliseconds. */
const MINUTE = 60_000;

const past = new Past();
const plots = new Map<HTMLElement, Plot>();
let range: Range = 'seconds';
let samples = 0;
let stale = 0;
let asked = Date.now();

function draw(): void {
  for (const place of document.querySelectorAll<HTMLElement>('.plot')) {
    if (!plots.has(place)) plots.set(place, new Plot(place));
  }
  for (const [place, plot] of plots) {
    if (place.isConnected) plot.draw(past, range);
    else {
      plot.end();
      plots.delete(place);
    }
  }
}

function takeHistory(data: string): void {
  past.replace(JSON.parse(data) as History);
  asked = Date.now();
  draw();
}

function takeSample(data: string): void {
  past.add(JSON.parse(data) as Sample);
  watchAge();
  samples += 1;
  if (samples % REFRESH === 0) newer();
  if (range === 'minutes' && Date.now() - asked > MINUTE) void askAgain();
  draw();
}

/** The server makes the means of the minutes. */
async function askAgain(): Promise<void> {
  asked = Date.now();
  const response = await fetch('api/machine').catch(() => null);
  if (!response?.ok) return;
  past.replace((await response.json() as { history: History }).history);
  draw();
}

function watchAge(): void {
  const note = at('figures-stale');
  if (!note.hidden) note.hidden = true;
  clearTimeout(stale);
  const since = new Date().toLocaleTimeString([], { hour12: false });
  stale = window.setTimeout(() => {
    if (document.hidden) return;
    note.textContent = `No new figures since ${since}. They go on by themselves.`;
    note.hidden = false;
  }, STALE);
}

function watchRange(): void {
  const buttons = at('range');
  buttons.hidden = false;
  buttons.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-range]') : null;
    if (!button) return;
    range = button.dataset['range'] === 'minutes' ? 'minutes' : 'seconds';
    for (const one of buttons.querySelectorAll('[data-range]')) {
      one.setAttribute('aria-pressed', String(one === button));
    }
    if (range === 'minutes') void askAgain();
    draw();
  });
}

watchRange();
// Also where no sample comes at all.
watchAge();
document.addEventListener('visibilitychange', () => { if (!document.hidden) watchAge(); });
follow('api/machine/stream', { history: takeHistory, sample: takeSample });
