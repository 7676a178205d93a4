// Elements of the page: finding and making them.

export const at = id => document.getElementById(id);

/** Return a new element; `properties` are those of the DOM, `data-...` and `aria-...` are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Show a text in an element, or hide it if there is none. */
export function showText(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

/** Remove the children of an element, and give the addresses of their pictures back to the browser. */
export function removeChildren(element) {
  for (const image of element.querySelectorAll("img[src]")) URL.revokeObjectURL(image.src);
  for (const link of element.querySelectorAll("a[download]")) URL.revokeObjectURL(link.href);
  element.replaceChildren();
}

/** Show the picture of a file in an `img`; the address of the picture before is given back to the browser. */
export function showPicture(image, blob) {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  if (blob) image.src = URL.createObjectURL(blob);
  else image.removeAttribute("src");
  image.hidden = !blob;
}
