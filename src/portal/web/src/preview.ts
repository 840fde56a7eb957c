// The small picture of the desktop on the first page: fetched again now and then, hidden while there is none.

/** The time between two pictures, in milliseconds. */
const STEP = 10_000;

/** Keeps the picture new while the page is visible. */
export function watchPreview(): void {
  let asking = false;

  function picture(): HTMLImageElement | null {
    return document.querySelector<HTMLImageElement>('#preview img');
  }

  function show(image: HTMLImageElement, is: boolean): void {
    const link = image.closest<HTMLElement>('#preview');
    if (link && link.hidden === is) link.hidden = !is;
  }

  // The newer picture replaces the shown one only when it is there. One picture is asked for at a time.
  async function update(): Promise<void> {
    const image = picture();
    if (!image || asking || document.hidden) return;
    asking = true;
    const next = new Image();
    const address = new URL(image.src);
    address.searchParams.set('at', String(Date.now()));
    next.src = address.href;
    try {
      await next.decode();
      const shown = picture();
      if (shown) {
        shown.src = next.src;
        show(shown, true);
      }
    } catch {
      const shown = picture();
      if (shown) show(shown, false);
    } finally {
      asking = false;
    }
  }

  const image = picture();
  if (image?.complete && image.naturalWidth === 0) show(image, false);
  // A picture that comes with a newer page, too.
  document.addEventListener('error', (event) => {
    const failed = picture();
    if (failed && event.target === failed) show(failed, false);
  }, true);
  setInterval(() => void update(), STEP);
  document.addEventListener('visibilitychange', () => void update());
}
