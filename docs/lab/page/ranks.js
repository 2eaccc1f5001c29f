/** Rank correlation, as posgrad_edu.metrics.similarity computes it. */

const ROUNDING = 2 ** -23; // of a 32-bit number

/**
 * Tell whether a map is constant up to rounding, so that it ranks no pixel above another, or isn't finite.
 * @param {Float32Array} map
 */
export function isDegenerate(map) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of map) {
    if (!Number.isFinite(value)) return true;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return !(high - low > 8 * ROUNDING * Math.max(Math.abs(low), Math.abs(high)));
}

/**
 * Return each value's rank, 1 for the smallest; ties share their mean rank.
 * @param {Float32Array} values finite
 */
export function ranks(values) {
  const order = sortedOrder(values);
  const found = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && at(values, order, end) === at(values, order, start)) end++;
    const mean = (start + 1 + end) / 2;
    for (let i = start; i < end; i++) found[order[i] ?? 0] = mean;
    start = end;
  }
  return found;
}

/**
 * @param {Float32Array} values
 * @param {Uint32Array} order
 * @param {number} i
 */
const at = (values, order, i) => values[order[i] ?? 0];

/**
 * Return the positions of the values from the smallest to the largest: a radix sort on their bits, since a sort with a
 * comparison takes ten times as long for the 50,176 pixels of a map.
 * @param {Float32Array} values
 */
function sortedOrder(values) {
  const bits = new Uint32Array(Float32Array.from(values, (v) => v + 0).buffer); // -0 + 0 is 0: they are equal
  const keys = bits.map((b) => (b & 0x80000000 ? ~b : b | 0x80000000)); // so that they sort as the numbers do
  let order = Uint32Array.from(values, (_, i) => i);
  for (const shift of [0, 11, 22]) {
    const starts = new Uint32Array(2049);
    for (const key of keys) starts[((key >>> shift) & 2047) + 1]++;
    for (let i = 1; i < 2049; i++) starts[i] += starts[i - 1];
    const next = new Uint32Array(order.length);
    for (const i of order) next[starts[(keys[i] >>> shift) & 2047]++] = i;
    order = next;
  }
  return order;
}

/**
 * Return Pearson's correlation of two lists of numbers; NaN if one is constant.
 * @param {Float64Array} a
 * @param {Float64Array} b
 */
export function correlation(a, b) {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    const [x, y] = [value - meanA, b[i] - meanB];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  });
  return aa > 0 && bb > 0 ? Math.max(-1, Math.min(1, ab / Math.sqrt(aa * bb))) : NaN;
}

/** @param {Float64Array} a */
const mean = (a) => a.reduce((sum, value) => sum + value, 0) / a.length;

/**
 * Compare two maps of one size: the rank correlations of their values and of their magnitudes, NaN if one is constant.
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
export function compare(a, b) {
  if (isDegenerate(a) || isDegenerate(b)) return { spearman: NaN, magnitudes: NaN };
  const size = (/** @type {Float32Array} */ map) => map.map(Math.abs);
  return { spearman: correlation(ranks(a), ranks(b)), magnitudes: correlation(ranks(size(a)), ranks(size(b))) };
}
