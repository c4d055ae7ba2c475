// The page's data: blocks of compressed JSON, unpacked on first use; the last 48 stay in a cache.

const KEPT = 48;
const unpacked = new Map();

function bytes(letters) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(letters);
  const raw = atob(letters);
  const data = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place += 1) data[place] = raw.charCodeAt(place);
  return data;
}

async function unpack(name) {
  const stream = new Blob([bytes(byId(`data-${name}`).textContent)]).stream();
  return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).json();
}

function block(name) {
  const content = unpacked.get(name) ?? unpack(name);
  // Setting it anew makes it the most recent; the least recently used block is dropped.
  unpacked.delete(name);
  unpacked.set(name, content);
  if (unpacked.size > KEPT) unpacked.delete(unpacked.keys().next().value);
  return content;
}

async function rankingsOf(index, place) {
  const rows = await block(`rankings-${Math.floor(place / index.together)}`);
  return rows[place % index.together];
}

// A document's text, possibly cut, and the length of the whole text; null for a document without text.
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
