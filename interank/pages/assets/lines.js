// The lines between the two rankings, one per document.

const SVG = "http://www.w3.org/2000/svg";

function line(path, classes, place) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("d", path);
  made.setAttribute("class", classes);
  made.setAttribute("vector-effect", "non-scaling-stroke");
  made.dataset.place = place;
  return made;
}

function joining(left, right, rows) {
  if (left === undefined) return `M100 ${right + 0.5} C70 ${right + 0.5} 62 ${rows} 62 ${rows}`;
  if (right === undefined) return `M0 ${left + 0.5} C30 ${left + 0.5} 38 ${rows} 38 ${rows}`;
  return `M0 ${left + 0.5} C50 ${left + 0.5} 50 ${right + 0.5} 100 ${right + 0.5}`;
}

function drawLines(found, left, right, depth) {
  const places = new Set([...left.slice(0, depth), ...right.slice(0, depth)]);
  const rows = Math.max(1, Math.min(depth, Math.max(left.length, right.length)));
  const leftRank = new Map(left.slice(0, depth).map((place, rank) => [place, rank]));
  const rightRank = new Map(right.slice(0, depth).map((place, rank) => [place, rank]));
  const drawn = [...places].map((place) => {
    const from = leftRank.get(place);
    const to = rightRank.get(place);
    const before = from ?? Infinity;
    const after = to ?? Infinity;
    const way = after < before ? "up" : after > before ? "down" : "level";
    const relevant = found.gold[place] > 0 ? " relevant" : "";
    const gone = from === undefined || to === undefined ? " gone" : "";
    return line(joining(from, to, rows), `${way}${relevant}${gone}`, place);
  });
  // Relevant documents' lines are drawn last, above the others.
  drawn.sort((a, b) => a.classList.contains("relevant") - b.classList.contains("relevant"));
  const svg = byId("lines");
  svg.setAttribute("viewBox", `0 0 100 ${rows}`);
  svg.style.height = `calc(${rows} * var(--row))`;
  svg.replaceChildren(...drawn);
}

function markLine() {
  for (const path of byId("lines").children) {
    path.classList.toggle("chosen", Number(path.dataset.place) === choice.document);
  }
}
