// Photos that would hide one another are drawn as one mark with their number.

// Marks of items {x, y} (world coordinates) no closer than `radius` pixels at a scale of `scale`
// pixels for one world width; each is {x, y, items}. Every item is in exactly one mark.
export const clusters = (items, scale, radius) => {
  const reach = radius / scale;
  const cells = new Map();
  const key = (column, row) => column * 67108864 + row;
  const cellOf = (item) => [Math.floor(item.x / reach), Math.floor(item.y / reach)];
  items.forEach((item) => {
    const cell = key(...cellOf(item));
    const there = cells.get(cell);
    if (there === undefined) cells.set(cell, [item]);
    else there.push(item);
  });
  const taken = new Set();
  const marks = [];
  for (const item of items) {
    if (taken.has(item)) continue;
    const [column, row] = cellOf(item);
    const group = [];
    for (let dx = -1; dx <= 1; dx += 1) {
      for (let dy = -1; dy <= 1; dy += 1) {
        const cell = key(column + dx, row + dy);
        const left = [];
        for (const other of cells.get(cell) || []) {
          if (taken.has(other)) continue;
          const near = Math.hypot(other.x - item.x, other.y - item.y) < reach;
          if (near) group.push(other);
          else left.push(other);
        }
        cells.set(cell, left);
      }
    }
    for (const other of group) taken.add(other);
    const mean = (name) => group.reduce((sum, other) => sum + other[name], 0) / group.length;
    marks.push({ x: mean("x"), y: mean("y"), items: group });
  }
  return marks;
};
