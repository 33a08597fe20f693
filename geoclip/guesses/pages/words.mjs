// Numbers and texts as a reader wants them.

export const percent = (p) => {
  if (p === null) return "";
  if (p > 0 && p < 0.0005) return "< 0.1 %";
  if (p >= 0.995 && p < 1) return "> 99 %";
  return p >= 0.0995 ? `${Math.round(p * 100)} %` : `${(p * 100).toFixed(1)} %`;
};
export const whole = (n) => n.toLocaleString("en");
export const kilometres = (km) => (km < 10 ? `${km.toFixed(1)} km` : `${whole(Math.round(km))} km`);
export const unbroken = (text) => text.replaceAll(" ", "\u00a0");
export const degrees = (lat, lon) => `${lat.toFixed(5)}, ${lon.toFixed(5)}`;

// Letters without case and accents; those that no accent tells apart are spelled out.
const SPELLED = { ß: "ss", ø: "o", đ: "d", ł: "l", æ: "ae", œ: "oe", ı: "i", ð: "d", þ: "th" };
export const folded = (text) => text.toLowerCase().normalize("NFD")
  .replace(/\p{M}/gu, "").replace(/[ßøđłæœıðþ]/g, (letter) => SPELLED[letter]);

export const mapAddress = (lat, lon) =>
  `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=12/${lat}/${lon}`;
