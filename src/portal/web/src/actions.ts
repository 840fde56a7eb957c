// The buttons that start, stop and restart services, with the question before those that take something along.
import type { ErrorBody, Names, Question } from './api';
import { at, logIn, say } from './page';

/** Makes the forms of the page act without leaving it. */
export function watchActions(): void {
  document.addEventListener('submit', (event) => {
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement) || !button.dataset['verb']) return;
    event.preventDefault();
    void act(button);
  });
}

async function act(button: HTMLButtonElement): Promise<void> {
  const { verb, name, title, text, yes } = button.dataset;
  if (!verb || !name) return;
  // Not disabled, because a disabled button loses the focus.
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  try {
    await request(verb, name, text === undefined ? undefined : { title: title ?? '', text, yes: yes ?? 'Yes' });
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

/** Asks, and has the daemon carry the action out. */
export async function request(verb: string, name: string, question?: Question | null): Promise<void> {
  if (document.body.classList.contains('stale')) return say('Connection lost: nothing was sent');
  if (question && !(await confirmed(question))) return;
  try {
    const response = await fetch(`api/units/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ names: [name] } satisfies Names),
    });
    if (response.status === 401) return logIn();
    if (!response.ok) {
      const { error } = await response.json() as ErrorBody;
      say(error);
    } else say(`${verb} ${name}: requested`);
  } catch {
    say('desktopd does not answer');
  }
}

async function confirmed({ title, text, yes }: Question): Promise<boolean> {
  const dialog = at('question') as HTMLDialogElement;
  at('question-title').textContent = title;
  at('question-text').textContent = text;
  at('question-yes').textContent = yes;
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => { dialog.addEventListener('close', resolve, { once: true }); });
  return dialog.returnValue === 'yes';
}
