// The log on the page: rows are drawn as they come, in small portions, so that the page answers meanwhile. Whatever the
// page cannot draw in time is not read, and the daemon counts what it had to drop.
import type { LogRow, LogRows, LogStart } from '../api';
import { follow, reason, type Told } from '../stream';
import { say } from '../page';
import { Places } from './places';
import { drawn } from './rows';

/** The most rows on the page, and the most characters of them. */
const MOST = 20_000;
const MOST_TEXT = 16_000_000;

/** The most rows that wait to be drawn, and while the page is paused. More stay with the daemon until these are drawn. */
const MOST_WAITING = 2000;
const MOST_PAUSED = 20_000;

/** The rows of a block. A block out of sight costs no layout. */
const BLOCK = 200;

/** How long rows may be drawn in one frame, in milliseconds. */
const BUDGET = 8;

/** A log that is shown. */
export class LogView {
  readonly places: Places;
  paused = false;
  /** Told when the numbers of hits and new rows may have changed. */
  changed = (): void => {};
  hits = 0;

  private readonly ended = new AbortController();
  // The rows that have not ended, by the numbers under which they were shown first.
  private readonly open = new Map<number, HTMLElement>();
  private readonly sizes = new WeakMap<Element, { hits: number; text: number }>();
  private waiting: LogRow[] = [];
  private first = 0;
  private text = 0;
  private rows = 0;
  private drawing = 0;
  private top = 0;
  private several = true;
  private begun = false;
  private atEnd = true;
  private room: (() => void) | null = null;

  constructor(readonly log: HTMLElement, private readonly refusal: HTMLElement, private readonly older: HTMLElement) {
    this.places = new Places(log);
    const { signal } = this.ended;
    log.addEventListener('scroll', () => this.scrolled(), { signal, passive: true });
    document.addEventListener('visibilitychange', () => this.plan(), { signal });
    this.settle();
    const { stream, rows } = log.dataset;
    if (stream) {
      void follow(stream, signal, {
        opened: () => { this.refusal.hidden = true; },
        told: (event) => this.told(event),
        refused: (text, again) => this.refused(text, again),
      });
    } else if (rows) void this.show(rows);
  }

  /** Ends the log: another takes its place. */
  end(): void {
    this.ended.abort();
    cancelAnimationFrame(this.drawing);
  }

  /** The rows that came while the page showed older ones. */
  get news(): string {
    const count = this.waiting.length - this.first;
    if (!this.held || count === 0) return '';
    return count >= MOST_PAUSED ? `over ${MOST_PAUSED} new` : `${count} new`;
  }

  /** Whether new rows wait: the page is paused, or shows rows above. */
  private get held(): boolean {
    return this.paused || !this.atEnd;
  }

  /** Stops or continues the rows. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) this.toEnd();
    this.changed();
  }

  /** Shows the newest rows. */
  toEnd(): void {
    this.paused = false;
    this.atEnd = true;
    this.settle();
    this.plan();
  }

  /** Scrolls to the end while the newest rows are followed. */
  settle(): void {
    if (this.held) return;
    this.log.scrollTop = this.log.scrollHeight;
    this.top = this.log.scrollTop;
  }

