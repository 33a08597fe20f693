// A map of photos: marks, list, filters and details of one photo.
import { Atlas, drawLine, drawRadii, shortWay } from "./atlas.mjs";
import { clusters } from "./clusters.mjs";
import { fillDetails, placeDetails } from "./details.mjs";
import { worldX, worldY } from "./geometry.mjs";
import { clusterMark, clusterRadius, cross, mark } from "./markers.mjs";
import { byId, element, isNarrow, onScheme, pageData, palette } from "./page.mjs";
import { KINDS, bestOf, kindOf, searchText } from "./photo_filter.mjs";
import { PhotoList } from "./photo_list.mjs";
import { css, opacity, quantiles, scaleColour, standing } from "./scale.mjs";
import { percent, whole } from "./words.mjs";
import { View } from "./view.mjs";

const CLUSTER_PX = 34;
const CROSS_PX = 8;
const MOST_LINES = 1500;
const data = pageData();
const photos = data.photos;
const popup = byId("popup");
const atlas = new Atlas(data);
let colours = palette();

for (const photo of photos) {
  photo.search = searchText(photo);
  const best = bestOf(photo);
  if (best !== null) Object.assign(photo, { x: worldX(best.lon), y: worldY(best.lat) });
  if (photo.truth !== null) Object.assign(photo, { trueX: worldX(photo.truth[1]), trueY: worldY(photo.truth[0]) });
}
const onScale = photos.filter((photo) => !["gps", "unsure", "none"].includes(kindOf(photo)));
const probabilities = onScale.map((photo) => bestOf(photo).probability).filter((p) => p !== null);
const knots = quantiles(probabilities);

const colourOf = (photo) => {
  const kind = kindOf(photo);
  if (kind === "gps") return colours.gps;
  const { probability } = bestOf(photo) || {};
  if (kind === "none" || kind === "unsure") return null;
  if (probability === null) return colours.muted;
  const t = standing(knots, probability);
  return css(scaleColour(colours.scheme, t), opacity(t));
};

let shown = photos.filter((photo) => bestOf(photo) !== null);
let selected = null;
let stack = [];

// Clusters are of one step of the zoom, so that they stay as they are while the map is moved.
let marksOf = { step: null, marks: [] };
const marks = () => {
  const step = Math.floor(Math.log2(view.scale) * 2) / 2;
  if (marksOf.step !== step) {
    marksOf = { step, marks: clusters(shown, 2 ** step, view.atMost ? 6 : CLUSTER_PX) };
  }
  return marksOf.marks;
};

const inSight = (x, y) => x > -40 && x < view.width + 40 && y > -40 && y < view.height + 40;
const lineOf = (photo) => {
  const best = bestOf(photo);
  photo.line ??= shortWay([best.lat, best.lon], photo.truth);
  return photo.line;
};
// A cross that another would cover is left out: thousands take longer than a frame.
const drawTruths = (context) => {
  const measured = shown.filter((photo) => photo.truth !== null);
  context.globalAlpha = 0.55;
  for (const photo of measured.slice(0, MOST_LINES)) drawLine(context, view, colours.truth, lineOf(photo));
  context.globalAlpha = 1;
  const places = new Map();
  for (const photo of measured) {
    const at = view.screen(photo.trueX, photo.trueY);
    const [column, row] = [photo.trueX, photo.trueY].map((value) => Math.floor(value * view.scale / CROSS_PX));
    if (inSight(...at)) places.set(column * 65536 + row, at);
  }
  for (const at of places.values()) cross(context, colours, ...at, 4);
};
// The way through the moments of a clip, in the order of the table.
const drawWay = (context) => {
  if (!data.way) return;
  const among = new Set(shown);
  const way = photos.filter((photo) => among.has(photo)).map(bestOf);
  for (const [i, to] of way.entries()) {
    if (i > 0) drawLine(context, view, colours.accent, shortWay([way[i - 1].lat, way[i - 1].lon], [to.lat, to.lon]), 2);
  }
};
const drawSelected = (context) => {
  if (selected === null || bestOf(selected) === null) return;
  const best = bestOf(selected);
  if (selected.truth !== null) {
    drawLine(context, view, colours.truth, lineOf(selected), 2.5);
    cross(context, colours, ...view.place(...selected.truth), 7);
  }
  const others = best.drawn ? selected.guesses.slice(1) : [];
  for (const other of others) {
    drawLine(context, view, colours.muted, shortWay([best.lat, best.lon], [other.lat, other.lon]), 1, [3, 4]);
    mark(context, colours, "model", ...view.place(other.lat, other.lon), 4, null);
  }
  mark(context, colours, kindOf(selected), ...view.place(best.lat, best.lon), 9, colourOf(selected));
};
const draw = (context, ratio) => {
  const best = selected && bestOf(selected);
  const filled = best ? atlas.area(best) : [];
  atlas.drawLand(context, view, colours, ratio, filled);
  if (best && best.sure && filled.length === 0) drawRadii(context, view, colours, best);
  atlas.drawNames(context, view, colours);
  drawWay(context);
  drawTruths(context);
  for (const { x, y, items } of marks()) {
    const at = view.screen(x, y);
    if (!inSight(...at)) continue;
    if (items.length > 1) clusterMark(context, colours, ...at, items.length);
    else mark(context, colours, kindOf(items[0]), ...at, 5.5, colourOf(items[0]));
  }
  drawSelected(context);
  placeDetails(popup, view, best ? view.place(best.lat, best.lon) : null);
};

