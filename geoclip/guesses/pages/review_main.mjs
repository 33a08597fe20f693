// Review: one photo after the other is accepted, corrected or rejected.
import { Atlas, drawLine, drawRadii, shortWay } from "./atlas.mjs";
import { Decisions, acceptable, accepted, named, pointed, rejected, table } from "./decisions.mjs";
import { cross, mark } from "./markers.mjs";
import { byId, button, element, onScheme, pageData, palette, positionLine } from "./page.mjs";
import { bestOf, kindOf } from "./photo_filter.mjs";
import { Places } from "./place_search.mjs";
import { kilometres, percent, whole } from "./words.mjs";
import { View } from "./view.mjs";

const data = pageData();
const photos = data.photos;
const atlas = new Atlas(data);
const places = new Places(data.places);
const KEPT = `geoclip-review-${data.id}`;
let colours = palette();
let at = 0;

// What was decided stays in this browser until it is exported; some browsers keep nothing of files.
const kept = () => {
  try { return JSON.parse(localStorage.getItem(KEPT)) || []; } catch { return []; }
};
const keep = () => {
  try { localStorage.setItem(KEPT, JSON.stringify([...decisions.of])); } catch { /* kept in the page alone */ }
};
const decisions = new Decisions(photos.length, kept());

const pointOf = (one) => (one && Number.isFinite(one.lat) ? [one.lat, one.lon] : null);
const draw = (context, ratio) => {
  const photo = photos[at];
  const best = bestOf(photo);
  const filled = best ? atlas.area(best) : [];
  atlas.drawLand(context, view, colours, ratio, filled);
  if (best && best.sure && filled.length === 0) drawRadii(context, view, colours, best);
  atlas.drawNames(context, view, colours);
  for (const other of [...photo.guesses].reverse()) {
    const [x, y] = view.place(other.lat, other.lon);
    mark(context, colours, kindOf(photo), x, y, 9, other === best ? colours.accent : null);
    Object.assign(context, { fillStyle: other === best ? colours.halo : colours.ink, font: "600 11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillText(String(other.rank), x, y + 0.5);
  }
  const point = pointOf(decisions.of.get(at));
  if (point === null) return;
  if (best) drawLine(context, view, colours.truth, shortWay([best.lat, best.lon], point), 2, [5, 4]);
  cross(context, colours, ...view.place(...point), 8);
};

const count = () => {
  const parts = ["accepted", "corrected", "rejected"].map((name) => `${whole(decisions.count(name))} ${name}`);
  byId("summary").textContent = `${whole(decisions.of.size)} of ${whole(photos.length)} photos decided: ${parts.join(", ")}`;
  byId("undo").disabled = decisions.past.length === 0;
  byId("export").disabled = decisions.count("accepted") + decisions.count("corrected") === 0;
};
const told = (one, best) => {
  if (one === undefined && acceptable(best)) return "Not decided yet.";
  if (one === undefined) return "Not decided yet. The guess names no country: click on the map or name a place.";
  return one.told ? `${one.decision}: ${one.told}` : one.decision;
};
const guessItem = (guess) => {
  const item = element("li");
  const text = `${guess.rank}. ${guess.place || "no place"} ${percent(guess.probability)}`;
  const pressed = button("guess", text, () => take(guess));
  pressed.disabled = !acceptable(guess);
  item.append(pressed);
  return item;
};
const show = (i) => {
  at = i;
  const photo = photos[i];
  const best = bestOf(photo);
  byId("where").textContent = `${whole(i + 1)} of ${whole(photos.length)}: ${photo.name}`;
  byId("photo").hidden = !photo.thumb;
  byId("no-photo").hidden = Boolean(photo.thumb);
  if (photo.thumb) {
    byId("photo").src = `data:image/jpeg;base64,${photo.thumb}`;
    byId("photo").alt = `The photo ${photo.name}`;
  }
  byId("told").textContent = best ? best.told : `Not located: ${photo.status}.`;
  byId("position").replaceChildren(...(best ? [positionLine(best.lat, best.lon)] : []));
  byId("guesses").replaceChildren(...photo.guesses.map(guessItem));
  byId("accept").disabled = !acceptable(best);
  byId("decision").textContent = told(decisions.of.get(i), best);
  byId("name").value = "";
  offer();
  count();
  home();
  // On a phone the photo stands above what was pressed.
  document.querySelector("main").scrollTop = 0;
};
const home = () => {
  const point = pointOf(decisions.of.get(at));
  view.fit([...photos[at].guesses.map((guess) => [guess.lat, guess.lon]), ...(point ? [point] : [])], 6000);
};

// The next photo that is open follows, but for a point on the map, which one may want to mend.
const decide = (decision, stay = false) => {
  decisions.set(at, decision);
  keep();
  if (!stay) show(decisions.open(at));
  else {
    byId("decision").textContent = told(decision);
    count();
    view.redraw();
  }
};
const take = (guess) => { if (acceptable(guess)) decide(accepted(guess)); };
const click = (px, py) => {
  const [lat, lon] = view.at(px, py).map((degree) => Number(degree.toFixed(5)));
  const near = places.nearest(lat, lon);
  const where = near === null || near.km > 300 ? "" : ` (${kilometres(near.km)} from ${near.told})`;
  decide(pointed(lat, lon, `${lat}, ${lon}${where}`), true);
};
const offer = () => {
  const found = places.search(byId("name").value);
  byId("found").replaceChildren(...found.map((place) => {
    const item = element("li");
    item.append(button("guess", `${place.told} (${place.level})`, () => choose(place)));
    return item;
  }));
};
const choose = (place) => {
  decide(named(place));
  byId("map").focus();
};
const undo = () => {
  const i = decisions.undo();
  if (i === null) return;
  keep();
  show(i);
};
const download = () => {
  const link = element("a");
  const file = new Blob([table(photos.map((photo) => photo.path), decisions)], { type: "text/csv" });
  Object.assign(link, { href: URL.createObjectURL(file), download: "reviewed.csv" });
  link.click();
  byId("next-step").hidden = false;
};
const step = (by) => show((at + by + photos.length) % photos.length);

const ACTS = {
  accept: () => take(bestOf(photos[at])), reject: () => decide(rejected()), undo, export: download,
  next: () => step(1), previous: () => step(-1),
};
for (const [id, act] of Object.entries(ACTS)) byId(id).addEventListener("click", act);
const KEYS = {
  a: ACTS.accept, r: ACTS.reject, u: ACTS.undo, e: ACTS.export, n: ACTS.next, p: ACTS.previous,
  ArrowRight: ACTS.next, ArrowLeft: ACTS.previous, "/": () => byId("name").focus(), m: () => byId("map").focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === byId("name")) {
    if (event.key === "Enter" && byId("found").firstChild) byId("found").querySelector("button").click();
    else if (event.key === "Escape") byId("map").focus();
    return;
  }
  const ranked = /^[1-9]$/.test(event.key) ? photos[at].guesses[Number(event.key) - 1] : undefined;
  const isExport = event.key === "e" && byId("export").disabled;
  if (ranked !== undefined) take(ranked);
  else if (event.key in KEYS && !isExport) KEYS[event.key]();
  else return;
  event.preventDefault();
});
byId("name").addEventListener("input", () => {
  offer();
  byId("found").scrollIntoView({ block: "nearest" });
});
const view = new View(byId("map"), { draw, click, home });
onScheme(() => { colours = palette(); view.redraw(); });
show(decisions.open(photos.length - 1));
