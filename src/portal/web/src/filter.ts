// The filter of the services.

/** Makes the field work; the result applies the filter again, for after an update of the page. */
export function watchFilter(): () => void {
  const field = document.getElementById('filter');
  if (!(field instanceof HTMLInputElement)) return () => {};
  field.hidden = false;
  field.value = new URLSearchParams(location.search).get('filter') ?? '';

  const none = document.createElement('p');
  none.className = 'empty';
  none.textContent = 'No service matches.';
  none.setAttribute('role', 'status');

  function apply(): void {
    const wanted = (field as HTMLInputElement).value.trim().toLowerCase();
    for (const row of document.querySelectorAll<HTMLTableRowElement>('#units tbody tr')) {
      const hidden = wanted !== '' && !(row.textContent ?? '').toLowerCase().includes(wanted);
      if (row.hidden !== hidden) row.hidden = hidden;
    }
    if (document.querySelector('#units tbody tr:not([hidden])')) none.remove();
    else document.getElementById('units')?.prepend(none);
    // A part with a hit is opened while the filter is on.
    for (const part of document.querySelectorAll<HTMLDetailsElement>('#units > details')) {
      const rows = [...part.querySelectorAll<HTMLTableRowElement>('tbody tr')];
      const hit = rows.some((row) => !row.hidden);
      part.hidden = !hit;
      if (wanted !== '' && hit) part.open = true;
    }
  }

  field.addEventListener('input', () => {
    const address = new URL(location.href);
    if (field.value) address.searchParams.set('filter', field.value);
    else address.searchParams.delete('filter');
    history.replaceState(null, '', address);
    apply();
  });
  apply();
  return apply;
}
