// One mark for each kind of photo: round guesses, square GPS, triangles by album, diamonds by
// gallery, hollow where nothing can be told, a cross for the truth.

export const shape = (context, kind, x, y, r) => {
  context.beginPath();
  if (kind === "gps") context.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
  else if (kind === "album" || kind === "gallery") {
    const corners = kind === "album"
      ? [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]] : [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]];
    corners.forEach(([dx, dy], i) => context[i ? "lineTo" : "moveTo"](x + r * dx, y + r * dy));
    context.closePath();
  } else context.arc(x, y, r, 0, 2 * Math.PI);
};

// The outline keeps the mark apart from the map however faint its colour is.
export const mark = (context, colours, kind, x, y, r, fill) => {
  shape(context, kind, x, y, r);
  Object.assign(context, { strokeStyle: colours.halo, lineWidth: 4.5 });
  context.stroke();
  context.fillStyle = colours.halo;
  context.fill();
  if (fill) { context.fillStyle = fill; context.fill(); }
  Object.assign(context, { strokeStyle: colours.ink, lineWidth: 1.3 });
  context.stroke();
};

// Of rectangles: thousands of strokes take longer than a frame.
export const cross = (context, colours, x, y, r) => {
  for (const [colour, half] of [[colours.halo, 2.5], [colours.truth, 1.3]]) {
    context.fillStyle = colour;
    context.fillRect(x - r, y - half, 2 * r, 2 * half);
    context.fillRect(x - half, y - r, 2 * half, 2 * r);
  }
};

export const clusterRadius = (n) => 10 + 2.2 * Math.log2(n);

export const clusterMark = (context, colours, x, y, n) => {
  const r = clusterRadius(n);
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  Object.assign(context, { fillStyle: colours.cluster, strokeStyle: colours.halo, lineWidth: 2 });
  context.fill();
  context.stroke();
  Object.assign(context, { fillStyle: "#fff", font: "600 11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
  context.fillText(n < 10000 ? String(n) : `${Math.round(n / 1000)}k`, x, y + 0.5);
};
