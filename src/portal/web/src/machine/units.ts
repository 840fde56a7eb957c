// Figures as people read them, in the same words as the server.

export type Unit = 'share' | 'bytes' | 'rate';

export function text(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return '–';
  if (unit === 'share') return `${(value * 100).toFixed(1)}%`;
  return unit === 'rate' ? `${bytes(value)}/s` : bytes(value);
}

function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let at = 0;
  while (value >= 1024 && at + 1 < units.length) {
    value /= 1024;
    at += 1;
  }
  // Cut off as the server does: nearly full is not full.
  return `${at === 0 ? Math.round(value) : (Math.floor(value * 10) / 10).toFixed(1)} ${units[at]}`;
}

/** The distances that the marks of an axis may have. */
export function distances(unit: Unit): number[] {
  if (unit === 'share') return [0.01, 0.02, 0.05, 0.1, 0.25, 0.5];
  return Array.from({ length: 51 }, (_, power) => 2 ** power);
}

/** A mark of an axis: short. */
export function mark(value: number, unit: Unit): string {
  return text(value, unit).replace(/\.0(?=\D)/, '');
}
