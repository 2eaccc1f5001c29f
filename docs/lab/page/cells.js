/**
 * A CAM's final ReLU. The package clamps the few cells of the map before it enlarges them to pixels, and clamping the
 * pixels afterwards is another map where a cell above zero meets one below. So the cells are read off the enlarged map.
 */

const STEPS = [32, 16, 8, 4, 2]; // how many pixels of a side make a cell
const ROUNDING = 1e-5; // of the largest magnitude

/**
 * Return a square map of cells, clamped at zero and enlarged again.
 * @param {Float32Array} map
 */
export function finalReLU(map) {
  const side = Math.sqrt(map.length);
  for (const step of STEPS) {
    const cells = read(map, side, step);
    if (near(map, enlarged(cells, side))) return enlarged(cells.map((value) => Math.max(0, value)), side);
  }
  return map.map((value) => Math.max(0, value)); // a cell for each pixel
}

/**
 * Return the cells, if a cell is that many pixels wide: between the middles of two cells an enlarged map is straight,
 * so that two pixels beyond a middle tell its value.
 * @param {Float32Array} map
 * @param {number} side
 * @param {number} step
 */
function read(map, side, step) {
  const n = side / step;
  const along = (/** @type {number} */ at, /** @type {number} */ apart) => 1.5 * map[at] - 0.5 * map[at + apart];
  return Float32Array.from({ length: n * n }, (_, i) => {
    const at = (Math.floor(i / n) * step + step / 2) * side + (i % n) * step + step / 2;
    return 1.5 * along(at, 1) - 0.5 * along(at + side, 1);
  });
}

/**
 * Enlarge cells to pixels, bilinearly, as torch's interpolate with align_corners=False.
 * @param {Float32Array} cells
 * @param {number} side
 */
function enlarged(cells, side) {
  const n = Math.sqrt(cells.length);
  const places = Array.from({ length: side }, (_, i) => {
    const place = Math.max(0, ((i + 0.5) * n) / side - 0.5);
    const first = Math.floor(place);
    return { first, second: Math.min(n - 1, first + 1), share: place - first };
  });
  return Float32Array.from({ length: side * side }, (_, i) => {
    const [row, column] = [places[Math.floor(i / side)], places[i % side]];
    const at = (/** @type {number} */ line) => {
      const [a, b] = [cells[line * n + column.first], cells[line * n + column.second]];
      return a + (b - a) * column.share;
    };
    const [upper, lower] = [at(row.first), at(row.second)];
    return upper + (lower - upper) * row.share;
  });
}

/**
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
function near(a, b) {
  const most = ROUNDING * a.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return a.every((value, i) => Math.abs(value - b[i]) <= most);
}
