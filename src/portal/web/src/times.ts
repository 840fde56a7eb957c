// Times: how long ago something was, and the time of day in the browser's time zone.

const SIZES: [number, string][] = [[86_400, 'd'], [3600, 'h'], [60, 'min']];

/** How long ago that was, in the largest unit. */
export function ago(at: number): string {
  return span(Date.now() - at);
}

function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  for (const [size, name] of SIZES) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${seconds} s`;
}

/** Writes all times of the page anew. */
export function showTimes(root: ParentNode = document): void {
  for (const time of root.querySelectorAll<HTMLTimeElement>('time[data-ago]')) {
    const text = span(Date.now() - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of root.querySelectorAll<HTMLTimeElement>('time[data-clock]')) {
    const date = new Date(time.dateTime);
    const text = date.toLocaleTimeString([], { hour12: false });
    if (time.textContent !== text) time.textContent = text;
    const title = date.toLocaleString([], { hour12: false });
    if (time.title !== title) time.title = title;
  }
}

/** Keeps them right while the page is visible. */
export function watchTimes(): void {
  showTimes();
  setInterval(() => { if (!document.hidden) showTimes(); }, 5000);
}
