// The terminal: asks for the password again, and then carries bytes between a shell and the screen.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { at, logIn } from './page';
import { adoptStyles } from './styles';

/** The most that one message carries. Bytes. */
const PIECE = 32 * 1024;

/** After this many drawn bytes the server is told that more may come. */
const CONFIRM = 64 * 1024;

const form = at('terminal-form') as HTMLFormElement;
const password = at('terminal-password') as HTMLInputElement;
const screen = at('terminal-screen');
const end = at('terminal-end') as HTMLButtonElement;

/** Says what the state of the terminal is. */
function tell(text: string, bad = false): void {
  const status = at('terminal-status');
  status.textContent = text;
  status.classList.toggle('reason', bad);
}

/** The colours of the page, which follow the theme. */
function colours(): { background: string; foreground: string; cursor: string; selectionBackground: string } {
  const { backgroundColor, color, borderTopColor } = getComputedStyle(screen);
  return { background: backgroundColor, foreground: color, cursor: color, selectionBackground: borderTopColor };
}

/** A ticket for one terminal, or why there is none. */
async function ticket(): Promise<string | null> {
  const response = await fetch('api/terminal/ticket', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ password: password.value }),
  }).catch(() => null);
  if (!response) tell('desktopd does not answer', true);
  else if (response.status === 401) logIn();
  else {
    const answer = await response.json() as { ticket?: string; error?: string };
    if (answer.ticket) return answer.ticket;
    tell(`${answer.error ?? 'that was refused'}.`, true);
  }
  return null;
}

let last: Terminal | null = null;

function open(ticket: string): void {
  // What the last one printed stays until now.
  last?.dispose();
  form.hidden = true;
  screen.hidden = false;
  end.hidden = false;
  const terminal = new Terminal({
    fontFamily: getComputedStyle(screen).fontFamily,
    fontSize: 14,
    minimumContrastRatio: 4.5,
    scrollback: 5000,
    theme: colours(),
    screenReaderMode: (at('terminal-reader') as HTMLInputElement).checked,
  });
  last = terminal;
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(screen);
  fit.fit();
  const address = new URL(`api/terminal/socket?ticket=${ticket}&columns=${terminal.cols}&rows=${terminal.rows}`, location.href);
  address.protocol = address.protocol.replace('http', 'ws');
  const socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  const say = (word: object): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(word));
  };
  const type = (bytes: Uint8Array<ArrayBuffer>): void => {
    for (let from = 0; from < bytes.length && socket.readyState === WebSocket.OPEN; from += PIECE) {
      socket.send(bytes.slice(from, from + PIECE));
    }
  };
  let drawn = 0;
  let ended = '';
  let opened = false;
  socket.addEventListener('open', () => { opened = true; tell(`Connected. ${at('terminal-status').dataset['whose'] ?? ''}`); terminal.focus(); });
  socket.addEventListener('message', ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data === 'string') {
      ({ ended } = JSON.parse(data) as { ended: string });
      return;
    }
    const bytes = new Uint8Array(data);
    terminal.write(bytes, () => {
      drawn += bytes.length;
      if (drawn < CONFIRM) return;
      say({ drawn });
      drawn = 0;
    });
  });
  terminal.onData((text) => type(new TextEncoder().encode(text)));
  terminal.onBinary((text) => type(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  terminal.onResize(({ cols, rows }) => say({ size: [cols, rows] }));
  // Tab belongs to the shell, so another key leads out of the terminal.
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== 'keydown' || !event.ctrlKey || !event.altKey || event.key.toLowerCase() !== 'x') return true;
    event.preventDefault();
    end.focus();
    return false;
  });
  const resized = new ResizeObserver(() => fit.fit());
  resized.observe(screen);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const recolour = (): void => { terminal.options.theme = colours(); };
  dark.addEventListener('change', recolour);
  const close = (): void => socket.close();
  end.addEventListener('click', close, { once: true });
  socket.addEventListener('close', () => {
    resized.disconnect();
    dark.removeEventListener('change', recolour);
    end.removeEventListener('click', close);
    terminal.options.disableStdin = true;
    terminal.options.cursorBlink = false;
    end.hidden = true;
    form.hidden = false;
    if (opened) tell(`The terminal has ended${ended ? `: ${ended}` : ''}. What it printed stays below until the next one.`);
    else tell('The terminal could not be opened. Try again.', true);
    password.focus();
  });
}

async function enter(): Promise<void> {
  tell('Checking the password…');
  const shown = await ticket();
  password.value = '';
  if (shown) open(shown);
  else password.focus();
}

adoptStyles();
let busy = false;
form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (busy) return;
  busy = true;
  void enter().finally(() => { busy = false; });
});
(at('terminal-open') as HTMLButtonElement).disabled = false;
