// Places of the gazetteer by name or nearness; countries, then regions, then cities by population.
import { distanceKm } from "./geometry.mjs";
import { folded } from "./words.mjs";

const LEVELS = ["country", "region", "city"];

export class Places {
  // Rows are [id, name, level (0 to 2), country code, region's name, lat, lon].
  constructor(rows) {
    this.rows = rows;
    this.folded = rows.map((row) => folded(row[1]));
    this.countries = new Map(rows.filter((row) => row[2] === 0).map((row) => [row[3], row[1]]));
  }

  place([id, name, number, code, region, lat, lon]) {
    const country = this.countries.get(code) || code;
    const own = { country, region: number === 1 ? name : region, city: number === 2 ? name : "" };
    const told = [...new Set([own.city, own.region, country])].filter(Boolean).join(", ");
    return { place_id: id, level: LEVELS[number], country_code: code, lat, lon, told, ...own };
  }

  // Up to `n` places whose name begins like the text, else with a word that does. What stands
  // behind a comma must be in the country's or region's name: "valencia, ve".
  search(text, n = 8) {
    const [name, ...above] = folded(text).split(",").map((part) => part.trim());
    if (name === "") return [];
    const within = (row) => above.every((part) => folded(`${row[4]} ${this.countries.get(row[3]) || ""} ${row[3]}`).includes(part));
    const [first, later] = [[], []];
    this.folded.forEach((own, i) => {
      if (first.length >= n) return;
      if (own.startsWith(name)) { if (within(this.rows[i])) first.push(i); }
      else if (later.length < n && own.includes(` ${name}`) && within(this.rows[i])) later.push(i);
    });
    return [...first, ...later].slice(0, n).map((i) => this.place(this.rows[i]));
  }

  nearest(lat, lon) {
    let best = [Infinity, null];
    for (const row of this.rows) {
      if (row[2] !== 2 || Math.abs(row[5] - lat) > 5) continue;
      const km = distanceKm([lat, lon], [row[5], row[6]]);
      if (km < best[0]) best = [km, row];
    }
    return best[1] === null ? null : { ...this.place(best[1]), km: best[0] };
  }
}
