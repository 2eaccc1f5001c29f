/**
 * The part of a photo that the network sees, bit for bit as Pillow and torchvision cut it out: the shorter side is
 * resized, then the centre is cropped. Maps must be those of Python, so a canvas's own resizing, which differs from
 * browser to browser, won't do.
 */

const BITS = 22; // of a weight, a whole number of 2^-22: Pillow's precision for 8-bit pictures

/**
 * @typedef {{width: number, height: number, data: Uint8ClampedArray}} Picture RGBA, row by row
 * @typedef {{size: number[], resize: number, mean: number[], std: number[], interpolation: string}} Preprocess
 */

/** @type {Record<string, {support: number, weight: (x: number) => number}>} */
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((d - 5) * d + 8) * d * -0.5 + 2 : 0; // a = -0.5
    },
  },
};

/**
 * Return for each of some output pixels where its inputs start, and their weights.
 * @param {number} from pixels before
 * @param {number} to pixels after
 * @param {number} first the first output pixel asked for
 * @param {number} count how many
 * @param {string} interpolation
 */
function taps(from, to, first, count, interpolation) {
  const filter = FILTERS[interpolation];
  if (!filter) throw new Error(`The page can't resize with ${interpolation}.`);
  const scale = from / to;
  const wide = Math.max(scale, 1);
  const support = filter.support * wide;
  return Array.from({ length: count }, (_, n) => {
    const centre = (first + n + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: end - start }, (_, i) => filter.weight((i + start - centre + 0.5) / wide));
    const sum = raw.reduce((a, b) => a + b, 0);
    const whole = raw.map((w) => Math.trunc((w / sum) * 2 ** BITS + (w < 0 ? -0.5 : 0.5)));
    return { start, weights: Float64Array.from(whole) };
  });
}

/** @param {number} sum @returns {number} a level from 0 to 255 */
const level = (sum) => Math.min(255, Math.max(0, Math.floor((sum + 2 ** (BITS - 1)) / 2 ** BITS)));

/**
 * Round to the nearest whole number, halves to the even one, as Python does.
 * @param {number} x
 */
export function roundHalfEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 ? floor + 1 : floor;
}

/**
 * Return width and height of the photo after resizing, and the left upper corner of the crop.
 * @param {number} width
 * @param {number} height
 * @param {Preprocess} recipe
 */
export function geometry(width, height, recipe) {
  const shorter = Math.min(width, height);
  const side = (/** @type {number} */ s) => (s === shorter ? recipe.resize : Math.trunc((recipe.resize * s) / shorter));
  const [resizedWidth, resizedHeight] = [side(width), side(height)];
  const [cropHeight, cropWidth] = recipe.size;
  const left = roundHalfEven((resizedWidth - cropWidth) / 2);
  const top = roundHalfEven((resizedHeight - cropHeight) / 2);
  return { resizedWidth, resizedHeight, left, top, cropWidth, cropHeight };
}

/**
 * Return the part of the photo that the network sees.
 * @param {Picture} photo
 * @param {Preprocess} recipe
 * @returns {Picture}
 */
export function view(photo, recipe) {
  const g = geometry(photo.width, photo.height, recipe);
  const columns = taps(photo.width, g.resizedWidth, g.left, g.cropWidth, recipe.interpolation);
  const rows = taps(photo.height, g.resizedHeight, g.top, g.cropHeight, recipe.interpolation);
  const top = Math.min(...rows.map((row) => row.start));
  const bottom = Math.max(...rows.map((row) => row.start + row.weights.length));
  const narrow = acrossColumns(photo, columns, top, bottom);
  return acrossRows(narrow, rows, top, g.cropWidth);
}

/** @typedef {ReturnType<typeof taps>} Taps */

/**
 * Resize along rows, those from top to bottom only.
 * @param {Picture} photo
 * @param {Taps} columns
 * @param {number} top
 * @param {number} bottom
 */
function acrossColumns(photo, columns, top, bottom) {
  const { data, width } = photo;
  const narrow = new Uint8ClampedArray((bottom - top) * columns.length * 4);
  let out = 0;
  for (let y = top; y < bottom; y++) {
    for (const { start, weights } of columns) {
      let [r, g, b] = [0, 0, 0];
      let i = 4 * (y * width + start);
      for (const weight of weights) {
        r += weight * data[i];
        g += weight * data[i + 1];
        b += weight * data[i + 2];
        i += 4;
      }
      narrow.set([level(r), level(g), level(b), 255], out);
      out += 4;
    }
  }
  return narrow;
}

/**
 * Resize along columns.
 * @param {Uint8ClampedArray} narrow
 * @param {Taps} rows
 * @param {number} top the row that narrow begins with
 * @param {number} width
 * @returns {Picture}
 */
function acrossRows(narrow, rows, top, width) {
  const data = new Uint8ClampedArray(rows.length * width * 4);
  let out = 0;
  for (const { start, weights } of rows) {
    for (let x = 0; x < width; x++) {
      let [r, g, b] = [0, 0, 0];
      let i = 4 * ((start - top) * width + x);
      for (const weight of weights) {
        r += weight * narrow[i];
        g += weight * narrow[i + 1];
        b += weight * narrow[i + 2];
        i += 4 * width;
      }
      data.set([level(r), level(g), level(b), 255], out);
      out += 4;
    }
  }
  return { width, height: rows.length, data };
}

/**
 * Return the photo as the network wants it: three planes, normalized.
 * @param {Picture} seen what ``view`` returned
 * @param {Preprocess} recipe
 */
export function normalized(seen, recipe) {
  const pixels = seen.width * seen.height;
  const x = new Float32Array(3 * pixels);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < pixels; i++) {
      // In steps of 32 bits, as PyTorch computes it: that keeps the last digits.
      const unit = Math.fround(seen.data[4 * i + c] / 255);
      x[c * pixels + i] = Math.fround(unit - Math.fround(recipe.mean[c])) / Math.fround(recipe.std[c]);
    }
  }
  return x;
}
