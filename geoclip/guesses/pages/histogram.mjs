// How many photos were taken when. A time is text as 2024-05-31T10:20, by the camera's own clock.

const MOST_STEPS = 90;
export const DAY = 1440;
// Steps that a reader counts in: of minutes, and where these are too short of months.
const STEPS = [1, 5, 15, 60, 180, 720, DAY, 7 * DAY];
const MONTHS = [1, 3, 12, 120];

// Minutes since 1970; of a day alone, its beginning.
export const minutesOf = (time) => Date.parse(time.length > 10 ? `${time}Z` : time) / 60000;
export const timeOf = (minutes) => new Date(minutes * 60000).toISOString().slice(0, 16);

const evenEdges = (first, last, step) => {
  const begin = Math.floor(first / step);
  return Array.from({ length: Math.floor(last / step) - begin + 2 }, (_, i) => (begin + i) * step);
};
const monthOf = (minutes) => {
  const date = new Date(minutes * 60000);
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
};
const monthEdges = (first, last, step) =>
  evenEdges(monthOf(first), monthOf(last), step).map((month) => Date.UTC(1970, month) / 60000);

// Where steps begin, and behind them where the last ends (minutes), and the times in each step.
export const histogram = (times) => {
  const at = times.map(minutesOf);
  const [first, last] = at.reduce(([low, high], t) => [Math.min(low, t), Math.max(high, t)], [Infinity, -Infinity]);
  const step = STEPS.find((one) => last - first < one * (MOST_STEPS - 1));
  const months = MONTHS.find((one) => monthOf(last) - monthOf(first) < one * (MOST_STEPS - 1)) || MONTHS.at(-1);
  const edges = step ? evenEdges(first, last, step) : monthEdges(first, last, months);
  const counts = edges.slice(1).map(() => 0);
  for (const t of at) counts[stepOf(edges, t)] += 1;
  return { edges, counts };
};

// The step that holds a time, by bisection; the first or last where it is before or behind all.
export const stepOf = (edges, minutes) => {
  let [low, high] = [0, edges.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (edges[middle] <= minutes) low = middle;
    else high = middle;
  }
  return low;
};
