// The times of the rows: of the day, or how long ago. Only the rows in sight are kept right.
import { ago } from '../times';
import { clock } from './rows';
import { inSight } from './sight';

/** Rows around those in sight that are kept right as well. */
const AROUND = 60;

/** Writes the times of the rows in sight. */
export function writeTimes(log: HTMLElement, relative: boolean): void {
  const [rows, low] = inSight(log);
  for (let at = Math.max(0, low - AROUND); at < Math.min(rows.length, low + 2 * AROUND); at += 1) {
    const time = rows[at]?.querySelector('time');
    if (!time?.dateTime) continue;
    const date = new Date(time.dateTime);
    const text = relative ? `${ago(date.getTime())} ago` : clock(date);
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = date.toLocaleString([], { hour12: false });
  }
}
