// Keys: `g` and a letter for a page, `/` for the search, and what the parts of the page add.

/** What a key does. */
export interface Bound {
  group: string;
  key: string;
  about: string;
}

const acts = new Map<string, () => void>();
const bound: Bound[] = [];

/** Has a key do this, on the page that has the part. A later part may take a key of an earlier one. */
export function bind(group: string, key: string, about: string, act: () => void): void {
  const before = bound.findIndex((one) => one.key === key);
  if (before >= 0) bound.splice(before, 1);
  bound.push({ group, key, about });
  acts.set(key, act);
}

/** All keys of this page. */
export function allKeys(): Bound[] {
  const pages = [...document.querySelectorAll<HTMLElement>('nav [data-key]')];
  return [
    ...pages.map((link) => ({ group: 'Pages', key: `g ${link.dataset['key'] ?? ''}`, about: link.textContent?.trim() ?? '' })),
    ...bound,
  ];
}

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
  bind('Everywhere', '/', 'search, or filter', () => document.querySelector<HTMLElement>('main input[type="search"]')?.focus());
  if (document.getElementById('units')) {
    bind('Services', 'j', 'next service', () => move(1));
    bind('Services', 'k', 'previous service', () => move(-1));
    bind('Services', 'l', 'log of the service', () => row()?.querySelector<HTMLElement>('a[href^="logs?"]')?.click());
    bind('Services', 'r', 'restart or start the service', () => row()?.querySelector<HTMLElement>('[data-verb="restart"], [data-verb="start"]')?.click());
  }
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    const types = target instanceof HTMLElement && target.matches('input:not([type="checkbox"]), textarea, select');
    if (types && key === 'Escape') target.blur();
    if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (going) {
      going = false;
      document.querySelector<HTMLElement>(`nav [data-key="${CSS.escape(key)}"]`)?.click();
      return;
    }
    if (key === 'g') {
      going = true;
      return;
    }
    const act = acts.get(key);
    if (!act) return;
    event.preventDefault();
    act();
  });
}
