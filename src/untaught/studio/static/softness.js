// How marks fade into the picture around them: shares of the result, by the distance from the nearest mark. Distances are
// counted by steps to neighbours, 3 straight and 4 aslant, which is within 6 % of straight lines.

const STRAIGHT = 3, ASLANT = 4;

// Returns one byte per pixel of a box: 255 where `data` is marked, or no farther away than `grow`; less with each pixel beyond,
// and 0 farther away than `soft` from there.
export function shares(data, width, height, { left, top, right, bottom }, soft, grow = 0) {
  const reach = soft + grow, x0 = Math.max(0, left - reach), y0 = Math.max(0, top - reach), x1 = Math.min(width, right + reach), y1 = Math.min(height, bottom + reach);
  const wide = x1 - x0, high = y1 - y0, far = STRAIGHT * (reach + 1), falls = STRAIGHT * (soft + 1), distances = new Uint16Array(wide * high).fill(far);
  for (let y = 0, to = 0; y < high; y++) {
    for (let x = 0, at = (y0 + y) * width + x0; x < wide; x++, at++, to++) if (data[at]) distances[to] = 0;
  }
  // There and back: first from the neighbours above and at the left, then from those below and at the right.
  for (const step of [1, -1]) {
    const first = step > 0 ? 0 : high - 1, begin = step > 0 ? 0 : wide - 1;
    for (let row = 0, y = first; row < high; row++, y += step) {
      for (let column = 0, x = begin; column < wide; column++, x += step) {
        const at = y * wide + x;
        let least = distances[at];
        if (!least) continue;
        if (column) least = Math.min(least, distances[at - step] + STRAIGHT);
        if (row) {
          const above = at - step * wide;
          least = Math.min(least, distances[above] + STRAIGHT);
          if (column) least = Math.min(least, distances[above - step] + ASLANT);
          if (column < wide - 1) least = Math.min(least, distances[above + step] + ASLANT);
        }
        distances[at] = least;
      }
    }
  }
  const found = new Uint8Array((right - left) * (bottom - top));
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, to++) found[to] = Math.round(255 * Math.min(1, (far - distances[(y - y0) * wide + x - x0]) / falls));
  }
  return found;
}
