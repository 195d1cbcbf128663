// Showing a job: live figures and previews, earlier previews, and what can be done with it.

import { bitmap, get, post, remove, upload } from "./api.js";
import { Chart } from "./chart.js";
import { Compare } from "./compare.js";
import { make, saveAs, showSubject } from "./dom.js";
import { Outputs } from "./outputs.js";
import { aboutJob, duration, knows, say, told } from "./words.js";

const $ = (id) => document.getElementById(id);

export class JobView {
  constructor(stage, { onError, onGone }) {
    this.stage = stage;
    this.onError = onError;
    this.onGone = onGone;
    this.jobs = [];
    this.chart = new Chart($("chart"));
    this.compare = new Compare(stage, { setStrength: (strength) => this.#ask("strength", { strength }) });
    this.outputs = new Outputs({ onError });
    this.#listen();
  }

  async open(identity) {
    this.close();
    this.id = identity;
    this.facts = this.line = null;
    this.offset = 0;        // of the log, in bytes, as far as it is shown
    this.opened = this.watched = false;
    this.moments = [];
    this.following = true;  // the latest preview is shown as it comes
    this.shown = null;      // the after picture: an iteration, "result", or null
    this.chart.clear();
    this.chart.draw();
    const { stage } = this;
    stage.onStroke = null;
    stage.canvas.style.cursor = "grab";
    this.compare.begin();
    this.#showNothing();
    try {
      await this.#take(await get(`/jobs/${identity}`));
    } catch (error) {
      if (this.id !== identity) return; // the user is elsewhere by now
      if (error.status === 404) this.onGone();
      this.onError(error);
      return;
    }
    if (this.id !== identity) return;
    this.compare.offer(this.facts, this.jobs);
    await this.#catchUp();
  }

  close() {
    this.id = null;
    $("time").hidden = true;
    this.compare.end();
  }

  remove = (identity) => remove(`/jobs/${identity}`).then(() => { if (identity === this.id) this.onGone(); });

  // Starts a job for the whole picture with the settings of a trial, and returns its address.
  async whole() {
    const { picture, task, settings } = this.facts;
    return `job=${(await post("/jobs", { picture, task, settings })).id}`;
  }

  // Events from the server ------------------------------------------------------------------------------------------

  // All jobs, as they are now.
  hear(jobs) {
    this.jobs = jobs; // the next list may be long in coming
    if (!this.facts || this.facts.id !== this.id) return;
    const facts = jobs.find((one) => one.id === this.id);
    this.compare.offer(facts, jobs);
    if (!facts) this.onGone();
    else if (JSON.stringify(facts) !== JSON.stringify(this.facts)) this.#take(facts).then(() => this.#catchUp());
  }

  // New lines of the log of a job.
  progress({ job, from, to, lines }) {
    if (job !== this.id || to <= this.offset) return;
    if (from !== this.offset) { this.#catchUp(); return; }
    this.offset = to;
    this.#progress(lines);
  }

  async #catchUp() {
    const { id, offset } = this;
    if (!id) return;
    const { lines, offset: end } = await get(`/jobs/${id}/log?after=${offset}`).catch(() => ({ lines: [] }));
    if (id !== this.id || offset !== this.offset || !lines.length) return;
    this.offset = end;
    this.#progress(lines);
  }

  async #take(facts) {
    if (facts.id !== this.id) return;
    if (this.facts?.state === "running" && facts.state === "done" && this.compare.wanted === null) this.watched = true;
    this.facts = facts;
    showSubject(facts.name, `${facts.width} × ${facts.height}`, ...(facts.settings.volume ? [say("picture.slices", facts)] : []));
    if (!this.opened) await this.#openBefore();
    if (facts.id !== this.id) return;
    if (this.#settles()) {
      $("why").textContent = say("job.settling");
      $("ended-actions").hidden = $("downloads").hidden = true;
      return;
    }
    this.#showState();
    if (facts.state === "done" && this.following) await this.#showResult();
  }

  // The result is made anew with another strength, which the page shows already.
  #settles() { return this.compare.wanted !== null && ["queued", "running"].includes(this.facts?.state); }

  // The picture before restoration. That of a trial region is made when its job begins.
  async #openBefore() {
    const { id, facts } = this;
    this.opened = true;
    const before = await bitmap(`/jobs/${id}/files/before`);
    if (id !== this.id) return;
    if (before) await this.stage.open(before, facts.width, facts.height);
    else this.stage.close();
    const mask = before && facts.has_mask && facts.settings.keep_known !== false ? await bitmap(`/jobs/${id}/files/mask`) : null;
    if (id !== this.id) return;
    this.compare.take(facts, before, mask);
    this.slice = facts.page;
    $("slice").value = facts.page;
    this.opened = Boolean(before);
  }

