// What part of the world a canvas shows, moved by pointer, wheel and keys.
import { lonAt, latAt, narrowest, worldX, worldY } from "./geometry.mjs";

const MOST_SCALE = 400000;

export class View {
  // x, y: world coordinates at the canvas's centre; scale: pixels for one world width.
  constructor(canvas, { draw, click, home }) {
    Object.assign(this, { canvas, home, x: 0.5, y: 0.5, scale: 800, draw, click, waiting: false });
    this.measure();
    this.listen();
  }

  // Asking the canvas lays the page out anew: too slow for each of thousands of marks.
  measure() {
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
  }

  get atMost() { return this.scale >= MOST_SCALE; }

  // Of the world's copies the one whose point is nearest to the view's centre.
  screen(x, y) {
    let dx = x - this.x;
    dx -= Math.round(dx);
    return [this.width / 2 + dx * this.scale, this.height / 2 + (y - this.y) * this.scale];
  }

  place(lat, lon) { return this.screen(worldX(lon), worldY(lat)); }

  // Latitude and longitude at a pixel.
  at(px, py) {
    const x = this.x + (px - this.width / 2) / this.scale;
    const y = this.y + (py - this.height / 2) / this.scale;
    return [latAt(y), lonAt(x)];
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  // Draws in CSS pixels, as sharp as the screen is.
  paint() {
    const { canvas } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw(context, ratio);
  }

  bounded(scale) {
    return Math.max(Math.min(this.width, this.height) * 0.6, Math.min(MOST_SCALE, scale));
  }

  limit() {
    this.scale = this.bounded(this.scale);
    this.x -= Math.floor(this.x);
    this.y = Math.max(0.03, Math.min(0.97, this.y));
    this.redraw();
  }

  pan(dx, dy) { this.x -= dx / this.scale; this.y -= dy / this.scale; this.limit(); }

  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [dx, dy, before] = [px - this.width / 2, py - this.height / 2, this.scale];
    this.scale = this.bounded(before * factor);
    this.x += dx / before - dx / this.scale;
    this.y += dy / before - dy / this.scale;
    this.limit();
  }

  centre(lat, lon, scale) {
    Object.assign(this, { x: worldX(lon), y: worldY(lat), scale: Math.max(this.scale, scale) });
    this.limit();
  }

  // Show all points [lat, lon] beside the buttons, no nearer than `most` pixels for one world width.
  fit(points, most = 12000) {
    if (points.length === 0) {
      Object.assign(this, { x: 0.5, y: 0.45, scale: this.width });
      this.limit();
      return;
    }
    const [west, east] = narrowest(points.map(([, lon]) => worldX(lon)));
    const [north, south] = points.map(([lat]) => worldY(lat))
      .reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)], [Infinity, -Infinity]);
    Object.assign(this, { x: (west + east) / 2, y: (north + south) / 2 });
    const across = Math.max(this.width - 110, 60) / Math.max(east - west, 1e-6);
    const down = Math.max(this.height - 110, 60) / Math.max(south - north, 1e-6);
    this.scale = Math.max(Math.min(across, down, most), this.width * 0.5);
    this.limit();
  }

  listen() {
    const { canvas } = this;
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
      if (pointers.size === 1) this.pan(now[0] - before[0], now[1] - before[1]);
      else {
        const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
        const spread = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
        this.zoom(spread(now) / spread(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      pointers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        const alone = pointers.size === 1;
        if (pointers.delete(event.pointerId) && alone && moved < 5 && name === "pointerup") this.click(...local(event));
      });
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 300), ...local(event));
    }, { passive: false });
    const keys = {
      ArrowLeft: () => this.pan(80, 0), ArrowRight: () => this.pan(-80, 0),
      ArrowUp: () => this.pan(0, 80), ArrowDown: () => this.pan(0, -80),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => this.home(), Enter: () => this.click(this.width / 2, this.height / 2),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });
    for (const [id, act] of [["zoom-in", keys["+"]], ["zoom-out", keys["-"]], ["zoom-all", keys[0]]]) {
      document.getElementById(id).addEventListener("click", act);
    }
    new ResizeObserver(() => { this.measure(); this.limit(); }).observe(canvas);
  }
}
