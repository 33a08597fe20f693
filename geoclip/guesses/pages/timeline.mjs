// A stretch of time, chosen by two handles over a histogram of the photos or by two days.
import { DAY, histogram, minutesOf, stepOf, timeOf } from "./histogram.mjs";
import { byId, element } from "./page.mjs";
import { whole } from "./words.mjs";

export class Timeline {
  // `from` and `to` are times or days, "" for any; `changed` is called when a reader changes them.
  constructor(photos, changed) {
    const times = photos.map((photo) => photo.taken).filter(Boolean);
    Object.assign(this, { changed, times, undated: photos.length - times.length, bars: [] });
    this.handles = [byId("begin"), byId("end")];
    this.days = [byId("from"), byId("to")];
    for (const day of this.days) day.parentElement.hidden = times.length === 0;
    if (times.length > 0) this.fill();
    this.set("", "");
  }

  fill() {
    const { edges, counts } = histogram(this.times);
    const most = Math.max(...counts);
    this.edges = edges;
    this.letters = edges.every((edge) => edge % DAY === 0) ? 10 : 16;
    this.bars = counts.map((n) => {
      const bar = element("span");
      // By the root, so that one photo is seen beside hundreds.
      bar.style.height = `${100 * Math.sqrt(n / most)}%`;
      return bar;
    });
    byId("bars").append(...this.bars);
    byId("timeline").hidden = counts.length < 2;
    this.handles.forEach((handle, i) => {
      handle.max = counts.length;
      handle.addEventListener("input", () => this.move(i));
    });
    for (const day of this.days) {
      day.addEventListener("input", () => {
        this.set(...this.days.map((one) => one.value));
        this.changed();
      });
    }
  }

  // A handle stops one step before the other.
  move(i) {
    const at = this.handles.map((handle) => Number(handle.value));
    if (at[0] >= at[1]) at[i] = at[1 - i] + (i === 0 ? -1 : 1);
    this.set(
      at[0] === 0 ? "" : timeOf(this.edges[at[0]]),
      at[1] === this.bars.length ? "" : timeOf(this.edges[at[1]] - 1));
    this.changed();
  }

  // Handles, days, bars and words say what is chosen.
  set(from, to) {
    Object.assign(this, { from, to });
    if (this.bars.length === 0) return;
    const begin = from === "" ? 0 : stepOf(this.edges, minutesOf(from));
    const lastMinute = to === "" ? Infinity : minutesOf(to) + (to.length > 10 ? 0 : DAY - 1);
    const at = [begin, Math.max(begin, stepOf(this.edges, lastMinute)) + 1];
    const told = [from || timeOf(this.edges[0]), to || timeOf(this.edges.at(-1) - 1)]
      .map((time) => time.slice(0, this.letters).replace("T", " "));
    this.handles.forEach((handle, i) => {
      handle.value = at[i];
      handle.setAttribute("aria-valuetext", told[i]);
    });
    [from, to].forEach((time, i) => { this.days[i].value = time.slice(0, 10); });
    this.bars.forEach((bar, i) => bar.classList.toggle("chosen", i >= at[0] && i < at[1]));
    const without = (from || to) && this.undated > 0 ? `, without ${whole(this.undated)} that state no time` : "";
    byId("stretch").textContent = `${told.join(" to ")}${without}`;
  }
}
