// Pictures whose values are numbers of classes, as a segmentation returns them: they would look black.

import { make } from "./dom.js";

const COLOURS = [ // of the values 0, 1, ...; pictures with larger ones are shown as they are
  "#26323a", "#e8b04a", "#3f8fd2", "#d9594c", "#57a773", "#9b6fc3", "#e58fb1", "#7cc4d6", "#a8783e", "#c9ced2",
];

/**
 * Return a coloured copy of a picture, and its legend, if all its values are small; null for any other picture.
 *
 * @param picture a Blob.
 */
export async function colourClasses(picture) {
  const bitmap = await createImageBitmap(picture);
  const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const image = context.getImageData(0, 0, canvas.width, canvas.height), { data } = image;
  const values = new Set();
  for (let index = 0; index < data.length; index += 4) {
    const value = data[index];
    if (value >= COLOURS.length || data[index + 1] !== value || data[index + 2] !== value) return null;
    values.add(value);
    for (let channel = 0; channel < 3; channel++) {
      data[index + channel] = parseInt(COLOURS[value].slice(1 + 2 * channel, 3 + 2 * channel), 16);
    }
  }
  context.putImageData(image, 0, 0);
  const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/png"));
  return { blob, legend: makeLegend([...values].sort((one, other) => one - other)) };
}

function makeLegend(values) {
  const items = values.map(value => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.setProperty("--colour", COLOURS[value]);
    return make("li", {}, swatch, String(value));
  });
  return make("div", { className: "legend hint" }, "Colours show the values of the pixels:",
    make("ul", { role: "list" }, ...items));
}
