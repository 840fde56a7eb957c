// Shows the colours of a row. The server leaves no other control sequence in a row's text.

interface Style {
  colour: string;
  background: string;
  bold: boolean;
  dim: boolean;
}

const PLAIN: Style = { colour: '', background: '', bold: false, dim: false };

/** A text with its colours and with the hits of a search, as nodes: never as markup. */
export function coloured(text: string, hits: [number, number][] = []): Node[] {
  const nodes: Node[] = [];
  let style = PLAIN;
  let at = 0;
  // eslint-disable-next-line no-control-regex
  for (const piece of text.includes('\x1b') ? text.split(/(\x1b\[[0-9;:]*m)/) : [text]) {
    if (piece.startsWith('\x1b[')) {
      style = after(style, piece.slice(2, -1).split(/[;:]/).map(Number));
    } else if (piece) {
      nodes.push(shown(marked(piece, at, hits), style));
      at += piece.length;
    }
  }
  return nodes;
}

/** A piece of a text that begins at `from`, with its hits. */
function marked(piece: string, from: number, hits: [number, number][]): (string | Node)[] {
  const parts: (string | Node)[] = [];
  let done = 0;
  for (const [begin, end] of hits) {
    const [first, last] = [Math.max(begin - from, 0), Math.min(end - from, piece.length)];
    if (first >= last) continue;
    const mark = document.createElement('mark');
    mark.textContent = piece.slice(first, last);
    // A hit whose colours change is still one.
    if (begin < from) mark.className = 'rest';
    parts.push(piece.slice(done, first), mark);
    done = last;
  }
  parts.push(piece.slice(done));
  return parts.filter((part) => part !== '');
}

function shown(parts: (string | Node)[], style: Style): Node {
  if (style === PLAIN) {
    const plain = document.createDocumentFragment();
    plain.append(...parts);
    return plain;
  }
  const span = document.createElement('span');
  span.append(...parts);
  if (style.bold) span.classList.add('bold');
  if (style.dim) span.classList.add('dim');
  // The sixteen colours have names, which fit both themes; the others are as the program asks.
  if (style.colour.startsWith('c')) span.classList.add(style.colour);
  else span.style.color = style.colour;
  span.style.backgroundColor = style.background;
  return span;
}

function after(style: Style, codes: number[]): Style {
  let next = { ...style };
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 0) next = { ...PLAIN };
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 39) next.colour = '';
    else if (code === 49) next.background = '';
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) next.colour = `c${code % 10}`;
    else if (code === 38 || code === 48) {
      const colour = codes[at + 1] === 5 ? palette(codes[at + 2] ?? 0) : `rgb(${codes.slice(at + 2, at + 5).join(' ')})`;
      at += codes[at + 1] === 5 ? 2 : 4;
      if (code === 38) next.colour = colour;
      else next.background = colour.startsWith('c') ? '' : colour;
    }
  }
  return next;
}

/** A colour of the 256: sixteen by name, a cube of 6 by 6 by 6, and 24 greys. */
function palette(number: number): string {
  if (number < 16) return `c${number % 8}`;
  if (number >= 232) {
    const grey = 8 + (number - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (value: number): number => (value === 0 ? 0 : 55 + value * 40);
  const cube = number - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}
