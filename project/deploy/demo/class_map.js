// Pictures whose values are numbers of classes, as a segmentation returns them: they would look black.

import { make } from "./dom.js";

const COLOURS = [ // of the values 0, 1, ...; pictures with larger ones are shown as they are
  "#26323a", "#e8b04a", "#3f8fd2", "#d9594c", "#57a773", "#9b6fc3", "#e58fb1", "#7cc4d6", "#a8783e", "#c9ced2",
];

/** Replace answers that have a whole number for each pixel of an input, as lists, by pictures of these numbers. */
export function drawMaps({ answers, sizes }, model) {
  for (const [name, rows] of Object.entries(answers)) {
    const isMap = /int|bool/.test(model.dtypes[name]) && Array.isArray(rows) && Array.isArray(rows[0])
      && Object.values(sizes).some(([height, width]) => rows.length === height && rows[0].length === width);
    const values = isMap ? rows.flat(Infinity) : [];
    if (isMap && values.length === rows.length * rows[0].length && values.every(value => value >= 0 && value < 256)) {
      answers[name] = drawGrey(values.map(Number), rows[0].length);
    }
  }
}

/** Return the data URL of a grey PNG. */
function drawGrey(values, width) {
  const canvas = make("canvas", { width, height: values.length / width });
  const image = new ImageData(width, canvas.height);
  values.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}

/**
 * Return a coloured copy of a picture, and its legend, if all its values are small; null for any other picture.
 *
 * @param picture a Blob.
 * @param names names of the classes, if there are any.
 */
export async function colourClasses(picture, names = []) {
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
  return { blob, legend: makeLegend([...values].sort((one, other) => one - other), names) };
}

function makeLegend(values, names) {
  const items = values.map(value => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.setProperty("--colour", COLOURS[value]);
    return make("li", {}, swatch, names[value] ?? String(value));
  });
  return make("div", { className: "legend hint" }, "Colours of the pixels' values:",
    make("ul", { role: "list" }, ...items));
}
