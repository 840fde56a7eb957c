// Finds what a person means from a few letters of it.

/**
 * How well a text fits what was typed, or -1 if it lacks one of the letters. Letters in a row and letters at the beginning of a
 * word fit better; a shorter text fits better than a longer one.
 */
export function fit(typed: string, text: string): number {
  const [wanted, all] = [typed.toLowerCase().replaceAll(' ', ''), text.toLowerCase()];
  let best = -1;
  for (let start = all.indexOf(wanted[0] ?? ''); start >= 0 && wanted; start = all.indexOf(wanted[0] ?? '', start + 1)) {
    best = Math.max(best, fitFrom(wanted, all, start));
  }
  return wanted ? best : 0;
}

function fitFrom(wanted: string, all: string, start: number): number {
  let [points, last] = [0, start - 1];
  for (const letter of wanted) {
    const at = all.indexOf(letter, last + 1);
    if (at < 0) return -1;
    const begins = at === 0 || !/[\p{L}\p{N}]/u.test(all[at - 1] ?? ' ');
    points += 1 + (at === last + 1 && last >= start ? 4 : 0) + (begins ? 6 : 0);
    last = at;
  }
  return points + 1 / (1 + all.length);
}
