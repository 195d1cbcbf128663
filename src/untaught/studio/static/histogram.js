// How often each brightness is in the pictures that are compared: a small chart over the picture.

const BINS = 64, SIDE = 400; // pictures are counted at this size
const $ = (id) => document.getElementById(id);

export class Histogram {
  constructor(stage) {
    this.stage = stage;
    this.counted = new WeakMap();
    $("histogram-toggle").addEventListener("click", () => this.toggle(!this.shown));
  }

  get shown() { return !$("histogram").hidden; }

  toggle(shown) {
    $("histogram").hidden = !shown;
    $("histogram-toggle").setAttribute("aria-pressed", String(shown));
    this.draw();
  }

  // Called when one of the pictures is another one.
  draw() {
    const { before, after, against } = this.stage;
    if (!this.shown || !before) return;
    const canvas = $("histogram-chart"), ratio = devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    context.scale(ratio, ratio);
    const curves = [[after, "--accent", true], [against ?? before, "--text", false]].filter(([picture]) => picture)
      .map(([picture, ...look]) => [this.#count(picture), ...look]);
    // The bins at the ends may hold far more than the others: clipped values, borders.
    const most = Math.max(...curves.flatMap(([counts]) => [...counts.slice(1, -1)]), 1e-6);
    for (const [counts, colour, filled] of curves) {
      context.strokeStyle = context.fillStyle = style.getPropertyValue(colour).trim();
      context.lineWidth = 1.4;
      context.beginPath();
      context.moveTo(0, height);
      counts.forEach((count, bin) => context.lineTo(width * (bin + 0.5) / BINS, height - (height - 2) * Math.min(1, count / most)));
      context.lineTo(width, height);
      context.globalAlpha = 0.45;
      if (filled) context.fill();
      context.globalAlpha = 1;
      context.stroke();
    }
  }

  #count(picture) {
    const smallest = picture.at(-1);
    if (this.counted.has(smallest)) return this.counted.get(smallest);
    const scale = Math.min(1, SIDE / Math.max(smallest.width, smallest.height));
    const wide = Math.max(1, Math.round(smallest.width * scale)), high = Math.max(1, Math.round(smallest.height * scale));
    const context = new OffscreenCanvas(wide, high).getContext("2d");
    context.drawImage(smallest, 0, 0, wide, high);
    const { data } = context.getImageData(0, 0, wide, high), counts = new Float32Array(BINS);
    for (let at = 0; at < data.length; at += 4) counts[(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) * BINS >> 8] += 1 / (wide * high);
    this.counted.set(smallest, counts);
    return counts;
  }
}
