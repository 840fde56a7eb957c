// The list of commands: everything of the portal by a few letters, with the keyboard alone.
import { request } from './actions';
import { fit } from './fuzzy';
import { bind } from './keys';
import { logIn, say } from './page';
import type { Command } from './api';

/** The most commands that are shown at once. */
const MOST = 50;

interface Palette {
  dialog: HTMLDialogElement;
  field: HTMLInputElement;
  list: HTMLElement;
  none: HTMLElement;
}

function made(): Palette {
  const dialog = document.createElement('dialog');
  dialog.id = 'palette';
  dialog.setAttribute('aria-label', 'Commands');
  const field = document.createElement('input');
  field.type = 'search';
  field.placeholder = 'Service, page or action';
  field.autocomplete = 'off';
  field.spellcheck = false;
  const list = document.createElement('ul');
  list.id = 'palette-list';
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Commands');
  for (const [name, value] of Object.entries({
    role: 'combobox', 'aria-label': 'Search the commands', 'aria-expanded': 'true', 'aria-controls': list.id, 'aria-autocomplete': 'list',
  })) field.setAttribute(name, value);
  const none = document.createElement('p');
  none.className = 'empty';
  none.setAttribute('role', 'status');
  dialog.append(field, list, none);
  document.body.append(dialog);
  return { dialog, field, list, none };
}

/** Makes the button and Ctrl-K open the list. */
export function watchPalette(): void {
  let palette: Palette | null = null;
  let all: Command[] = [];
  let shown: Command[] = [];
  let chosen = 0;

  async function open(): Promise<void> {
    if (document.querySelector('dialog[open]')) return;
    const response = await fetch('api/commands').catch(() => null);
    if (response?.status === 401) return logIn();
    if (!response?.ok) return say('desktopd does not answer');
    all = await response.json() as Command[];
    if (document.querySelector('dialog[open]')) return;
    palette ??= listening(made());
    palette.field.value = '';
    palette.dialog.showModal();
    palette.field.focus();
    show();
  }

  function show(): void {
    if (!palette) return;
    const typed = palette.field.value.trim();
    // The words may come in any order.
    const words = typed.split(/\s+/);
    const points = (title: string): number => {
      const each = words.map((word) => fit(word, title));
      return each.some((one) => one < 0) ? -1 : each.reduce((sum, one) => sum + one, 0);
    };
    const fits = all.map((command) => ({ command, points: points(command.title) })).filter((one) => one.points >= 0);
    if (typed) fits.sort((a, b) => b.points - a.points);
    shown = fits.slice(0, MOST).map(({ command }) => command);
    chosen = 0;
    palette.list.replaceChildren(...shown.map(option));
    palette.list.hidden = shown.length === 0;
    palette.none.textContent = shown.length === 0 ? 'No command matches.' : '';
    palette.none.hidden = shown.length > 0;
    palette.field.setAttribute('aria-expanded', String(shown.length > 0));
    choose(0);
  }

  function choose(at: number): void {
    if (!palette) return;
    chosen = (at + shown.length) % Math.max(1, shown.length);
    for (const [number, one] of [...palette.list.children].entries()) {
      one.setAttribute('aria-selected', String(number === chosen));
      if (number === chosen) one.scrollIntoView({ block: 'nearest' });
    }
    const id = palette.list.children[chosen]?.id;
    if (id) palette.field.setAttribute('aria-activedescendant', id);
    else palette.field.removeAttribute('aria-activedescendant');
  }

  function run(): void {
    const command = shown[chosen];
    if (!command) return;
    palette?.dialog.close();
    if (command.action) {
      const { verb, name, question } = command.action;
      void request(verb, name, question);
    } else if (command.away) window.open(command.href ?? '', '_blank', 'noopener,noreferrer');
    else location.assign(command.href ?? './');
  }

  function listening(palette: Palette): Palette {
    const { dialog, field, list } = palette;
    field.addEventListener('input', show);
    field.addEventListener('keydown', (event) => {
      const act = ({
        ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1), PageDown: () => choose(Math.min(shown.length - 1, chosen + 8)),
        PageUp: () => choose(Math.max(0, chosen - 8)), Enter: run, Escape: () => dialog.close(),
      } as Record<string, (() => void) | undefined>)[event.key];
      if (!act || event.isComposing) return;
      event.preventDefault();
      act();
    });
    list.addEventListener('click', (event) => {
      const at = [...list.children].findIndex((one) => one.contains(event.target as Node));
      if (at < 0) return;
      choose(at);
      run();
    });
    // A click beside the dialog closes it.
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    return palette;
  }

  const button = document.getElementById('commands');
  if (button) button.hidden = false;
  button?.addEventListener('click', () => void open());
  document.addEventListener('keydown', (event) => {
    if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (palette?.dialog.open) palette.dialog.close();
    else void open();
  });
  bind('Everywhere', 'Ctrl K', 'all commands', () => void open());
}

function option(command: Command, number: number): HTMLElement {
  const element = document.createElement('li');
  element.id = `command-${number}`;
  element.setAttribute('role', 'option');
  const title = document.createElement('bdi');
  title.textContent = command.title;
  const detail = document.createElement('small');
  detail.textContent = command.detail ? `${command.group}, ${command.detail}` : command.group;
  element.append(title, ' ', detail);
  return element;
}
