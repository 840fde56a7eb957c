// The list of all keys.
import { allKeys, bind } from './keys';

/** Has `?` show the keys of this page. */
export function watchHelp(): void {
  let dialog: HTMLDialogElement | null = null;

  function show(): void {
    dialog ??= made();
    dialog.replaceChildren(...content());
    dialog.showModal();
  }

  bind('Everywhere', '?', 'this list', show);
}

function made(): HTMLDialogElement {
  const dialog = document.createElement('dialog');
  dialog.id = 'keys';
  dialog.setAttribute('aria-labelledby', 'keys-title');
  document.body.append(dialog);
  return dialog;
}

function content(): HTMLElement[] {
  const title = document.createElement('h2');
  title.id = 'keys-title';
  title.textContent = 'Keys';
  const form = document.createElement('form');
  form.method = 'dialog';
  form.className = 'actions';
  const close = document.createElement('button');
  close.textContent = 'Close';
  form.append(close);
  const parts: HTMLElement[] = [title];
  for (const [group, keys] of Map.groupBy(allKeys(), ({ group }) => group)) {
    const heading = document.createElement('h3');
    heading.textContent = group;
    const list = document.createElement('dl');
    for (const { key, about } of keys) {
      const [term, text] = [document.createElement('dt'), document.createElement('dd')];
      for (const part of key.split(' ')) {
        const one = document.createElement('kbd');
        one.textContent = part;
        term.append(one, ' ');
      }
      text.textContent = about;
      list.append(term, text);
    }
    parts.push(heading, list);
  }
  return [...parts, form];
}
