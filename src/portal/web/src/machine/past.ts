// The figures of the past, as plots need them: times, and lists of values of the same length.

type Values = (number | null)[];
type Figures = Record<string, unknown>;

export type Range = 'seconds' | 'minutes';

interface Chart extends Figures {
  step_seconds: number;
  until_at: number;
  cpu_share: Values;
  gpus: (Figures & { place: string })[];
}

export interface History { seconds: Chart; minutes: Chart }

export interface Sample extends Figures {
  at: number;
  memory_limit_bytes: number | null;
  gpus: (Figures & { place: string })[];
}

/** How much the plots show, in seconds. */
export const LENGTH: Record<Range, number> = { seconds: 600, minutes: 86_400 };

/** A longer time between two samples is a gap in the lines. Seconds. */
const GAP = 3;

const OF_MACHINE = [
  'cpu_share', 'memory_used_bytes', 'memory_cache_bytes', 'network_received_bytes_per_second',
  'network_sent_bytes_per_second', 'disk_read_bytes_per_second', 'disk_written_bytes_per_second',
];
const OF_GPU = ['busy_share', 'encoder_share', 'memory_used_bytes'];

/** Times in seconds, and the values of each figure by its name; those of a GPU after its place. */
class Lines {
  times: number[] = [];
  values = new Map<string, Values>();

  of(name: string): Values {
    let values = this.values.get(name);
    if (!values) this.values.set(name, values = new Array<null>(this.times.length).fill(null));
    return values;
  }

  push(time: number, value: (name: string) => number | null): void {
    this.times.push(time);
    for (const [name, values] of this.values) values.push(value(name));
  }

  forget(before: number): void {
    const first = this.times.findIndex((time) => time >= before);
    if (first <= 0) return;
    this.times.splice(0, first);
    for (const values of this.values.values()) values.splice(0, first);
  }
}

export class Past {
  private lines: Record<Range, Lines> = { seconds: new Lines(), minutes: new Lines() };
  /** The time of the newest figures, in seconds. */
  newest = Date.now() / 1000;
  /** The memory that the container may use. */
  limit: number | null = null;

  replace(history: History): void {
    this.lines = { seconds: lines(history.seconds), minutes: lines(history.minutes) };
  }

  add(sample: Sample): void {
    const all = this.lines.seconds;
    const time = sample.at / 1000;
    const last = all.times.at(-1) ?? 0;
    this.newest = time;
    this.limit = sample.memory_limit_bytes;
    // After a clock that jumped back the old times are in the future.
    if (time < last - GAP) this.lines.seconds = new Lines();
    const now = this.lines.seconds;
    const flat = flattened(sample, sample.gpus, (figures, name) => figures[name] as number | null | undefined ?? null);
    for (const name of flat.keys()) now.of(name);
    if (time - last > GAP && now.times.length > 0) now.push(last + 1, () => null);
    now.push(time, (name) => flat.get(name) ?? null);
    now.forget(time - LENGTH.seconds);
  }

  /** The times, and the values of each name. */
  data(range: Range, names: string[]): { times: number[]; values: Values[] } {
    const all = this.lines[range];
    return { times: all.times, values: names.map((name) => all.of(name)) };
  }
}

/** The figures of the machine and of its GPUs under one name each. */
function flattened<T>(own: Figures, gpus: (Figures & { place: string })[], get: (figures: Figures, name: string) => T): Map<string, T> {
  const all = new Map<string, T>();
  for (const name of OF_MACHINE) all.set(name, get(own, name));
  for (const gpu of gpus) for (const name of OF_GPU) all.set(`${gpu.place} ${name}`, get(gpu, name));
  return all;
}

function lines(chart: Chart): Lines {
  const all = new Lines();
  const count = chart.cpu_share.length;
  const begin = chart.until_at / 1000 - (count - 1) * chart.step_seconds;
  const flat = flattened(chart, chart.gpus, (figures, name) => figures[name] as Values);
  const columns = [...flat.values()];
  const isEmpty = (at: number): boolean => columns.every((values) => (values[at] ?? null) === null);
  for (const name of flat.keys()) all.of(name);
  for (let at = 0; at < count; at += 1) {
    // A sample that came a moment late leaves an empty second behind, which is no gap.
    const isLate = isEmpty(at) && at > 0 && at + 1 < count && !isEmpty(at - 1) && !isEmpty(at + 1);
    if (!isLate) all.push(begin + at * chart.step_seconds, (name) => flat.get(name)?.[at] ?? null);
  }
  return all;
}
