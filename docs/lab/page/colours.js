/** Maps as pictures: red speaks for the class, blue against it. Colours and scales of posgrad_edu.viz. */

export const RED = [206, 0, 24];
export const BLUE = [0, 66, 208];
const FADE = 0.4; // how far a photo's greys move towards white under a map
const OPACITY = 0.85; // how much of the photo full colour hides

/** @param {Iterable<Float32Array>} maps */
export function largest(maps) {
  let found = 0;
  for (const map of maps) for (const value of map) found = Math.max(found, Math.abs(value));
  return found;
}

/**
 * Return the magnitude of full colour for maps of single pixels: a few lie far above all others and saturate.
 * @param {Float32Array[]} maps
 * @param {number} quantile the share that doesn't saturate
 */
export function symmetricLimit(maps, quantile = 0.995) {
  const all = new Float32Array(maps.reduce((n, map) => n + map.length, 0));
  let start = 0;
  for (const map of maps) {
    all.set(map.map(Math.abs), start);
    start += map.length;
  }
  all.sort();
  const place = quantile * (all.length - 1);
  const [low, high] = [all[Math.floor(place)], all[Math.ceil(place)]];
  return low + (high - low) * (place - Math.floor(place)) || all[all.length - 1] || 1;
}

/**
 * Return one magnitude of full colour for two maps, between both peaks, so that the weaker can still be seen.
 * @param {Float32Array[]} maps
 */
export function pairLimit(maps) {
  const peaks = maps.map((map) => largest([map]));
  const [weaker, stronger] = [Math.min(...peaks), Math.max(...peaks)];
  return Math.sqrt(Math.max(weaker, 0.05 * stronger) * stronger) || 1;
}

/**
 * Return the photo's light greys, a number a pixel: what an overlay shows where there is no evidence.
 * @param {Uint8ClampedArray} rgba
 */
export function faded(rgba) {
  return Uint8ClampedArray.from({ length: rgba.length / 4 }, (_, i) => {
    const [r, g, b] = rgba.subarray(4 * i, 4 * i + 3);
    const grey = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16; // the weights of Pillow's convert("L")
    return grey + FADE * (255 - grey);
  });
}

/**
 * Return a map as RGBA: over light greys, or over white.
 * @param {Float32Array} map
 * @param {number} limit the magnitude of full colour
 * @param {Uint8ClampedArray} [greys] one for each value of the map
 */
export function coloured(map, limit, greys) {
  const rgba = new Uint8ClampedArray(4 * map.length);
  map.forEach((value, i) => {
    const share = Math.min(1, Math.abs(value) / limit) * (greys ? OPACITY : 1);
    const colour = value > 0 ? RED : BLUE;
    const ground = greys ? greys[i] : 255;
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = (1 - share) * ground + share * colour[c];
    rgba[4 * i + 3] = 255;
  });
  return rgba;
}
