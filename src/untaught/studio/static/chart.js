// The chart of the loss over iterations, on a logarithmic scale, with the best iteration and the one shown.

import { say } from "./words.js";

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  clear() {
    this.points = [];
    this.best = 0;
    this.shown = 0;
    this.refit = 0;
  }

  // A line of the log replaces those of its own and later iterations.
  add(lines) {
    for (const line of lines) {
      while (this.points.length && this.points.at(-1).iteration >= line.iteration) this.points.pop();
      this.points.push(line);
      this.best = line.best;
    }
    const first = this.points.find((point) => !point.in_search);
    this.refit = first && first !== this.points[0] ? first.iteration : 0;
  }

  draw() {
    const { canvas, points } = this, ratio = devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.scale(ratio, ratio);
    context.font = "11px system-ui, sans-serif";
    const left = 38, right = width - 4, top = 8, bottom = height - 18;
    const drawn = points.filter((point) => point.loss > 0);
    context.strokeStyle = colour("--line");
    context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
    if (drawn.length < 2) return;
    const logs = drawn.map((point) => Math.log10(point.loss));
    let low = logs.reduce((a, b) => Math.min(a, b)), high = logs.reduce((a, b) => Math.max(a, b));
    if (high - low < 0.5) { low -= 0.25; high += 0.25; }
    const last = drawn.at(-1).iteration;
    const x = (iteration) => left + (right - left) * iteration / last;
    const y = (log) => bottom - 4 - (bottom - top - 8) * (log - low) / (high - low);

    if (this.refit) {
      context.fillStyle = colour("--hover");
      context.fillRect(x(this.refit), top + 1, right - x(this.refit) - 1, bottom - top - 2);
    }
    context.fillStyle = colour("--muted");
    context.textAlign = "right";
    for (let power = Math.ceil(low); power <= Math.floor(high); power++) {
      context.fillText(power >= -3 ? String(Number((10 ** power).toPrecision(1))) : `1e${power}`, left - 5, y(power) + 4);
      context.globalAlpha = 0.5;
      context.beginPath(); context.moveTo(left, Math.round(y(power)) + 0.5); context.lineTo(right, Math.round(y(power)) + 0.5); context.stroke();
      context.globalAlpha = 1;
    }
    context.fillText(last, right, height - 4);
    context.textAlign = "left";
    context.fillText("0", left, height - 4);

    context.strokeStyle = colour("--accent");
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.beginPath();
    drawn.forEach((point, index) => context.lineTo(x(point.iteration), y(logs[index])));
    context.stroke();
    for (const [iteration, stroke, dash] of [[this.best, "#d97706", []], [this.shown, colour("--text"), [3, 3]]]) {
      if (!iteration || iteration > last) continue;
      context.strokeStyle = stroke;
      context.lineWidth = 1.2;
      context.setLineDash(dash);
      context.beginPath(); context.moveTo(x(iteration), top); context.lineTo(x(iteration), bottom); context.stroke();
    }
    context.setLineDash([]);
    if (this.best && this.best <= last) {
      context.fillStyle = "#d97706";
      context.textAlign = x(this.best) > (left + right) / 2 ? "right" : "left";
      context.fillText(say("job.chart-best"), x(this.best) + (context.textAlign === "right" ? -4 : 4), top + 12);
    }
  }
}
