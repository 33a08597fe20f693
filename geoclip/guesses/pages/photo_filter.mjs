// Which photos are shown, and in which order: alike on the map and in the list.
import { folded } from "./words.mjs";

export const KINDS = {
  model: "guessed", gps: "by GPS", album: "by the album", gallery: "by the gallery",
  unsure: "cannot tell", none: "not located",
};
export const bestOf = (photo) => (photo.guesses.length > 0 ? photo.guesses[0] : null);
export const kindOf = (photo) => {
  const best = bestOf(photo);
  if (best === null) return "none";
  if (!best.sure) return "unsure";
  return photo.source in KINDS ? photo.source : "model";
};
// Whatever a reader may look for in a photo.
export const searchText = (photo) => {
  const best = bestOf(photo);
  const place = best === null ? photo.status : best.sure ? best.place : "cannot tell";
  return folded([photo.name, photo.folder, place].join(" "));
};
export const countryOf = (photo) => (bestOf(photo) && bestOf(photo).sure ? bestOf(photo).country : "");

// Says of a photo whether it is wanted. `wanted` has text, kind, country, folder (each "" for all),
// sure (a probability), from and to (times as 2024-05-31T10:20 or days, "" for any). A photo without
// a time is of no stretch of time.
export const matching = (wanted) => {
  const words = folded(wanted.text).split(/\s+/).filter(Boolean);
  const sureEnough = (best, kind) => best !== null && best.sure && (kind === "gps" || best.probability >= wanted.sure);
  return (photo) => {
    const taken = photo.taken || "";
    return words.every((word) => photo.search.includes(word))
      && (wanted.kind === "" || kindOf(photo) === wanted.kind)
      && (wanted.country === "" || countryOf(photo) === wanted.country)
      && (wanted.folder === "" || photo.folder === wanted.folder)
      && (wanted.sure === 0 || sureEnough(bestOf(photo), kindOf(photo)))
      && (wanted.from === "" || (taken !== "" && taken >= wanted.from))
      && (wanted.to === "" || (taken !== "" && taken.slice(0, wanted.to.length) <= wanted.to));
  };
};

const probability = (photo) => {
  if (kindOf(photo) === "gps") return 1;
  return bestOf(photo) && bestOf(photo).sure ? bestOf(photo).probability : null;
};
const ORDERS = {
  sure: [probability, -1], unsure: [probability, 1],
  far: [(photo) => photo.error_km, -1], near: [(photo) => photo.error_km, 1],
  name: [(photo) => folded(photo.name), 1], taken: [(photo) => photo.taken || null, 1],
};
// A new array; photos of which the thing sorted by is not known come last, in the given order.
export const sorted = (photos, order) => {
  if (!(order in ORDERS)) return photos;
  const [of, sign] = ORDERS[order];
  const keyed = photos.map((photo) => [of(photo), photo]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return a < b ? -sign : a > b ? sign : 0;
  });
  return keyed.map(([, photo]) => photo);
};