  #progress(lines) {
    if (!this.id || this.#settles()) return;
    this.chart.add(lines);
    for (const line of lines) {
      this.moments = this.moments.filter((moment) => moment <= line.iteration);
      if (line.moment === undefined) continue;
      this.moments = [...this.moments.filter((moment) => moment !== line.moment && !line.dropped?.includes(moment)), line.moment];
    }
    this.line = lines.at(-1);
    this.#showFigures();
    this.#showTime();
    this.chart.draw();
    if (this.following && this.facts?.state !== "done") this.#showMoment(this.moments.at(-1));
  }

  // Another slice of a volume, before and after. The previews are of the one that was chosen at first.
  async #showSlice(number) {
    const { id, facts } = this, wanted = Math.min(facts.pages, Math.max(1, number || facts.page));
    $("slice").value = wanted;
    this.slice = wanted;
    this.following = true;
    this.#showTime();
    const [before, after] = await Promise.all(["before", "after"].map((which) => bitmap(`/jobs/${id}/slices/${wanted}/${which}`)));
    if (id !== this.id || wanted !== this.slice || !before || !after) return;
    this.compare.stopAgainst();
    this.shown = `slice ${wanted}`;
    await this.stage.setBefore(before);
    await this.stage.setAfter(after);
    document.body.dataset.shown = this.shown;
  }

  // Loads one preview at a time; the one that was asked for last is shown in the end.
  async #showMoment(iteration) {
    this.wanted = iteration ?? null;
    if (this.loading) return;
    this.loading = true;
    while (this.wanted !== null && this.wanted !== this.shown) {
      const { id, wanted } = this, picture = await bitmap(`/jobs/${id}/moments/${wanted}`);
      if (id !== this.id || wanted === null) break;
      this.shown = wanted;
      if (!picture) continue;
      this.stage.heat = null;
      await this.stage.setAfter(this.compare.composed(picture));
      this.chart.shown = this.following ? 0 : wanted;
      this.chart.draw();
      document.body.dataset.shown = wanted;
    }
    this.loading = false;
  }

  async #showResult() {
    this.wanted = null;
    if (this.shown === `result ${this.facts.result?.iterations}`) return;
    this.shown = `result ${this.facts.result?.iterations}`;
    const { id, shown } = this, picture = await bitmap(`/jobs/${id}/files/view`);
    if (!picture || id !== this.id || shown !== this.shown) return;
    await this.stage.setAfter(picture);
    this.chart.shown = 0;
    this.chart.draw();
    if (this.watched) { this.watched = false; this.compare.sweep(); }
    this.#showUncertainty();
    this.compare.offerStrength(this.facts);
    document.body.dataset.shown = "result";
  }

  async #showUncertainty() {
    const wanted = $("uncertainty").checked && this.facts.has_uncertainty && this.following, id = this.id;
    const heat = wanted ? await bitmap(`/jobs/${id}/files/uncertainty-view`) : null;
    if (id !== this.id) return;
    this.stage.heat = heat;
    this.stage.draw();
  }

  // Display ---------------------------------------------------------------------------------------------------------

  // Clears what the last job has left, until the facts of this one come.
  #showNothing() {
    $("job-title").textContent = say("job.opening");
    for (const id of ["job-about", "why", "notes", "nearness"]) $(id).textContent = "";
    for (const id of ["bar", "running-actions", "ended-actions", "continue-part", "downloads", "uncertainty-choice"]) $(id).hidden = true;
    for (const id of ["iteration", "left", "loss"]) $(id).textContent = "–";
  }

  #showState() {
    const { facts } = this, { state, result, wish } = facts, [place, waiting] = facts.place ?? [0, 0], running = state === "running" || state === "queued";
    this.outputs.show(facts);
    this.compare.showAfter(state);
    $("job-panel").dataset.state = state;
    $("job-title").textContent = say(wish ? `job.${wish}-wish` : `job.${state}`);
    $("job-about").textContent = aboutJob(facts);
    $("running-actions").hidden = !running;
    $("ended-actions").hidden = running;
    $("pause").disabled = $("finish").disabled = Boolean(wish) || state !== "running";
    $("pause").disabled &&= state !== "queued";
    $("finish").hidden = state === "queued";
    $("earlier").hidden = $("later").hidden = waiting < 2;
    $("earlier").disabled = place === 1;
    $("later").disabled = place === waiting;
    for (const [id, other] of [["earlier", "later"], ["later", "earlier"]]) if ($(id).disabled && document.activeElement === $(id)) $(other).focus();
    $("resume").hidden = !["paused", "failed", "cancelled"].includes(state);
    $("change").hidden = state !== "failed" && state !== "cancelled";
    $("again").hidden = !$("change").hidden;
    $("resume").textContent = say(state === "failed" ? "job.again" : "job.resume");
    $("download").hidden = $("continue-part").hidden = $("compare-part").hidden = state !== "done";
    $("whole").hidden = state !== "done" || !facts.crop;
    $("slice-part").hidden = state !== "done" || !facts.settings.volume;
    $("slice").max = facts.pages;
    $("slices").textContent = say("job.slices", { slices: facts.pages });
    $("download").classList.toggle("primary", !facts.crop);
    $("uncertainty-choice").hidden = state !== "done" || !facts.has_uncertainty;
    $("details-title").textContent = say(running ? "job.goes" : "job.went");
    $("notes").textContent = "";
    this.line = facts.progress ?? this.line;
    if (state === "failed") $("why").textContent = told(facts.message);
    else if (state === "queued" && facts.full) $("why").textContent = say("job.full");
    else if (state === "queued") $("why").textContent = say("job.waits", { place, waiting });
    else if (state === "cancelled") $("why").textContent = say(this.line ? "job.cancelled-about" : "job.cancelled-early");
    else if (state === "paused") $("why").textContent = say("job.paused-about");
    else if (state === "done" && result) {
      const reason = `reason.${result.stop_reason}`;
      $("why").textContent = say("job.took", { time: duration(result.seconds ?? 0) });
      $("notes").textContent = [say("job.ended", { reason: knows(reason) ? say(reason) : result.stop_reason }), ...result.notes.map(told)].join(" ");
    } else $("why").textContent = "";
    this.#showFigures();
    this.#showTime();
  }

  #showFigures() {
    const { line, facts } = this, state = facts?.state;
    const done = state === "done";
    const share = line ? 100 * (done ? 1 : line.iteration / line.until) : 0;
    $("bar").hidden = done;
    $("bar").firstElementChild.style.width = `${share}%`;
    $("bar").setAttribute("aria-valuenow", Math.round(share));
    $("iteration").textContent = line ? (done ? line.iteration : `${line.iteration} / ${line.until}`) : "–";
    $("left-title").textContent = say(done ? "job.time" : "job.left");
    $("left").textContent = !line || (!done && line.left === undefined) ? "–" : done ? duration(facts.result?.seconds ?? line.elapsed) : say("time.at-most", { time: duration(line.left) });
    const expected = done && facts.result?.expected_psnr;
    $("expected-title").textContent = say(expected ? "job.expected" : "job.loss");
    $("expected-title").title = expected ? say("job.expected-about") : "";
    $("loss").textContent = expected ? `${expected.toFixed(1)} dB` : line?.loss === undefined ? "–" : line.loss.toExponential(1);
    $("stopping").textContent = (state === "running" && line?.why) || "";
    if (state === "running") $("why").textContent = line?.left === undefined ? say(line ? "job.first" : "job.setting-up") : say("job.left-about", { time: duration(line.left) });
  }

  #showTime() {
    const { moments, line } = this, slider = $("moment");
    $("time").hidden = false;
    slider.disabled = moments.length < 2;
    $("to-latest").hidden = $("keep-moment").hidden = this.following;
    slider.max = Math.max(1, moments.length - 1);
    const index = slider.disabled ? 1 : this.following ? moments.length - 1 : Math.max(0, moments.findLastIndex((moment) => moment <= this.shown));
    slider.value = index;
    const done = this.facts?.state === "done" && this.following;
    $("moment-shown").textContent = done ? say("moment.result") : this.following ? say("moment.now") : moments[index] ? say("moment.iteration", { iteration: moments[index] }) : say("moment.first");
    slider.setAttribute("aria-valuetext", $("moment-shown").textContent);
    // Once the search is over, the picture is fitted further from there.
    const best = line?.best && line.in_search && !done ? nearest(moments, line.best) : -1;
    $("best-mark").hidden = $("to-best").hidden = best < 0;
    // The thumb of a slider is 16 px wide and stays inside the track.
    $("best-mark").style.left = `calc(8px + (100% - 16px) * ${best / Math.max(1, moments.length - 1)})`;
    this.bestIndex = best;
  }

  async #setMoment(index) {
    if (this.facts.settings.volume && this.slice !== this.facts.page) await this.#showSlice(this.facts.page);
    this.following = index >= this.moments.length - 1;
    if (this.following && this.facts.state === "done") this.#showResult();
    else this.#showMoment(this.moments[index]);
    if (!this.following) this.stage.heat = null;
    this.#showTime();
  }

  async #keepMoment() {
    const { id, shown, facts } = this, picture = await bitmap(`/jobs/${id}/moments/${shown}`);
    if (!picture || id !== this.id) return;
    const canvas = make("canvas", { width: facts.width, height: facts.height });
    canvas.getContext("2d").drawImage(this.compare.composed(picture), 0, 0, facts.width, facts.height);
    canvas.toBlob((blob) => saveAs(blob, `${facts.name}-${shown}.png`), "image/png");
  }

  // How near the result and the picture before are to a clean one.
  async #compareWith(file) {
    const { id } = this, shown = (value, digits) => (value === null ? "–" : value.toFixed(digits));
    try {
      const near = await upload(`/jobs/${id}/comparison`, file);
      if (id !== this.id) return;
      $("nearness").textContent = ["after", "before"].filter((which) => near[which]).map((which) => {
        const { psnr, ssim } = near[which];
        return say("job.nearness", { what: say(`job.nearness-${which}`), psnr: psnr === null ? say("job.nearness-same") : say("job.nearness-db", { psnr: shown(psnr, 1) }), ssim: shown(ssim, 3) });
      }).join(" ");
    } catch (error) {
      this.onError(error);
    }
  }

  // Actions ---------------------------------------------------------------------------------------------------------

  async #ask(what, content) {
    try {
      if (what === "strength" && this.facts.state !== "done") return; // it is asked for again at the end
      await post(`/jobs/${this.id}/${what}`, content);
      if (["continue", "resume", "strength"].includes(what)) { this.following = true; this.shown = null; }
    } catch (error) {
      this.onError(error);
    }
  }

  #listen() {
    for (const what of ["pause", "resume", "finish", "cancel"]) $(what).addEventListener("click", () => this.#ask(what));
    for (const [id, places] of [["earlier", -1], ["later", 1]]) $(id).addEventListener("click", () => this.#ask("move", { places }));
    $("continue").addEventListener("click", () => this.#ask("continue", { iterations: Number($("more-iterations").value) || 200 }));
    $("compare-file").addEventListener("click", () => $("clean-file").click());
    $("clean-file").addEventListener("change", () => { if ($("clean-file").files[0]) this.#compareWith($("clean-file").files[0]); $("clean-file").value = ""; });
    $("slice").addEventListener("change", () => this.#showSlice(Number($("slice").value)));
    $("moment").addEventListener("input", () => this.#setMoment(Number($("moment").value)));
    $("keep-moment").addEventListener("click", () => this.#keepMoment());
    $("to-best").addEventListener("click", () => this.#setMoment(this.bestIndex));
    $("to-latest").addEventListener("click", () => this.#setMoment(this.moments.length - 1));
    $("uncertainty").addEventListener("change", () => this.#showUncertainty());
  }
}

function nearest(moments, wanted) {
  let chosen = 0;
  moments.forEach((moment, index) => { if (Math.abs(moment - wanted) < Math.abs(moments[chosen] - wanted)) chosen = index; });
  return chosen;
}
