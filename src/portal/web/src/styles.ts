// The terminal's library writes its style sheets into <style> elements and style attributes, which the page's Content
// Security Policy forbids, so that no text can become a style. The same rules as style sheets of a script are allowed.

/** A style attribute that a script sets is not allowed; the same property by property is. */
function setAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === 'style') this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

/** Stands in for a <style> element: its text becomes a style sheet of the document while the element lives. */
function sheetElement(element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  element.hidden = true;
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, 'textContent', { set: (text: string) => sheet.replaceSync(text) });
  element.remove = () => {
    const sheets = document.adoptedStyleSheets;
    document.adoptedStyleSheets = sheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

/** Makes the elements that scripts of this page create fit for the policy. */
export function adoptStyles(): void {
  const create = document.createElement.bind(document) as (name: string, options?: ElementCreationOptions) => HTMLElement;
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    if (name === 'style') return sheetElement(create('span'));
    const element = create(name, options);
    if (name === 'span') element.setAttribute = setAttribute;
    return element;
  }) as typeof document.createElement;
}
