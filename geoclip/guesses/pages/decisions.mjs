// What a person says of each photo: accepted, corrected or rejected, with undo, and the table of it.

export const COLUMNS = ["path", "decision", "level", "place_id", "country", "country_code", "region", "city", "lat", "lon"];
const POINT_LEVELS = ["city", "spot"];

// A guess of a continent names too little to be accepted.
export const acceptable = (guess) => Boolean(guess && guess.country_code && guess.level !== "none");

// The guess in the given rank; below the first it corrects the first.
export const accepted = (guess) => {
  const exact = POINT_LEVELS.includes(guess.level);
  return {
    decision: guess.rank === 1 ? "accepted" : "corrected",
    level: guess.level, place_id: guess.place_id,
    country: guess.country, country_code: guess.country_code, region: guess.region, city: guess.city,
    lat: exact ? guess.lat : null, lon: exact ? guess.lon : null, told: guess.place,
  };
};
// A place of the gazetteer; of a country or region the position is not known.
export const named = (place) => ({ ...accepted({ ...place, rank: 2 }), told: place.told });
// A point on the map; `geoclip sidecar write` names the place it lies in.
export const pointed = (lat, lon, told) => ({ decision: "corrected", level: "", lat, lon, told });
export const rejected = () => ({ decision: "rejected", told: "" });

export class Decisions {
  constructor(n, kept = []) {
    this.n = n;
    this.of = new Map(kept.filter(([i]) => i < n));
    this.past = [];
  }

  set(i, decision) {
    this.past.push([i, this.of.get(i)]);
    this.of.set(i, decision);
  }

  // Takes the last decision back; the photo it was about, or null.
  undo() {
    if (this.past.length === 0) return null;
    const [i, before] = this.past.pop();
    if (before === undefined) this.of.delete(i);
    else this.of.set(i, before);
    return i;
  }

  // The next photo without a decision after `i`, from the beginning if need be; `i` if all have one.
  open(i) {
    for (let step = 1; step <= this.n; step += 1) {
      const at = (i + step) % this.n;
      if (!this.of.has(at)) return at;
    }
    return i;
  }

  count(decision) { return [...this.of.values()].filter((one) => one.decision === decision).length; }
}

const cell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
// A CSV table (RFC 4180) of what was accepted or corrected, in the order of the photos.
export const table = (paths, decisions) => {
  const rows = paths.flatMap((path, i) => {
    const one = decisions.of.get(i);
    return one === undefined || one.decision === "rejected" ? [] : [{ path, ...one }];
  });
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))]
    .map((row) => `${row.map(cell).join(",")}\n`).join("");
};