const pointsOf = (some) => some.flatMap((photo) => {
  const best = bestOf(photo);
  return [[best.lat, best.lon], ...(photo.truth === null ? [] : [photo.truth])];
});
const home = () => view.fit(pointsOf(shown));

const select = (photo, among = [photo], centre = false) => {
  [selected, stack] = [photo, among];
  popup.hidden = false;
  fillDetails(popup, photo, stack, { close: unselect, select: (next, all) => select(next, all) });
  const best = bestOf(photo);
  if (centre && best !== null) view.centre(best.lat, best.lon, 2500);
  list.mark(photo);
  view.redraw();
  popup.focus({ preventScroll: true });
};
const unselect = () => {
  const back = list.mark(null);
  const from = list.items.get(selected);
  [selected, stack] = [null, []];
  popup.hidden = true;
  view.redraw();
  (from || back || byId("map")).focus({ preventScroll: true });
};

// A cluster opens where zooming in takes it apart, else its photos are shown one by one.
const open = (items) => {
  const spread = (name) => Math.max(...items.map((one) => one[name])) - Math.min(...items.map((one) => one[name]));
  const apart = Math.max(spread("x"), spread("y")) * 400000 > CLUSTER_PX;
  if (items.length > 1 && apart && !view.atMost) {
    const before = view.scale;
    view.fit(items.map((photo) => [bestOf(photo).lat, bestOf(photo).lon]), 300000);
    if (view.scale < before * 1.2) view.zoom((before * 1.6) / view.scale);
  } else select(items[0], items);
};
const click = (px, py) => {
  const near = marks().map(({ x, y, items }) => {
    const [sx, sy] = view.screen(x, y);
    return [Math.hypot(sx - px, sy - py) - (items.length > 1 ? clusterRadius(items.length) - 8 : 0), items];
  }).filter(([distance]) => distance < 12).sort((a, b) => a[0] - b[0]);
  if (near.length > 0) open(near[0][1]);
  else if (selected !== null) unselect();
};

const view = new View(byId("map"), { draw, click, home });
const list = new PhotoList(photos, {
  colourOf,
  select: (photo) => select(photo, [photo], true),
  changed: (some, byTime) => {
    shown = some.filter((photo) => bestOf(photo) !== null);
    marksOf.step = null;
    if (selected !== null && !some.includes(selected)) unselect();
    summarise(some);
    if (byTime) view.redraw();
    else home();
  },
});

const legendRow = (...parts) => { const row = element("div"); row.append(...parts); byId("signs").append(row); };
const legend = () => {
  byId("signs").replaceChildren();
  for (const kind of Object.keys(KINDS)) {
    const some = photos.find((photo) => kindOf(photo) === kind);
    if (some === undefined || kind === "none") continue;
    const sign = element("span", `dot kind-${kind}`);
    sign.style.background = colourOf(some) || "transparent";
    legendRow(sign, element("span", "", KINDS[kind]));
  }
  if (photos.some((photo) => photo.truth !== null)) {
    legendRow(element("span", "plus", "+"), element("span", "", "true place, with a line from the guess"));
  }
  if (data.way) legendRow(element("span", "way", "\u2014"), element("span", "", "the order in which they follow"));
  if (probabilities.length === 0) return;
  if (knots[0] === knots[4]) {
    legendRow(element("span", "", `probability ${percent(knots[0])}`));
    return;
  }
  const bar = element("span", "bar");
  const steps = [0, 0.25, 0.5, 0.75, 1].map((t) => css(scaleColour(colours.scheme, t), opacity(t)));
  bar.style.background = `linear-gradient(90deg, ${steps.join(", ")})`;
  legendRow(element("span", "", `probability ${percent(knots[0])}`), bar, element("span", "", `${percent(knots[4])}`));
  legendRow(element("span", "quiet", `half of them ${percent(knots[2])} or more`));
};
const summarise = (some) => {
  const number = (...kinds) => some.filter((photo) => kinds.includes(kindOf(photo))).length;
  const [unsure, none] = [number("unsure"), number("none")];
  const n = some.length - unsure - none;
  const parts = [`${whole(n)} ${n === 1 ? "photo" : "photos"} located`];
  if (unsure > 0) parts.push(`${whole(unsure)} cannot be told`);
  if (none > 0) parts.push(`${whole(none)} not located`);
  byId("summary").textContent = parts.join(", ");
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !popup.hidden) unselect();
});
byId("legend").open = !isNarrow();
onScheme(() => { colours = palette(); legend(); list.render(); view.redraw(); });
legend();
summarise(photos);
list.render();
home();
