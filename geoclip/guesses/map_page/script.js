"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const photos = data.photos;
  const placed = photos.filter((photo) => photo.guesses.length > 0);
  const canvas = document.getElementById("map");
  const context = canvas.getContext("2d");
  const popup = document.getElementById("popup");
  const list = document.getElementById("photos");
  const TRUTH = "#0f7a4a";
  const UNREAD = "#a3adb8";
  const STOPS = [[255, 196, 77], [224, 82, 74], [76, 20, 110]];
  const PAGE = 200;
  const RADIUS_KM = 6371;
  const radians = Math.PI / 180;

  // The world is the unit square of the Mercator projection, x to the east and y to the south.
  const worldX = (lon) => lon / 360 + 0.5;
  const worldY = (lat) => {
    const clipped = Math.max(-85, Math.min(85, lat)) * radians;
    return 0.5 - Math.log(Math.tan(Math.PI / 4 + clipped / 2)) / (2 * Math.PI);
  };

  const land = data.countries.map((rings) => {
    const path = new Path2D();
    for (const ring of rings) {
      let lon = 0;
      let lat = 0;
      for (let i = 0; i < ring.length; i += 2) {
        lon += ring[i];
        lat += ring[i + 1];
        const x = worldX(lon / data.steps);
        const y = worldY(lat / data.steps);
        if (i === 0) path.moveTo(x, y);
        else path.lineTo(x, y);
      }
      path.closePath();
    }
    return path;
  });

  // view: the world coordinates at the canvas's centre, and pixels for one world width.
  const view = { x: 0.5, y: 0.5, scale: 800 };
  let selected = null;
  let stack = [];

  const colour = (probability) => {
    if (probability === null) return "#4c6a8a";
    const t = Math.sqrt(Math.max(0, Math.min(1, probability))) * (STOPS.length - 1);
    const low = Math.min(STOPS.length - 2, Math.floor(t));
    const mixed = STOPS[low].map((v, i) => Math.round(v + (t - low) * (STOPS[low + 1][i] - v)));
    return `rgb(${mixed.join(",")})`;
  };
  // A point of no named place is a hollow dot.
  const fill = (guess) => (guess.sure ? colour(guess.probability) : "#fff");
  const percent = (p) => {
    if (p === null) return "";
    if (p > 0 && p < 0.0005) return "< 0.1 %";
    if (p >= 0.995 && p < 1) return "> 99 %";
    return p >= 0.0995 ? `${Math.round(p * 100)} %` : `${(p * 100).toFixed(1)} %`;
  };
  const kilometres = (km) => (km < 10 ? `${km.toFixed(1)} km` : `${Math.round(km).toLocaleString("en")} km`);
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
  const toScreen = (lat, lon) => {
    const { width, height } = size();
    // Of the world's copies the one whose point is nearest to the view's centre.
    let dx = worldX(lon) - view.x;
    dx -= Math.round(dx);
    return [width / 2 + dx * view.scale, height / 2 + (worldY(lat) - view.y) * view.scale];
  };

  const destination = (lat, lon, bearing, km) => {
    const d = km / RADIUS_KM;
    const sinLat = Math.sin(lat * radians) * Math.cos(d)
      + Math.cos(lat * radians) * Math.sin(d) * Math.cos(bearing);
    const east = Math.atan2(
      Math.sin(bearing) * Math.sin(d) * Math.cos(lat * radians),
      Math.cos(d) - Math.sin(lat * radians) * sinLat);
    return [Math.asin(Math.max(-1, Math.min(1, sinLat))) / radians, lon + east / radians];
  };
  const vector = ([lat, lon]) => [
    Math.cos(lat * radians) * Math.cos(lon * radians),
    Math.cos(lat * radians) * Math.sin(lon * radians),
    Math.sin(lat * radians)];
  const greatCircle = (from, to, n) => {
    const [a, b] = [vector(from), vector(to)];
    const angle = Math.acos(Math.max(-1, Math.min(1, a[0] * b[0] + a[1] * b[1] + a[2] * b[2])));
    if (angle < 1e-6 || angle > Math.PI - 1e-6) return [from, to];
    return Array.from({ length: n + 1 }, (_, i) => {
      const [p, q] = [Math.sin((1 - i / n) * angle), Math.sin((i / n) * angle)];
      const v = a.map((value, k) => (p * value + q * b[k]) / Math.sin(angle));
      return [Math.asin(Math.max(-1, Math.min(1, v[2]))) / radians, Math.atan2(v[1], v[0]) / radians];
    });
  };
  const trace = (points) => {
    context.beginPath();
    let last = null;
    for (const [lat, lon] of points) {
      const [x, y] = toScreen(lat, lon);
      // A jump over half the world is the seam between two copies of it.
      if (last === null || Math.abs(x - last) > view.scale / 2) context.moveTo(x, y);
      else context.lineTo(x, y);
      last = x;
    }
  };
  const dot = (lat, lon, radius, fill, stroke, width) => {
    const [x, y] = toScreen(lat, lon);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (fill) { context.fillStyle = fill; context.fill(); }
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
  };
  const cross = (lat, lon, radius) => {
    const [x, y] = toScreen(lat, lon);
    for (const [stroke, width] of [["#fff", 4.5], [TRUTH, 2.5]]) {
      context.beginPath();
      context.moveTo(x - radius, y); context.lineTo(x + radius, y);
      context.moveTo(x, y - radius); context.lineTo(x, y + radius);
      context.strokeStyle = stroke;
      context.lineWidth = width;
      context.stroke();
    }
  };

  const drawLand = (ratio) => {
    const { width, height } = size();
    const reach = width / 2 / view.scale;
    for (let copy = Math.floor(view.x - reach); copy <= Math.floor(view.x + reach); copy += 1) {
      context.setTransform(
        ratio * view.scale, 0, 0, ratio * view.scale,
        ratio * (width / 2 + (copy - view.x) * view.scale),
        ratio * (height / 2 - view.y * view.scale));
      context.fillStyle = "#f7f4ec";
      context.strokeStyle = "#b9b3a4";
      context.lineWidth = 0.8 / view.scale;
      for (const path of land) { context.fill(path, "evenodd"); context.stroke(path); }
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  };
  const drawSelected = () => {
    if (selected === null || selected.guesses.length === 0) return;
    const best = selected.guesses[0];
    for (const [radius, width] of [[best.radius, 1.5], [best.radius_90, 0.7]]) {
      if (radius === null) continue;
      trace(Array.from({ length: 97 }, (_, i) =>
        destination(best.lat, best.lon, (i / 96) * 2 * Math.PI, radius)));
      context.strokeStyle = "#1769c2";
      context.lineWidth = width;
      context.setLineDash([6, 4]);
      context.stroke();
      context.setLineDash([]);
    }
    // An alternative that is a continent has no spot of its own on the map.
    for (const guess of selected.guesses.slice(1)) if (guess.drawn) dot(guess.lat, guess.lon, 4.5, "#fff", colour(guess.probability), 2.5);
    if (selected.truth !== null) {
      trace(greatCircle([best.lat, best.lon], selected.truth, 64));
      context.strokeStyle = TRUTH;
      context.lineWidth = 2.5;
      context.stroke();
      cross(...selected.truth, 7);
    }
    dot(best.lat, best.lon, 7.5, fill(best), "#0b3a6e", 3);
  };
  let waiting = false;
  const draw = () => {
    waiting = false;
    const { width, height } = size();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    drawLand(ratio);
    context.globalAlpha = 0.45;
    for (const photo of placed) {
      if (photo.truth === null) continue;
      trace(greatCircle([photo.guesses[0].lat, photo.guesses[0].lon], photo.truth, 24));
      context.strokeStyle = TRUTH;
      context.lineWidth = 1;
      context.stroke();
    }
    context.globalAlpha = 1;
    for (const photo of placed) if (photo.truth !== null) cross(...photo.truth, 3.5);
    for (const photo of placed) {
      const best = photo.guesses[0];
      if (best.sure) dot(best.lat, best.lon, 5, colour(best.probability), "#fff", 1.2);
      else dot(best.lat, best.lon, 4, fill(best), UNREAD, 2);
    }
    drawSelected();
    movePopup();
  };
  const redraw = () => {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  };

  const limit = () => {
    const { width, height } = size();
    view.scale = Math.max(Math.min(width, height) * 0.6, Math.min(400000, view.scale));
    view.x -= Math.floor(view.x);
    view.y = Math.max(0.03, Math.min(0.97, view.y));
    redraw();
  };
  const pan = (dx, dy) => { view.x -= dx / view.scale; view.y -= dy / view.scale; limit(); };
  const zoom = (factor, px, py) => {
    const { width, height } = size();
    const [dx, dy] = [px === undefined ? 0 : px - width / 2, py === undefined ? 0 : py - height / 2];
    const before = view.scale;
    view.scale = Math.max(Math.min(width, height) * 0.6, Math.min(400000, before * factor));
    view.x += dx / before - dx / view.scale;
    view.y += dy / before - dy / view.scale;
    limit();
  };
  // The shortest stretch of the round world that holds all values: it ends at their widest gap.
  const narrowest = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const gap = (i) => sorted[i] - (i > 0 ? sorted[i - 1] : sorted[sorted.length - 1] - 1);
    let start = 0;
    for (let i = 1; i < sorted.length; i += 1) if (gap(i) > gap(start)) start = i;
    return [sorted[start], start > 0 ? sorted[start - 1] + 1 : sorted[sorted.length - 1]];
  };
  const fit = () => {
    const { width, height } = size();
    const points = placed.flatMap((photo) => [
      [photo.guesses[0].lat, photo.guesses[0].lon], ...(photo.truth === null ? [] : [photo.truth])]);
    if (points.length === 0) { Object.assign(view, { x: 0.5, y: 0.45, scale: width }); limit(); return; }
    const span = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    const [west, east] = narrowest(points.map(([, lon]) => worldX(lon)));
    const [north, south] = span(points.map(([lat]) => worldY(lat)));
    view.x = (west + east) / 2;
    view.y = (north + south) / 2;
    const room = Math.min((width - 90) / Math.max(east - west, 0.01), (height - 90) / Math.max(south - north, 0.01));
    view.scale = Math.max(Math.min(room, 12000), width * 0.5);
    limit();
  };

  const movePopup = () => {
    if (popup.hidden) return;
    const { width, height } = size();
    const [x, y] = selected !== null && selected.guesses.length > 0
      ? toScreen(selected.guesses[0].lat, selected.guesses[0].lon) : [width / 2, height / 3];
    const left = x + 16 + popup.offsetWidth < width ? x + 16 : x - 16 - popup.offsetWidth;
    popup.style.left = `${Math.max(8, Math.min(width - popup.offsetWidth - 8, left))}px`;
    popup.style.top = `${Math.max(8, Math.min(height - popup.offsetHeight - 8, y - 40))}px`;
  };
  const guessRow = (guess) => {
    const row = element("tr");
    row.append(element("td", "", guess.place ? `${guess.rank}. ${guess.place}` : `${guess.rank}.`), element("td", "", percent(guess.probability)));
    return row;
  };
  const fillPopup = (photo) => {
    popup.replaceChildren();
    const close = element("button", "close", "\u00d7");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", unselect);
    popup.append(element("h2", "", photo.name), close);
    if (photo.guesses.length === 0) { popup.append(element("p", "", `Not located: ${photo.status}.`)); return; }
    const best = photo.guesses[0];
    popup.append(element("p", "told", best.told));
    const wide = best.radius_90 === null ? "" : `, nine times in ten within ${kilometres(best.radius_90)}`;
    popup.append(element("p", "", `${best.lat.toFixed(4)}, ${best.lon.toFixed(4)}${wide} (source: ${photo.source})`));
    if (photo.error_km !== null) popup.append(element("p", "", `${kilometres(photo.error_km)} from the true place`));
    const table = element("table");
    table.append(...photo.guesses.slice(best.sure ? 1 : 0).map(guessRow));
    popup.append(table);
    if (stack.length > 1) {
      const next = element("button", "", `Next of ${stack.length} photos here`);
      next.type = "button";
      next.addEventListener("click", () => select(stack[(stack.indexOf(photo) + 1) % stack.length], false));
      popup.append(next);
    }
  };
  const mark = () => {
    for (const button of list.querySelectorAll("button")) {
      button.setAttribute("aria-current", String(photos[Number(button.dataset.index)] === selected));
    }
  };
  const select = (photo, centre) => {
    selected = photo;
    fillPopup(photo);
    popup.hidden = false;
    if (centre && photo.guesses.length > 0) {
      view.x = worldX(photo.guesses[0].lon);
      view.y = worldY(photo.guesses[0].lat);
      view.scale = Math.max(view.scale, 2500);
    }
    mark();
    limit();
    popup.focus({ preventScroll: true });
  };
  const unselect = () => {
    popup.hidden = true;
    const button = selected === null ? null : list.querySelector('[aria-current="true"]');
    selected = null;
    stack = [];
    mark();
    redraw();
    (button || canvas).focus({ preventScroll: true });
  };
  const selectAt = (px, py) => {
    const near = placed.map((photo) => {
      const [x, y] = toScreen(photo.guesses[0].lat, photo.guesses[0].lon);
      return [Math.hypot(x - px, y - py), photo];
    }).filter(([distance]) => distance < 12).sort((a, b) => a[0] - b[0]);
    stack = near.map(([, photo]) => photo);
    if (stack.length > 0) select(stack[0], false);
    else if (selected !== null) unselect();
  };

  // One pointer drags, two pinch; a press that hardly moved is a click.
  const pointers = new Map();
  let moved = 0;
  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, local(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    const now = local(event);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (pointers.size === 1) pan(now[0] - before[0], now[1] - before[1]);
    else {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const spread = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
      zoom(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    pointers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      const alone = pointers.size === 1;
      if (pointers.delete(event.pointerId) && alone && moved < 5 && name === "pointerup") selectAt(...local(event));
    });
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 300), ...local(event));
  }, { passive: false });
  const KEYS = {
    ArrowLeft: () => pan(80, 0), ArrowRight: () => pan(-80, 0),
    ArrowUp: () => pan(0, 80), ArrowDown: () => pan(0, -80),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !popup.hidden) unselect();
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  document.getElementById("zoom-all").addEventListener("click", fit);
  window.addEventListener("resize", limit);

  const filter = document.getElementById("filter");
  const more = document.getElementById("more");
  const matches = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return photos.filter((photo) => {
      const text = [photo.name, photo.status, ...photo.guesses.slice(0, 1).map((g) => (g.sure ? g.place : "cannot tell"))].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
  };
  const listItem = (photo) => {
    const button = element("button");
    button.type = "button";
    button.dataset.index = photos.indexOf(photo);
    const best = photo.guesses.length > 0 ? photo.guesses[0] : null;
    const spot = element("span", "dot");
    spot.style.background = best === null ? UNREAD : fill(best);
    if (best !== null && !best.sure) spot.style.boxShadow = `inset 0 0 0 2px ${UNREAD}`;
    const error = photo.error_km === null ? "" : ` \u2014 off by ${kilometres(photo.error_km)}`;
    button.append(
      spot, element("span", "name", photo.name), element("span", "", best === null || !best.sure ? "" : percent(best.probability)),
      element("span", "place", best === null ? photo.status : (best.sure ? best.place : "cannot tell") + error));
    button.addEventListener("click", () => { stack = []; select(photo, true); });
    const item = element("li");
    item.append(button);
    return item;
  };
  const extendList = () => {
    const found = matches();
    const from = list.childElementCount;
    list.append(...found.slice(from, from + PAGE).map(listItem));
    more.hidden = list.childElementCount >= found.length;
    document.getElementById("shown").textContent =
      `${list.childElementCount.toLocaleString("en")} of ${found.length.toLocaleString("en")} photos`;
    mark();
  };
  filter.addEventListener("input", () => { list.replaceChildren(); extendList(); });
  more.addEventListener("click", extendList);

  const legend = document.getElementById("legend");
  const legendRow = (...parts) => { const row = element("div"); row.append(...parts); legend.append(row); };
  const bar = element("span", "bar");
  bar.style.background = `linear-gradient(90deg, ${[0, 0.05, 0.25, 0.55, 1].map((p) => `${colour(p)} ${Math.sqrt(p) * 100}%`).join(", ")})`;
  legendRow(element("span", "", "probability 0"), bar, element("span", "", "100 %"));
  if (photos.some((photo) => photo.truth !== null)) {
    const sign = element("span", "", "+");
    sign.style.color = TRUTH;
    sign.style.fontWeight = "bold";
    legendRow(sign, element("span", "", "true place, with a line from the guess"));
  }
  if (placed.some((photo) => !photo.guesses[0].sure)) {
    const hollow = element("span", "dot");
    hollow.style.boxShadow = `inset 0 0 0 2px ${UNREAD}`;
    legendRow(hollow, element("span", "", "cannot tell"));
  }
  const unread = photos.length - placed.length;
  document.getElementById("summary").textContent =
    `${placed.length.toLocaleString("en")} photos located` + (unread ? `, ${unread.toLocaleString("en")} not` : "");
  extendList();
  fit();
})();
