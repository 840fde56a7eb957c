// Keys: `g` and a letter for a page, `/` for the filter, `j` and `k` for rows, `Enter`, `l` and `r` for the row.

const PAGES: Record<string, string> = {
  h: './', s: 'services', l: 'logs', m: 'machine', d: 'display', b: 'boot', t: 'tunnels', u: 'setup', e: 'settings',
};

const rows = (): HTMLAnchorElement[] =>
  [...document.querySelectorAll<HTMLAnchorElement>('#units a.name')].filter((link) => link.offsetParent !== null);

/** The row that has the focus. */
function row(): HTMLTableRowElement | null {
  return document.activeElement?.closest('tr') ?? null;
}

function move(by: number): void {
  const all = rows();
  const here = all.findIndex((link) => link.closest('tr') === row());
  all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + by))]?.focus();
}

/** Makes the keys work wherever no text is typed. */
export function watchKeys(): void {
  let going = false;
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    const types = target instanceof HTMLElement && target.matches('input:not([type="checkbox"]), textarea, select');
    if (types && key === 'Escape') target.blur();
    if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (going) {
      going = false;
      const page = PAGES[key];
      if (page) location.assign(page);
      return;
    }
    const acts: Record<string, () => void> = {
      g: () => { going = true; },
      '/': () => document.querySelector<HTMLElement>('main input[type="search"]')?.focus(),
      j: () => move(1),
      k: () => move(-1),
      l: () => row()?.querySelector<HTMLElement>('a[href^="logs?"]')?.click(),
      r: () => row()?.querySelector<HTMLElement>('[data-verb="restart"], [data-verb="start"]')?.click(),
    };
    const act = acts[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
