// The page of the logs: what its buttons and keys do. All work on the log that is shown now; a changed choice brings
// another one.
import { copy } from './copy';
import { bind } from './keys';
import { say } from './page';
import { watchChoice } from './logs/choice';
import { line } from './logs/rows';
import { writeTimes } from './logs/times';
import { LogView } from './logs/view';

const HIT = 'mark:not(.rest)';

/** Takes over the log of the page, if there is one. What is returned looks for the log of a newer page. */
export function watchLogs(): () => void {
  if (!document.getElementById('choice')) return () => {};
  let view: LogView | null = null;
  let [wrap, relative] = [true, false];
  let at = 0;

  const button = (id: string): HTMLElement | null => document.getElementById(id);
  function pressed(id: string, on: boolean): void {
    button(id)?.setAttribute('aria-pressed', String(on));
  }

  function begin(): void {
    const log = button('log');
    const refusal = button('refused');
    const older = button('older');
    view = log && refusal && older ? new LogView(log, refusal, older) : null;
    if (view) view.changed = changed;
    at = 0;
    for (const one of document.querySelectorAll<HTMLElement>('#tools button')) one.hidden = view === null;
    const pause = button('pause');
    if (pause) pause.hidden = !log?.dataset['stream'];
    show();
    changed();
  }

  function show(): void {
    view?.log.classList.toggle('long', !wrap);
    view?.settle();
    pressed('wrap', wrap);
    pressed('relative', relative);
    times();
  }

  const times = (): void => { if (view && !document.hidden) writeTimes(view.log, relative); };

  function changed(): void {
    const chip = button('new');
    const pause = button('pause');
    if (!view || !chip || !pause) return;
    const { news, paused, hits, log } = view;
    chip.textContent = news && `${news} ${news === '1 new' ? 'row' : 'rows'}`;
    chip.hidden = news === '';
    pause.textContent = paused ? 'Continue' : 'Pause';
    pressed('pause', paused);
    const found = button('hits');
    if (found && log.dataset['search'] !== undefined) {
      const text = `${at ? `${at} of ` : ''}${hits} ${hits === 1 ? 'hit' : 'hits'}`;
      if (found.textContent !== text) found.textContent = text;
    }
    if (relative) times();
  }

  function jump(selector: string, by: number): void {
    if (!view) return;
    const [number, all] = view.places.go(selector, by);
    if (selector === HIT) at = number;
    if (all === 0) say(selector === HIT ? 'There is no hit in these rows' : 'There is no error in these rows');
    changed();
  }

  function newest(): void {
    if (view?.log.dataset['stream']) view.pause(!view.paused);
    else button('newest')?.click();
  }

  const acts: Record<string, () => void> = {
    pause: newest,
    new: () => view?.pause(false),
    next: () => jump(HIT, 1),
    previous: () => jump(HIT, -1),
    error: () => jump('.row.error', 1),
    wrap: () => { wrap = !wrap; show(); },
    relative: () => { relative = !relative; show(); },
    copy: () => {
      const rows = [...view?.log.querySelectorAll('.row') ?? []];
      void copy(rows.map((row) => `${line(row)}\n`).join(''), `${rows.length} rows`);
    },
    link: () => {
      const row = view?.places.row;
      const link = row?.querySelector<HTMLAnchorElement>('a.at')?.href;
      void copy(link ?? location.href);
    },
  };
  document.addEventListener('click', (event) => {
    const id = event.target instanceof Element ? event.target.closest('main button')?.id : undefined;
    if (id) acts[id]?.();
  });
  const group = 'Logs';
  bind(group, 'n', 'next hit', () => jump(HIT, 1));
  bind(group, 'N', 'previous hit', () => jump(HIT, -1));
  bind(group, 'e', 'next error', () => jump('.row.error', 1));
  bind(group, 'E', 'previous error', () => jump('.row.error', -1));
  bind(group, 'j', 'next row', () => jump('.row', 1));
  bind(group, 'k', 'previous row', () => jump('.row', -1));
  bind(group, 'f', 'pause, or follow the newest rows', newest);
  bind(group, 'w', 'wrap long rows', () => acts['wrap']?.());
  bind(group, 't', 'time of day, or how long ago', () => acts['relative']?.());
  bind(group, 'y', 'copy a link to the row', () => acts['link']?.());

  watchChoice(() => view?.end(), begin);
  document.addEventListener('scroll', (event) => { if (event.target === view?.log) times(); }, { capture: true, passive: true });
  setInterval(() => { if (relative) times(); }, 5000);
  begin();
  // A log that came with a newer page: the first one could not be shown.
  return () => {
    if (button('log') === (view?.log ?? null)) return;
    view?.end();
    begin();
  };
}