  private scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    const before = this.top;
    this.top = scrollTop;
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    // Rows whose height is known only now move the end away; only a person goes up.
    if (atEnd === this.atEnd || (!atEnd && scrollTop >= before)) return;
    this.atEnd = atEnd;
    if (atEnd) this.plan();
    this.changed();
  }

  private async show(address: string): Promise<void> {
    const response = await fetch(address, { signal: this.ended.signal }).catch(() => null);
    if (!response?.ok) return say(response ? await reason(response) : 'desktopd does not answer');
    const { services, rows } = await response.json() as LogRows;
    this.several = services.length > 1;
    this.clear();
    const wanted = this.log.dataset['row'];
    for (const row of rows) {
      const element = this.element(row);
      this.append(element);
      if (`${row.seq}-${row.at}` === wanted) {
        element.id = 'row';
        this.places.goTo(element);
      }
    }
    this.changed();
  }

  private refused(text: string, again: boolean): void {
    const full = text.includes('read logs already') ? ' Close another page or tab with logs, or end a `desktopd logs -f`.' : '';
    const later = again
      ? `${full} This page tries again every 10 seconds; the rows below are from before.`
      : ' Change the search or the services above.';
    this.refusal.textContent = `These logs are not followed: ${text}.${later}`;
    this.refusal.hidden = false;
  }

  private async told({ name, data }: Told): Promise<void> {
    if (name === 'start') {
      this.several = (JSON.parse(data) as LogStart).services.length > 1;
    } else if (name === 'rows') {
      // The first rows take the place of the server's; later ones continue where a connection was lost.
      if (!this.begun) this.clear();
      this.begun = true;
      for (const row of JSON.parse(data) as LogRow[]) this.waiting.push(row);
      if (this.held) this.changed();
      else this.plan();
    }
    if (this.waiting.length - this.first >= (this.held ? MOST_PAUSED : MOST_WAITING)) {
      await new Promise<void>((resolve) => { this.room = resolve; });
    }
  }

  private clear(): void {
    this.log.replaceChildren();
    this.open.clear();
    this.text = this.hits = this.rows = 0;
  }

  private plan(): void {
    if (!this.drawing && !this.ended.signal.aborted) this.drawing = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.drawing = 0;
    if (this.first === this.waiting.length) this.settle();
    if (this.held || this.first === this.waiting.length) return;
    const until = performance.now() + BUDGET;
    for (let count = 0; this.first < this.waiting.length; count += 1) {
      if (count % 32 === 31 && performance.now() > until) break;
      const row = this.waiting[this.first] as LogRow;
      this.first += 1;
      this.place(row);
    }
    if (this.first === this.waiting.length || this.first > MOST_WAITING) {
      this.waiting = this.waiting.slice(this.first);
      this.first = 0;
    }
    this.trim();
    this.settle();
    this.changed();
    // Once more without rows, when the heights of these are known.
    this.plan();
    if (this.room && this.waiting.length - this.first < MOST_WAITING / 2) {
      this.room();
      this.room = null;
    }
  }

  private place(row: LogRow): void {
    const id = row.replaces ?? row.seq;
    const before = this.open.get(id);
    this.open.delete(id);
    if (before) this.forget(before);
    if (row.gone) {
      if (before) this.rows -= 1;
      return before?.remove();
    }
    const element = this.element(row);
    if (row.open) this.open.set(id, element);
    if (before) before.replaceWith(element);
    else this.append(element);
  }

  private element(row: LogRow): HTMLElement {
    const size = { hits: row.hits?.length ?? 0, text: row.text.length };
    const element = drawn(row, this.several, this.log.dataset['address'] ?? 'logs?');
    this.sizes.set(element, size);
    this.hits += size.hits;
    this.text += size.text;
    return element;
  }

  private append(element: HTMLElement): void {
    let last = this.log.lastElementChild;
    if (!last || last.childElementCount >= BLOCK) {
      last = document.createElement('div');
      last.className = 'block';
      this.log.append(last);
    }
    last.append(element);
    this.rows += 1;
  }

  private forget(element: Element): void {
    const size = this.sizes.get(element);
    this.hits -= size?.hits ?? 0;
    this.text -= size?.text ?? 0;
  }

  /** Removes the oldest rows above the limits, a block at a time, and says so. */
  private trim(): void {
    for (let first = this.log.firstElementChild; first && (this.rows > MOST || this.text > MOST_TEXT); first = this.log.firstElementChild) {
      for (const row of first.children) this.forget(row);
      this.rows -= first.childElementCount;
      first.remove();
      this.older.hidden = false;
    }
  }
}
