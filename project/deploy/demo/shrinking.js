// Photographs of a telephone have more pixels than most nets can be given: they are scaled down before they are sent.

/**
 * Return a picture as a PNG with at most `pixels` pixels, or null if it has no more, or the browser cannot read it.
 *
 * @param file the picture; its EXIF orientation is applied.
 * @param pixels largest product of width and height.
 */
export async function shrinkPicture(file, pixels) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image || image.width * image.height <= pixels) return null;
  const scale = Math.sqrt(pixels / (image.width * image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(image.width * scale));
  canvas.height = Math.max(1, Math.floor(image.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  const blob = await new Promise(resolve => canvas.toBlob(resolve, "image/png"));
  return { blob, width: canvas.width, height: canvas.height };
}
