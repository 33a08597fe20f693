// Small helpers of pages: elements, colours of the scheme, the clipboard.
import { mapAddress, degrees } from "./words.mjs";

export const byId = (id) => document.getElementById(id);
export const pageData = () => JSON.parse(byId("data").textContent);
export const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
export const button = (className, text, act) => {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
};
export const picture = (base64, className) => {
  const made = element("img", className);
  made.alt = "";
  made.src = `data:image/jpeg;base64,${base64}`;
  return made;
};

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const COLOURS = ["sea", "land", "border", "ink", "halo", "muted", "truth", "gps", "accent", "cluster"];
// The colours of the style sheet, for drawing; `scheme` is light or dark.
export const palette = () => {
  const style = getComputedStyle(document.documentElement);
  const found = COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return { scheme: dark.matches ? "dark" : "light", ...Object.fromEntries(found) };
};
export const onScheme = (act) => dark.addEventListener("change", act);
export const isNarrow = () => window.matchMedia("(max-width: 700px)").matches;

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
};
// A position with what one does with it: copy it, look at it on a street map in another tab.
export const positionLine = (lat, lon) => {
  const line = element("p", "position");
  const shown = element("span", "degrees", degrees(lat, lon));
  const copied = button("small", "Copy", async () => {
    if (await copy(shown.textContent)) copied.textContent = "Copied";
    else window.getSelection().selectAllChildren(shown);
  });
  copied.setAttribute("aria-label", "Copy the coordinates");
  const link = element("a", "", "OpenStreetMap");
  Object.assign(link, { href: mapAddress(lat, lon), target: "_blank", rel: "noopener noreferrer" });
  line.append(shown, " ", copied, " ", link);
  return line;
};
