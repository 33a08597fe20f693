// Land, borders and names, all from the page's own data.
import { circle, distanceKm, greatCircle, worldPoint, worldX, worldY } from "./geometry.mjs";

const MOST_CITIES = 40;

export class Atlas {
  constructor(data) {
    this.codes = data.codes;
    this.continents = data.continents;
    this.land = data.countries.map((rings) => this.outline(rings, data.steps));
    this.countries = data.country_names.map(([name, lat, lon, size]) => ({ name, x: worldX(lon), y: worldY(lat), size }));
    this.cities = data.city_names.map(([name, lat, lon]) => ({ name, x: worldX(lon), y: worldY(lat) }));
  }

  // A country's path, and the box about it: west, north, east, south in world coordinates.
  outline(rings, steps) {
    const path = new Path2D();
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const ring of rings) {
      let [lon, lat] = [0, 0];
      for (let i = 0; i < ring.length; i += 2) {
        lon += ring[i];
        lat += ring[i + 1];
        const [x, y] = [worldX(lon / steps), worldY(lat / steps)];
        box[0] = Math.min(box[0], x);
        box[1] = Math.min(box[1], y);
        box[2] = Math.max(box[2], x);
        box[3] = Math.max(box[3], y);
        if (i === 0) path.moveTo(x, y);
        else path.lineTo(x, y);
      }
      path.closePath();
    }
    return { path, box };
  }

  // Positions in the list of countries that a guess of this level fills; none below a country.
  area(guess) {
    if (guess.level !== "country" && guess.level !== "continent") return [];
    const [names, wanted] = guess.level === "country"
      ? [this.codes, guess.country_code] : [this.continents, guess.continent];
    return names.flatMap((name, i) => (name && name === wanted ? [i] : []));
  }

  drawLand(context, view, colours, ratio, filled = []) {
    context.fillStyle = colours.sea;
    context.fillRect(0, 0, view.width, view.height);
    const reach = view.width / 2 / view.scale;
    const up = view.height / 2 / view.scale;
    for (let copy = Math.floor(view.x - reach); copy <= Math.floor(view.x + reach); copy += 1) {
      context.setTransform(
        ratio * view.scale, 0, 0, ratio * view.scale,
        ratio * (view.width / 2 + (copy - view.x) * view.scale),
        ratio * (view.height / 2 - view.y * view.scale));
      Object.assign(context, { fillStyle: colours.land, strokeStyle: colours.border, lineWidth: 0.8 / view.scale });
      for (const { path, box } of this.land) {
        const [west, north, east, south] = box;
        if (east + copy < view.x - reach || west + copy > view.x + reach || south < view.y - up || north > view.y + up) continue;
        context.fill(path, "evenodd");
        context.stroke(path);
      }
      Object.assign(context, { fillStyle: colours.accent, strokeStyle: colours.accent, lineWidth: 1.5 / view.scale });
      for (const i of filled) {
        context.globalAlpha = 0.25;
        context.fill(this.land[i].path, "evenodd");
        context.globalAlpha = 1;
        context.stroke(this.land[i].path);
      }
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  // Names that have room, countries first; one that would cover another is left out.
  drawNames(context, view, colours) {
    const boxes = [];
    Object.assign(context, { textBaseline: "middle", lineJoin: "round", lineWidth: 3, strokeStyle: colours.land });
    const write = (text, x, y, width, dx) => {
      const box = [x - width / 2 + dx, y - 8, x + width / 2 + dx, y + 8];
      if (box[2] < 0 || box[0] > view.width || box[3] < 0 || box[1] > view.height) return false;
      if (boxes.some((b) => b[0] < box[2] && b[2] > box[0] && b[1] < box[3] && b[3] > box[1])) return false;
      boxes.push(box);
      context.strokeText(text, x + dx, y);
      context.fillText(text, x + dx, y);
      return true;
    };
    Object.assign(context, { font: "600 12px system-ui, sans-serif", textAlign: "center", fillStyle: colours.muted });
    const widthOf = (one) => {
      one.width ??= context.measureText(one.name).width;
      return one.width;
    };
    for (const country of this.countries) {
      const width = widthOf(country);
      if (width < (country.size / 360) * view.scale * 1.1) write(country.name, ...view.screen(country.x, country.y), width, 0);
    }
    if (view.scale < 1800) return;
    Object.assign(context, { font: "11px system-ui, sans-serif", fillStyle: colours.ink });
    let left = MOST_CITIES;
    for (const city of this.cities) {
      const [x, y] = view.screen(city.x, city.y);
      if (x < 0 || x > view.width || y < 0 || y > view.height) continue;
      const width = widthOf(city);
      if (!write(city.name, x, y, width, width / 2 + 6)) continue;
      context.fillRect(x - 1.5, y - 1.5, 3, 3);
      left -= 1;
      if (left === 0) return;
    }
  }
}

// A line through points [x, y] of the world; a jump over half of it is the seam between two copies.
const trace = (context, view, points) => {
  let last = null;
  for (const point of points) {
    const [x, y] = view.screen(...point);
    if (last === null || Math.abs(x - last) > view.scale / 2) context.moveTo(x, y);
    else context.lineTo(x, y);
    last = x;
  }
};

// The circles that hold half of the posterior and 90 % of it.
export const drawRadii = (context, view, colours, guess) => {
  for (const [km, dash, alpha] of [[guess.radius_90, [6, 4], 0.07], [guess.radius, [], 0.14]]) {
    if (!km || km > 9000) continue;
    context.beginPath();
    trace(context, view, circle(guess.lat, guess.lon, km).map(worldPoint));
    Object.assign(context, { fillStyle: colours.accent, strokeStyle: colours.accent, lineWidth: 1.5, globalAlpha: alpha });
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }
};

// Points [x, y] of the world from one place [lat, lon] to another, the short way.
export const shortWay = (from, to) => {
  const parts = Math.ceil(distanceKm(from, to) / 200);
  return greatCircle(from, to, Math.max(1, Math.min(24, parts))).map(worldPoint);
};

export const drawLine = (context, view, colour, points, width = 1, dash = []) => {
  context.beginPath();
  trace(context, view, points);
  context.setLineDash(dash);
  Object.assign(context, { strokeStyle: colour, lineWidth: width });
  context.stroke();
  context.setLineDash([]);
};
