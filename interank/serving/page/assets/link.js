// A link that holds the input: compressed JSON behind the #, which no browser sends.

const LONGEST = 60_000;

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

async function pack(content) {
  const bytes = await through(new TextEncoder().encode(JSON.stringify(content)), new CompressionStream("deflate-raw"));
  let letters = "";
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function unpack(letters) {
  const raw = atob(letters.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(await through(bytes, new DecompressionStream("deflate-raw"))));
}

async function linkOf() {
  const asked = {
    query: byId("query").value,
    documents: byId("documents").value,
    explain: Number(byId("explain").value),
    right: settingsOf("right"),
  };
  if (byId("compare").checked) asked.left = settingsOf("left");
  const letters = await pack(asked);
  if (letters.length > LONGEST) throw new Error(`The input is too long for a link (${letters.length.toLocaleString("en")} letters; ${LONGEST.toLocaleString("en")} are the most)`);
  return `${location.href.replace(/#.*$/, "")}#input=${letters}`;
}

async function openLink() {
  const given = /^#input=([\w-]+)$/.exec(location.hash);
  if (!given) return false;
  let asked;
  try {
    asked = await unpack(given[1]);
  } catch {
    throw new Error("The link’s input cannot be read; it may have been cut off");
  }
  byId("query").value = String(asked.query ?? "");
  byId("documents").value = String(asked.documents ?? "");
  byId("explain").value = Number(asked.explain) || 0;
  restore("right", asked.right);
  byId("compare").checked = Boolean(asked.left);
  if (asked.left) restore("left", asked.left);
  countInput();
  return true;
}
