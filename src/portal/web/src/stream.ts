// Reads a stream of events at the speed at which the page can show them: while the page reads nothing, the server sends
// nothing, and no memory grows. The browser's own EventSource neither waits nor says why a stream was refused.
import type { ErrorBody } from './api';
import { logIn } from './page';

/** How long to wait before another try, in milliseconds: after a lost connection, and after a refusal. */
const AGAIN = 2000;
const AGAIN_REFUSED = 10_000;

/** An event of the server. */
export interface Told {
  name: string;
  data: string;
  id: string;
}

/** What becomes of a stream. The next event is read when `told` has ended. */
export interface Reader {
  opened(): void;
  told(event: Told): Promise<void>;
  refused(text: string, again: boolean): void;
}

/** Follows the stream until the signal, and continues it where it was lost. */
export async function follow(address: string, signal: AbortSignal, reader: Reader): Promise<void> {
  let after = '';
  while (!signal.aborted) {
    const from = after ? `${address}&after=${encodeURIComponent(after)}` : address;
    const response = await fetch(from, { signal }).catch(() => null);
    if (signal.aborted) return;
    if (response?.status === 401) return logIn();
    if (response?.ok && response.body) {
      reader.opened();
      try {
        for await (const event of events(response.body)) {
          await reader.told(event);
          after = event.id || after;
        }
      } catch {
        // The connection was lost.
      }
    } else if (response) {
      const again = response.status >= 500;
      reader.refused(await reason(response), again);
      if (!again) return;
      await pause(AGAIN_REFUSED - AGAIN);
    }
    await pause(AGAIN);
  }
}

/** The sentence of a refusal. */
export async function reason(response: Response): Promise<string> {
  const body = await response.json().catch(() => null) as ErrorBody | null;
  return body?.error ?? `the answer was ${response.status}`;
}

async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Told> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = parsed(text.slice(0, end));
        text = text.slice(end + 2);
        if (event.data) yield event;
      }
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

function parsed(block: string): Told {
  const event = { name: 'message', data: '', id: '' };
  for (const line of block.split('\n')) {
    const at = line.indexOf(':');
    const value = line.slice(at + 1).replace(/^ /, '');
    const field = line.slice(0, at);
    if (field === 'event') event.name = value;
    else if (field === 'data') event.data += value;
    else if (field === 'id') event.id = value;
  }
  return event;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}
