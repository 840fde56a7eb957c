// Buttons that copy an address.
import { say } from './page';

/** Makes the buttons work, and returns what shows those of a newer page. */
export function watchCopying(): () => void {
  function show(): void {
    for (const button of document.querySelectorAll<HTMLElement>('[data-copy]')) button.hidden = false;
  }
  show();
  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-copy]') : null;
    if (button) void copy(button.dataset['copy'] ?? '');
  });
  return show;
}

/** Copies a text. A long one has a name for the message. */
export async function copy(text: string, name = text): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) return say(`This browser does not let the page copy: ${name}`);
  }
  say(`Copied: ${name}`);
}

/** Pages by plain http have no clipboard of their own. */
function copyBySelection(text: string): boolean {
  const field = Object.assign(document.createElement('textarea'), { value: text, readOnly: true });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
