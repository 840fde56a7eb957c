// Small parts that the others share.

/** An element of the page that the server always writes. */
export function at(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

let timer = 0;

/** Shows a message for some seconds. */
export function say(text: string): void {
  const message = at('message');
  message.textContent = text;
  message.hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(() => { message.hidden = true; }, 6000);
}

/** Leads to the login, and from there back to this page. */
export function logIn(): void {
  const page = location.pathname.split('/').pop() ?? '';
  location.assign(`desktopd/login?next=${encodeURIComponent(`/${page}${location.search}`)}`);
}

/** Has the page fetched again, for what is no state of a service. */
export function newer(): void {
  document.dispatchEvent(new Event('newer'));
}
