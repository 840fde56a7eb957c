// Leads from hit to hit, and from error to error.

import { inSight } from './sight';

/** The place in the log where a person is: a row, or a hit in a row. */
export class Places {
  private here: Element | null = null;

  constructor(private readonly log: HTMLElement) {}

  /** The row that a person is at. */
  get row(): Element | null {
    return this.here?.isConnected ? this.here.closest('.row') : null;
  }

  /** Goes to the next such element, or for -1 to the previous one, and says which of how many it is. */
  go(selector: string, by: number): [number, number] {
    const all = [...this.log.querySelectorAll(selector)];
    if (all.length === 0) return [0, 0];
    const from = this.here?.isConnected ? this.here : this.seen();
    const isAfter = (one: Element): boolean =>
      from === null || (from.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
    const first = all.findIndex((one) => isAfter(one) && !from?.contains(one));
    let next = by > 0 ? first : (first < 0 ? all.length : first) - 1;
    // The element itself is neither before nor after.
    if (by < 0 && from && all[next] === from) next -= 1;
    next = next < 0 ? (by > 0 ? 0 : all.length - 1) : next;
    const target = all[next];
    if (target) this.goTo(target);
    return [next + 1, all.length];
  }

  /** Goes to an element of the log. */
  goTo(target: Element): void {
    this.row?.removeAttribute('aria-current');
    this.log.querySelector('mark.here')?.classList.remove('here');
    this.here = target;
    this.row?.setAttribute('aria-current', 'true');
    if (target.localName === 'mark') target.classList.add('here');
    this.center(target);
    // Once more when the heights of the rows around are known.
    requestAnimationFrame(() => this.center(target));
  }

  /** Scrolls the log alone, and not the page. */
  private center(target: Element): void {
    const [row, log] = [target.getBoundingClientRect(), this.log.getBoundingClientRect()];
    this.log.scrollTop += (row.top + row.bottom) / 2 - (log.top + log.bottom) / 2;
  }

  /** The row that is above the first one in sight; null at the top. */
  private seen(): Element | null {
    const [rows, first] = inSight(this.log);
    return rows[first - 1] ?? null;
  }
}
