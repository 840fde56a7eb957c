// The form that chooses rows: a change is shown at once, without leaving the page, and is in its address.
import { Idiomorph } from 'idiomorph';
import { at, logIn } from '../page';
import { showTimes } from '../times';

/** Makes the form and the links between views of the log work; `before` and `after` surround a change of the page. */
export function watchChoice(before: () => void, after: () => void): void {
  let latest = 0;
  let shown = location.search;

  async function show(address: string, push: boolean): Promise<void> {
    latest += 1;
    const mine = latest;
    const response = await fetch(address, { headers: { accept: 'text/html' } }).catch(() => null);
    if (mine !== latest) return;
    if (response?.status === 401 || response?.redirected) return logIn();
    // The browser says why.
    if (!response?.ok) return location.assign(address);
    const newer = new DOMParser().parseFromString(await response.text(), 'text/html');
    const content = newer.getElementById('main');
    if (!content || mine !== latest) return;
    if (push) history.pushState(null, '', address);
    shown = location.search;
    document.title = newer.title;
    before();
    showTimes(newer);
    Idiomorph.morph(at('main'), content, {
      ignoreActiveValue: push, callbacks: { beforeAttributeUpdated: (name: string) => name !== 'open' },
    });
    after();
  }

  const form = (): HTMLFormElement => at('choice') as HTMLFormElement;
  function submit(): void {
    const words = new URLSearchParams();
    for (const [key, value] of new FormData(form())) if (value !== '') words.append(key, String(value));
    void show(`logs?${words.toString()}`, true);
  }

  document.addEventListener('change', (event) => {
    const { target } = event;
    if (target instanceof Element && target.closest('#choice') && !target.matches('[type="search"]')) submit();
  });
  document.addEventListener('submit', (event) => {
    if (event.target !== document.getElementById('choice')) return;
    event.preventDefault();
    submit();
    // The keys for the hits work at once.
    if (document.activeElement?.matches('#choice [type="search"]')) document.getElementById('log')?.focus();
  });
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('a.at, #newest') : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void show(link.href, true);
  });
  // A link within the page is no other choice.
  window.addEventListener('popstate', () => { if (location.search !== shown) void show(location.href, false); });
}
