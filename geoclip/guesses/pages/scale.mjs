// Certainty as colour and fading, on a scale that the photos of this page fill.

const STOPS = {
  light: [[196, 78, 0], [173, 29, 94], [59, 15, 112]],
  dark: [[214, 104, 120], [240, 145, 70], [255, 226, 120]],
};

// Five quantiles of the probabilities: a quarter of the photos lies between two of them.
export const quantiles = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return [0, 0.25, 0.5, 0.75, 1];
  return [0, 0.25, 0.5, 0.75, 1].map((q) => {
    const at = q * (sorted.length - 1);
    const low = Math.floor(at);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
  });
};

// Where a probability stands on the scale, from 0 to 1.
export const standing = (knots, p) => {
  if (knots[0] === knots[4]) return 1;
  let part = 0;
  while (part < 3 && p > knots[part + 1]) part += 1;
  const width = knots[part + 1] - knots[part];
  const within = width > 0 ? Math.max(0, Math.min(1, (p - knots[part]) / width)) : 1;
  return (part + within) / 4;
};

export const scaleColour = (scheme, t) => {
  const stops = STOPS[scheme];
  const at = t * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  return stops[low].map((v, i) => Math.round(v + (at - low) * (stops[low + 1][i] - v)));
};
export const opacity = (t) => 0.4 + 0.6 * t;
export const css = (rgb, alpha = 1) => `rgba(${rgb.join(",")},${alpha})`;
