// What is known of one photo: beside its mark, or on a phone a sheet from below.
import { button, element, isNarrow, picture, positionLine } from "./page.mjs";
import { KINDS, bestOf, kindOf } from "./photo_filter.mjs";
import { kilometres, percent } from "./words.mjs";

const guessRow = (guess) => {
  const row = element("tr");
  row.append(
    element("td", "", guess.place ? `${guess.rank}. ${guess.place}` : `${guess.rank}.`),
    element("td", "", percent(guess.probability)));
  return row;
};

// The lines about a located photo.
const located = (photo) => {
  const best = bestOf(photo);
  const found = [element("p", "told", best.told), positionLine(best.lat, best.lon)];
  const wide = best.radius_90 === null ? "" : `, nine times in ten within ${kilometres(best.radius_90)}`;
  found.push(element("p", "quiet", `${KINDS[kindOf(photo)]}${wide} (source: ${photo.source})`));
  if (photo.error_km !== null) found.push(element("p", "", `${kilometres(photo.error_km)} from the true place`));
  const table = element("table");
  table.append(...photo.guesses.slice(best.sure ? 1 : 0).map(guessRow));
  if (table.childElementCount > 0) found.push(table);
  return found;
};

export const fillDetails = (popup, photo, stack, { close, select }) => {
  const closer = button("close", "\u00d7", close);
  closer.setAttribute("aria-label", "Close");
  popup.replaceChildren(element("h2", "", photo.name), closer);
  if (photo.thumb) popup.append(picture(photo.thumb, "photo"));
  if (photo.taken) popup.append(element("p", "quiet", `Taken ${photo.taken.replace("T", " ")}`));
  if (bestOf(photo) === null) popup.append(element("p", "", `Not located: ${photo.status}.`));
  else popup.append(...located(photo));
  if (stack.length > 1) {
    const at = stack.indexOf(photo);
    popup.append(button("next", `Next of ${stack.length} photos here`, () => select(stack[(at + 1) % stack.length], stack)));
  }
};

// Beside a point of the view, within the view; the style sheet places a sheet.
export const placeDetails = (popup, view, point) => {
  if (popup.hidden) return;
  if (isNarrow()) {
    popup.style.left = "";
    popup.style.top = "";
    return;
  }
  const [x, y] = point === null ? [view.width / 2, view.height / 3] : point;
  const left = x + 16 + popup.offsetWidth < view.width ? x + 16 : x - 16 - popup.offsetWidth;
  popup.style.left = `${Math.max(8, Math.min(view.width - popup.offsetWidth - 8, left))}px`;
  popup.style.top = `${Math.max(8, Math.min(view.height - popup.offsetHeight - 8, y - 40))}px`;
};
