// One plot: lines of the last 10 minutes or 24 hours, their newest values, and one cursor for all plots.
import UPlot from 'uplot';
import { LENGTH, type Past, type Range } from './past';
import { distances, mark, text, type Unit } from './units';

/** The height of a plot, in pixels. */
const HEIGHT = 150;

interface Line {
  name: string;
  figure: string;
  colour: string;
  /** Whether the value is drawn on top of the line after it. */
  stacked?: boolean;
}

interface Kind { title: string; unit: Unit; lines: Line[] }

const KINDS: Record<string, Kind> = {
  cpu: { title: 'CPU', unit: 'share', lines: [{ name: 'busy', figure: 'cpu_share', colour: '--accent' }] },
  memory: {
    title: 'Memory', unit: 'bytes', lines: [
      { name: 'cache', figure: 'memory_cache_bytes', colour: '--cyan', stacked: true },
      { name: 'used', figure: 'memory_used_bytes', colour: '--accent' },
    ],
  },
  disk: {
    title: 'Disks', unit: 'rate', lines: [
      { name: 'read', figure: 'disk_read_bytes_per_second', colour: '--accent' },
      { name: 'written', figure: 'disk_written_bytes_per_second', colour: '--violet' },
    ],
  },
  network: {
    title: 'Network', unit: 'rate', lines: [
      { name: 'received', figure: 'network_received_bytes_per_second', colour: '--accent' },
      { name: 'sent', figure: 'network_sent_bytes_per_second', colour: '--violet' },
    ],
  },
  gpu: {
    title: 'GPU', unit: 'share', lines: [
      { name: 'busy', figure: 'busy_share', colour: '--accent' },
      { name: 'encoder', figure: 'encoder_share', colour: '--violet' },
      { name: 'memory', figure: 'memory_used_bytes', colour: '--cyan' },
    ],
  },
};

type Values = (number | null)[];

export class Plot {
  private readonly kind: Kind;
  private readonly lines: Line[];
  private readonly total: number;
  private readonly picture = document.createElement('div');
  private readonly legend = document.createElement('p');
  private readonly plot: UPlot;
  private readonly resized: ResizeObserver;
  private readonly recoloured = (): void => this.plot.redraw(false);
  private values: Values[] = [];
  private range: Range = 'seconds';
  private top: number | null = null;
  private until = Date.now() / 1000;

  constructor(place: HTMLElement) {
    this.kind = KINDS[place.dataset['plot'] ?? ''] ?? { title: '', unit: 'share', lines: [] };
    this.total = Number(place.dataset['total'] ?? 0);
    const gpu = place.dataset['place'];
    this.lines = this.kind.lines.map((line) => (gpu === undefined ? line : { ...line, figure: `${gpu} ${line.figure}` }));
    this.kind = { ...this.kind, title: place.dataset['name'] ?? this.kind.title };
    this.picture.setAttribute('role', 'img');
    this.legend.className = 'legend';
    place.hidden = false;
    if (gpu !== undefined) place.append(Object.assign(document.createElement('h3'), { textContent: this.kind.title }));
    place.append(this.picture, this.legend);
    this.plot = new UPlot(this.options(), [[]], this.picture);
    this.resized = new ResizeObserver(() => this.plot.setSize({ width: this.picture.clientWidth, height: HEIGHT }));
    this.resized.observe(this.picture);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', this.recoloured);
  }

  /** Shows the newest figures. */
  draw(past: Past, range: Range): void {
    const { times, values } = past.data(range, this.lines.map((line) => line.figure));
    this.range = range;
    this.until = past.newest;
    this.top = this.kind.unit === 'share' ? 1 : this.kind.unit === 'bytes' ? past.limit : null;
    this.values = this.lines.map((line, at) => (
      line.figure.endsWith('memory_used_bytes') && this.kind.unit === 'share' ? shares(values[at] ?? [], this.total) : values[at] ?? []
    ));
    const drawn = this.values.map((own, at) => {
      const below = this.lines[at]?.stacked ? this.values[at + 1] : undefined;
      return below ? own.map((value, index) => (value === null ? null : value + (below[index] ?? 0))) : own;
    });
    this.plot.setData([times, ...drawn]);
    this.tell();
  }

  /** Frees what the browser keeps for the plot. */
  end(): void {
    this.resized.disconnect();
    matchMedia('(prefers-color-scheme: dark)').removeEventListener('change', this.recoloured);
    this.plot.destroy();
  }

  private options(): UPlot.Options {
    const { unit } = this.kind;
    const axis = { stroke: () => colour('--dim'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false } };
    return {
      width: this.picture.clientWidth || 300,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 6 }, sync: { key: 'machine' } },
      scales: {
        x: { time: true, range: () => [this.until - LENGTH[this.range], this.until] },
        y: { range: (_plot, _least, most) => [0, this.top ?? Math.max(1024, (most ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, font: font(), space: 70, values: (_plot, marks) => marks.map((time) => clock(time, this.range)) },
        { ...axis, font: font(), size: 62, space: 34, incrs: distances(unit), values: (_plot, marks) => marks.map((value) => mark(value, unit)) },
      ],
      series: [{}, ...this.lines.map((line) => ({
        label: line.name,
        width: 1.5,
        points: { show: false },
        stroke: () => colour(line.colour),
        fill: () => colour(line.colour, 0.16),
      }))],
      hooks: { setCursor: [() => this.tell()] },
    };
  }

  /** Writes the values at the cursor, or else the newest ones. */
  private tell(): void {
    const times = this.plot.data[0];
    const index = this.plot.cursor.idx ?? times.length - 1;
    const time = times[index];
    const { unit, title } = this.kind;
    this.legend.replaceChildren(...this.lines.map((line, at) => {
      const item = document.createElement('span');
      item.className = `key ${line.colour.slice(2)}`;
      item.textContent = `${line.name} ${text(this.values[at]?.[index], unit)}`;
      return item;
    }));
    if (this.plot.cursor.idx !== null && time !== undefined) {
      this.legend.append(Object.assign(document.createElement('span'), { textContent: new Date(time * 1000).toLocaleTimeString([], { hour12: false }) }));
    }
    const long = this.range === 'seconds' ? 'the last 10 minutes' : 'the last 24 hours';
    const said = this.lines.map((line, at) => summary(line.name, this.values[at] ?? [], unit)).join('; ');
    this.picture.setAttribute('aria-label', `${title} in ${long}: ${said}`);
  }
}

/** What a person who sees the line takes from it. */
function summary(name: string, values: Values, unit: Unit): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${name} is not known`;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const most = known.reduce((one, other) => Math.max(one, other), 0);
  return `${name} now ${text(values.at(-1), unit)}, mean ${text(mean, unit)}, at most ${text(most, unit)}`;
}

function shares(values: Values, total: number): Values {
  return values.map((value) => (value === null || total <= 0 ? null : value / total));
}

function clock(time: number, range: Range): string {
  const hours: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hour12: false };
  return new Date(time * 1000).toLocaleTimeString([], range === 'seconds' ? { ...hours, second: '2-digit' } : hours);
}

function font(): string {
  return `12px ${getComputedStyle(document.body).fontFamily}`;
}

/** A colour of the design as a canvas needs it. The browser resolves it for the theme of the page. */
function colour(name: string, strength = 1): string {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const numbers = getComputedStyle(probe).color.match(/[\d.]+/g) ?? ['0', '0', '0'];
  probe.remove();
  return `rgb(${numbers.slice(0, 3).join(' ')} / ${strength})`;
}
