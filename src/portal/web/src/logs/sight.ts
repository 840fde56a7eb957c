// Which rows are in sight.

/** All rows, and the number of the first one whose end is below the upper edge of the log. */
export function inSight(log: HTMLElement): [HTMLElement[], number] {
  const rows = [...log.querySelectorAll<HTMLElement>('.row')];
  const top = log.getBoundingClientRect().top;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.getBoundingClientRect().bottom ?? 0) > top) high = middle;
    else low = middle + 1;
  }
  return [rows, low];
}
