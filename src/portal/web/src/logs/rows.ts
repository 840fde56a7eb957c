// Rows as elements.
import type { LogRow } from '../api';
import { coloured } from '../colours';

/** A row on the page. `address` is that of the page without a row. */
export function drawn(row: LogRow, several: boolean, address: string): HTMLElement {
  const element = document.createElement('div');
  element.className = row.lost || row.restarted ? 'row lost' : `row ${row.level ?? ''}`;
  const time = document.createElement('time');
  const date = new Date(row.at);
  time.dateTime = date.toISOString();
  time.textContent = clock(date);
  const link = document.createElement('a');
  link.className = 'at';
  link.href = `${address}${address.endsWith('?') ? '' : '&'}row=${row.seq}-${row.at}#row`;
  link.tabIndex = -1;
  link.append(time);
  element.append(link, ' ');
  if (several) {
    const source = document.createElement('a');
    source.className = 'source';
    source.href = `service?name=${encodeURIComponent(row.service)}`;
    source.textContent = row.service;
    source.tabIndex = -1;
    element.append(source, ' ');
  }
  const text = document.createElement('bdi');
  text.append(...coloured(row.text, row.hits));
  element.append(text);
  return element;
}

// One formatter for all rows: making one costs more than a row.
const CLOCK = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

/** The time of day. */
export function clock(date: Date): string {
  return CLOCK.format(date);
}

/** The row as `desktopd logs` prints it. */
export function line(row: Element): string {
  const part = (of: string): string => row.querySelector(of)?.textContent ?? '';
  const time = row.querySelector('time')?.dateTime ?? '';
  const source = part('.source');
  return `${time} ${source ? `${source} | ` : ''}${part('bdi')}`;
}
