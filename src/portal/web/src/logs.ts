// Follows logs: rows are drawn as they come, some tens of times a second at most.
import { coloured } from './colours';

/** The most rows on the page. */
const MOST = 5000;

/** The most rows that are kept while the page is paused. The daemon has older ones. */
const MOST_WAITING = 20_000;

/** A row as the server sends it. */
interface Row {
  seq: number;
  at: number;
  service: string;
  text: string;
  level?: string;
  replaces?: number;
  open?: boolean;
  gone?: boolean;
  lost?: number;
  restarted?: boolean;
}

/** Takes over the log of the page, if there is one. */
export function watchLogs(): void {
  const log = document.querySelector<HTMLElement>('#log[data-stream]');
  if (!log) return;
  // The rows that have not ended, by the numbers under which they were shown first.
  const open = new Map<number, HTMLElement>();
  let waiting: Row[] = [];
  let paused = false;
  let several = true;
  let drawing = 0;
  let dropped = 0;

  function draw(): void {
    drawing = 0;
    if (paused || document.hidden) return;
    const end = atEnd();
    const rows = waiting;
    waiting = [];
    const added = document.createDocumentFragment();
    // Rows that would leave the page at once are not drawn, unless they end a row that is on the page.
    const skipped = rows.length - MOST;
    rows.forEach((row, number) => {
      const id = row.replaces ?? row.seq;
      const before = open.get(id);
      open.delete(id);
      if (row.gone) return before?.remove();
      if (number < skipped && !before) return;
      const element = drawn(row);
      if (row.open) open.set(id, element);
      if (before) before.replaceWith(element);
      else added.append(element);
    });
    if (dropped) {
      const note = document.createElement('div');
      note.className = 'row lost';
      note.textContent = `… ${dropped} rows came while this page was paused, and are not shown here`;
      added.prepend(note);
      dropped = 0;
    }
    log?.append(added);
    while (log && log.childElementCount > MOST) log.firstElementChild?.remove();
    if (log && end) log.scrollTop = log.scrollHeight;
  }

  function drawn(row: Row): HTMLElement {
    const element = document.createElement('div');
    element.className = `row ${row.level ?? ''}`;
    if (row.lost || row.restarted) element.className = 'row lost';
    const time = document.createElement('time');
    const date = new Date(row.at);
    time.dateTime = date.toISOString();
    time.textContent = date.toLocaleTimeString([], { hour12: false });
    element.append(time, ' ');
    if (several) {
      const source = document.createElement('a');
      source.className = 'source';
      source.href = `service?name=${encodeURIComponent(row.service)}`;
      source.textContent = row.service;
      element.append(source, ' ');
    }
    const text = document.createElement('bdi');
    text.append(...coloured(row.text));
    element.append(text);
    return element;
  }

  const atEnd = (): boolean => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

  function showPause(): void {
    pause.textContent = paused ? `Continue (${waiting.length + dropped} new)` : 'Pause';
    pause.setAttribute('aria-pressed', String(paused));
  }

  const pause = document.getElementById('pause') as HTMLButtonElement;
  pause.hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    showPause();
    draw();
  });
  const wrapping = document.getElementById('wrapping') as HTMLLabelElement;
  wrapping.hidden = false;
  wrapping.querySelector('input')?.addEventListener('change', (event) => {
    log.classList.toggle('long', !(event.target as HTMLInputElement).checked);
  });
  document.addEventListener('visibilitychange', draw);
  watchChoice();

  const stream = new EventSource(log.dataset['stream'] ?? '');
  let begun = false;
  stream.addEventListener('start', (event: MessageEvent<string>) => {
    several = (JSON.parse(event.data) as { services: string[] }).services.length > 1;
    // A later start continues where the connection was lost.
    if (!begun) log.replaceChildren();
    begun = true;
  });
  stream.addEventListener('rows', (event: MessageEvent<string>) => {
    waiting.push(...JSON.parse(event.data) as Row[]);
    const over = waiting.length - MOST_WAITING;
    if (over > 0) {
      if (paused) dropped += over;
      waiting.splice(0, over);
    }
    if (paused) showPause();
    else drawing ||= requestAnimationFrame(draw);
  });
  log.scrollTop = log.scrollHeight;
}

/** A changed choice is shown at once; a text when it is entered. */
function watchChoice(): void {
  const choice = document.getElementById('choice') as HTMLFormElement | null;
  choice?.addEventListener('change', (event) => {
    if (event.target instanceof Element && !event.target.matches('[type="search"]')) choice.requestSubmit();
  });
  // The address has only what was chosen.
  choice?.addEventListener('formdata', (event) => {
    for (const [key, value] of [...event.formData]) if (value === '') event.formData.delete(key);
  });
}
