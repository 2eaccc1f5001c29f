/** Photos as pixels, as posgrad_edu.data.reading reads them: upright, what is transparent on white, not too large. */

const MAX_SIDE = 4096; // the network looks at 224 pixels: more only costs memory
const THINNEST = 100; // times as long as wide

/** What can't be done with what was given; the message says what to do. */
export class InputError extends Error {}

/**
 * Return the pixels of a picture file.
 * @param {Blob} blob
 * @returns {Promise<import("./resize.js").Picture>}
 */
export async function read(blob) {
  const bitmap = await decoded(blob);
  const { width, height } = bitmap;
  if (Math.min(width, height) * THINNEST < Math.max(width, height)) {
    throw new InputError(`This picture has ${width} × ${height} pixels: too thin for a network. Crop it first.`);
  }
  const share = Math.min(1, MAX_SIDE / Math.max(width, height));
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * share)));
  const context = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  if (!context) throw new InputError("This browser can't read a picture's pixels here. Try a newer one.");
  context.fillStyle = "white";
  context.fillRect(0, 0, w, h);
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
  return { width: w, height: h, data: context.getImageData(0, 0, w, h).data };
}

/**
 * Return by how much this browser changes pixels that are read back, at most, of 255: against being recognised some
 * browsers add a little noise, or hide them.
 */
export function changedPixels() {
  const side = 64;
  const context = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
  if (!context) return 0; // read() says what is wrong
  const known = Uint8ClampedArray.from({ length: 4 * side * side }, (_, i) => (i % 4 === 3 ? 255 : (i * 73) % 251));
  context.putImageData(new ImageData(known, side, side), 0, 0);
  const { data } = context.getImageData(0, 0, side, side);
  return data.reduce((most, value, i) => Math.max(most, Math.abs(value - known[i])), 0);
}

/** @param {Blob} blob */
async function decoded(blob) {
  if (!blob.size) throw new InputError("This file is empty. Choose a photo.");
  try {
    return await createImageBitmap(blob, {
      // imageOrientation: upright is the default, and Safari 16 refuses its name
      colorSpaceConversion: "none", // numbers as they stand in the file
      premultiplyAlpha: "none",
    });
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // the browser refuses the call, not the file
    throw new InputError(
      "This file isn't a photo that the browser can read, or it is damaged. JPEG, PNG, WebP, GIF and BMP work.",
    );
  }
}
