// The buttons that start, stop and restart services, with the question before those that take something along.
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
  if (!verb || !name || document.body.classList.contains('stale')) return;
  if (text !== undefined && !(await confirmed(title ?? '', text, yes ?? 'Yes'))) return;
  button.disabled = true;
  try {
    const response = await fetch(`api/units/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ names: [name] }),
    });
    if (response.status === 401) return logIn();
    if (!response.ok) {
      const { error } = await response.json() as { error: string };
      say(error);
    }
  } catch {
    say('desktopd does not answer');
  } finally {
    button.disabled = false;
  }
}

async function confirmed(title: string, text: string, yes: string): Promise<boolean> {
  const dialog = at('question') as HTMLDialogElement;
  at('question-title').textContent = title;
  at('question-text').textContent = text;
  at('question-yes').textContent = yes;
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => { dialog.addEventListener('close', resolve, { once: true }); });
  return dialog.returnValue === 'yes';
}
