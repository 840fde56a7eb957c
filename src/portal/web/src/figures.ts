// Keeps the figures of a page new while the page is visible: the machine is looked at for no longer than a person looks.
import { newer } from './page';

/** How long to wait before another connection, in milliseconds. */
const AGAIN = 2000;

/** Follows an address with events while the page is visible. `on` gets the events by their names. */
export function follow(address: string, on: Record<string, (data: string) => void>): void {
  let stream: EventSource | null = null;
  let again = 0;

  function connect(): void {
    clearTimeout(again);
    if (stream || document.hidden) return;
    stream = new EventSource(address);
    for (const [name, act] of Object.entries(on)) {
      stream.addEventListener(name, (event: MessageEvent<string>) => act(event.data));
    }
    stream.addEventListener('error', () => {
      if (stream?.readyState !== EventSource.CLOSED) return;
      close();
      // Whether the login has ended is found out where the state is followed.
      again = window.setTimeout(connect, AGAIN);
    });
  }

  function close(): void {
    stream?.close();
    stream = null;
  }

  document.addEventListener('visibilitychange', () => (document.hidden ? close() : connect()));
  connect();
}

/** Fetches a page with figures again, each so many samples. */
export function watchFigures(): void {
  const part = document.querySelector<HTMLElement>('[data-figures]');
  if (!part) return;
  const step = Number(part.dataset['figures']);
  let count = 0;
  // The second sample is the first one with shares of processor time.
  follow('api/machine/stream?brief=true', { sampled: () => { if (++count === 2 || count % step === 0) newer(); } });
}
