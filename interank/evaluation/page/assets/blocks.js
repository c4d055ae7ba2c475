// The page's data: blocks of compressed JSON, unpacked when they are wanted and kept for a while.

const KEPT = 48;
const unpacked = new Map();

function bytes(letters) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(letters);
  const raw = atob(letters);
  const found = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place += 1) found[place] = raw.charCodeAt(place);
  return found;
}

async function unpack(name) {
  const stream = new Blob([bytes(byId(`data-${name}`).textContent)]).stream();
  return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).json();
}

function block(name) {
  const found = unpacked.get(name) ?? unpack(name);
  // What was wanted last is forgotten last.
  unpacked.delete(name);
  unpacked.set(name, found);
  if (unpacked.size > KEPT) unpacked.delete(unpacked.keys().next().value);
  return found;
}

async function rankingsOf(index, place) {
  const rows = await block(`rankings-${Math.floor(place / index.together)}`);
  return rows[place % index.together];
}

// A document's text as far as the page holds it, and its whole length; nothing where there is no text.
async function textOf(index, number) {
  if (number === null) return null;
  let low = 0;
  let high = index.starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (index.starts[middle] <= number) low = middle;
    else high = middle - 1;
  }
  const [text, length] = (await block(`texts-${low}`))[number - index.starts[low]];
  return { text, length };
}
