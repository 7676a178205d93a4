// Photographs have more pixels than most nets can be given, and sides that some do not take: they are scaled and
// cropped before they are sent.

import { make } from "./dom.js";

const ROUNDING = 1e-6; // of a length that was scaled to a whole number

/**
 * Return a picture with sides that the net takes, or null if it has them already, or cannot be made to, or the browser
 * cannot read it; the server explains what is wrong.
 *
 * It is scaled down if it is too large, and then its edges are cropped to allowed lengths: pixels of a picture that is
 * small enough stay as they are.
 *
 * @param file the picture; its EXIF orientation is applied.
 * @param sides allowed lengths of height and width, and null for a net that scales pictures itself.
 * @param limits `pixels`, the largest product of width and height, and `bytes` of the result.
 */
export async function fitPicture(file, sides, limits) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) return null;
  const scale = findScale(image, sides, limits.pixels);
  const [width, height] = fitSides(image, sides, scale);
  const canvas = make("canvas", { width, height });
  const isAsItIs = scale > 1 || (width === image.width && height === image.height);
  if (!isAsItIs) drawCentre(canvas, image, scale);
  image.close();
  if (isAsItIs) return null;
  let blob = await encode(canvas, "image/png");
  if (blob?.size > limits.bytes) blob = await encode(canvas, "image/jpeg");
  return blob && { blob, width, height, isScaled: scale < 1 }; // some browsers encode no picture as large as others do
}

function drawCentre(canvas, image, scale) {
  const context = canvas.getContext("2d"), width = canvas.width / scale, height = canvas.height / scale;
  const corner = [(image.width - width) / 2, (image.height - height) / 2];
  context.imageSmoothingQuality = "high";
  // Not scaled, each pixel is copied: from a whole position.
  const [left, top] = scale === 1 ? corner.map(Math.floor) : corner;
  context.drawImage(image, left, top, width, height, 0, 0, canvas.width, canvas.height);
}

/** Return the scale at which a picture is small enough, and no side is too short if that can be. */
function findScale({ width, height }, sides, pixels) {
  const scales = [1, Math.sqrt(pixels / (width * height))];
  if (!sides) return Math.min(...scales);
  const [tall, wide] = sides;
  const small = Math.min(...scales, (tall.maximum ?? height) / height, (wide.maximum ?? width) / width);
  return Math.max(small, tall.minimum / height, wide.minimum / width);
}

/** Return the largest allowed width and height of a picture that is scaled. */
function fitSides({ width, height }, sides, scale) {
  const lengths = [width, height].map(length => Math.max(1, Math.floor(length * scale + ROUNDING)));
  if (!sides) return lengths;
  const [tall, wide] = sides;
  return [wide, tall].map(({ minimum, maximum, step }, index) => {
    const most = Math.min(lengths[index], maximum ?? Infinity);
    return minimum + step * Math.max(0, Math.floor((most - minimum) / step));
  });
}

const encode = (canvas, type) => new Promise(resolve => canvas.toBlob(resolve, type, 0.95));
