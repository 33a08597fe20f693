// The list of the photos that are shown, and the controls that choose them.
import { byId, button, element, picture } from "./page.mjs";
import { KINDS, bestOf, countryOf, kindOf, matching, sorted } from "./photo_filter.mjs";
import { Timeline } from "./timeline.mjs";
import { kilometres, percent, unbroken, whole } from "./words.mjs";

const PAGE = 200;
const CHOICES = ["filter", "kind", "country", "folder", "sure", "sort"];

const unsureText = (guess) => (guess.place ? `cannot tell (${guess.place} ${percent(guess.probability)})` : "cannot tell");

export class PhotoList {
  // `colourOf` gives the colour of a photo's mark, `changed` takes the photos to show and whether
  // they changed by the time, as they do while a handle is drawn.
  constructor(photos, { colourOf, select, changed }) {
    Object.assign(this, { photos, colourOf, select, changed, shown: photos, selected: null });
    this.list = byId("photos");
    this.items = new Map();
    this.timeline = new Timeline(photos, () => this.choose(true));
    this.fillChoices();
    for (const id of CHOICES) byId(id).addEventListener("input", () => this.choose());
    byId("more").addEventListener("click", () => this.extend());
    byId("clear").addEventListener("click", () => this.clear());
  }

  // Only what tells photos apart is offered.
  fillChoices() {
    const offer = (id, values, told = (value) => value) => {
      const distinct = [...new Set(values.filter(Boolean))].sort((a, b) => a.localeCompare(b));
      byId(id).append(...distinct.map((value) => new Option(told(value), value)));
      byId(id).parentElement.hidden = distinct.length < 2;
    };
    offer("kind", this.photos.map(kindOf), (kind) => KINDS[kind]);
    offer("country", this.photos.map(countryOf));
    offer("folder", this.photos.map((photo) => photo.folder));
    const dated = this.photos.some((photo) => photo.taken);
    const measured = this.photos.some((photo) => photo.error_km !== null);
    const useless = [...(dated ? [] : ["taken"]), ...(measured ? [] : ["far", "near"])];
    for (const order of useless) byId("sort").querySelector(`[value=${order}]`).remove();
  }

  wanted() {
    const value = (id) => byId(id).value;
    return {
      text: value("filter"), kind: value("kind"), country: value("country"), folder: value("folder"),
      sure: Number(value("sure")), from: this.timeline.from, to: this.timeline.to,
    };
  }

  choose(byTime = false) {
    const wanted = this.wanted();
    this.shown = sorted(this.photos.filter(matching(wanted)), byId("sort").value);
    byId("clear").hidden = Object.values(wanted).every((value) => !value);
    this.render();
    this.changed(this.shown, byTime);
  }

  clear() {
    for (const id of CHOICES) byId(id).value = id === "sure" ? "0" : "";
    this.timeline.set("", "");
    this.choose();
  }

  render() {
    this.list.replaceChildren();
    this.items.clear();
    this.extend();
  }

  extend() {
    const from = this.list.childElementCount;
    this.list.append(...this.shown.slice(from, from + PAGE).map((photo) => this.item(photo)));
    byId("more").hidden = this.list.childElementCount >= this.shown.length;
    byId("shown").textContent = `${whole(this.list.childElementCount)} of ${whole(this.shown.length)} photos`;
    this.mark(this.selected);
  }

  item(photo) {
    const best = bestOf(photo);
    const sure = best !== null && best.sure;
    const pressed = button("", undefined, () => this.select(photo));
    const spot = element("span", `dot kind-${kindOf(photo)}`);
    spot.style.background = this.colourOf(photo) || "transparent";
    const told = kindOf(photo) === "gps" ? "GPS" : sure ? percent(best.probability) : "";
    const place = best === null ? photo.status : sure ? best.place : unsureText(best);
    const error = photo.error_km === null ? "" : ` ${unbroken(`\u2014 off by ${kilometres(photo.error_km)}`)}`;
    if (photo.thumb) pressed.append(picture(photo.thumb, "thumb"));
    pressed.append(
      spot, element("span", "name", photo.name), element("span", "", told), element("span", "place", place + error));
    const item = element("li");
    item.append(pressed);
    this.items.set(photo, pressed);
    return item;
  }

  // Say which photo is looked at; its button, if the list shows it.
  mark(photo) {
    for (const one of [this.selected, photo]) {
      const shown = one && this.items.get(one);
      if (shown) shown.setAttribute("aria-current", String(one === photo));
    }
    this.selected = photo;
    return photo === null ? null : this.items.get(photo) || null;
  }
}
