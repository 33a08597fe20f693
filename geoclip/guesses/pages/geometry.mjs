// The round world as the unit square of the Mercator projection, x to the east and y to the south.

const RADIUS_KM = 6371;
const RADIANS = Math.PI / 180;

export const worldX = (lon) => lon / 360 + 0.5;
export const worldY = (lat) => {
  const clipped = Math.max(-85, Math.min(85, lat)) * RADIANS;
  return 0.5 - Math.log(Math.tan(Math.PI / 4 + clipped / 2)) / (2 * Math.PI);
};
export const worldPoint = ([lat, lon]) => [worldX(lon), worldY(lat)];
export const lonAt = (x) => (x - Math.floor(x)) * 360 - 180;
export const latAt = (y) => (2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2) / RADIANS;

export const destination = (lat, lon, bearing, km) => {
  const d = km / RADIUS_KM;
  const phi = lat * RADIANS;
  const sinLat = Math.sin(phi) * Math.cos(d) + Math.cos(phi) * Math.sin(d) * Math.cos(bearing);
  const east = Math.atan2(
    Math.sin(bearing) * Math.sin(d) * Math.cos(phi), Math.cos(d) - Math.sin(phi) * sinLat);
  return [Math.asin(Math.max(-1, Math.min(1, sinLat))) / RADIANS, lon + east / RADIANS];
};
export const circle = (lat, lon, km, n = 96) =>
  Array.from({ length: n + 1 }, (_, i) => destination(lat, lon, (i / n) * 2 * Math.PI, km));

const vector = ([lat, lon]) => [
  Math.cos(lat * RADIANS) * Math.cos(lon * RADIANS),
  Math.cos(lat * RADIANS) * Math.sin(lon * RADIANS),
  Math.sin(lat * RADIANS)];
const angleBetween = (a, b) =>
  Math.acos(Math.max(-1, Math.min(1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2])));

export const distanceKm = (from, to) => RADIUS_KM * angleBetween(vector(from), vector(to));

export const greatCircle = (from, to, n) => {
  const [a, b] = [vector(from), vector(to)];
  const angle = angleBetween(a, b);
  if (angle < 1e-6 || angle > Math.PI - 1e-6) return [from, to];
  return Array.from({ length: n + 1 }, (_, i) => {
    const [p, q] = [Math.sin((1 - i / n) * angle), Math.sin((i / n) * angle)];
    const v = a.map((value, k) => (p * value + q * b[k]) / Math.sin(angle));
    return [Math.asin(Math.max(-1, Math.min(1, v[2]))) / RADIANS, Math.atan2(v[1], v[0]) / RADIANS];
  });
};

// The shortest stretch of the round world that holds all values: it ends at their widest gap.
export const narrowest = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  const gap = (i) => sorted[i] - (i > 0 ? sorted[i - 1] : sorted[last] - 1);
  let start = 0;
  for (let i = 1; i <= last; i += 1) if (gap(i) > gap(start)) start = i;
  return [sorted[start], start > 0 ? sorted[start - 1] + 1 : sorted[last]];
};
