// A link with the input as compressed JSON after the #, a part that browsers never send to a server.

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
  const input = {
    query: byId("query").value,
    documents: byId("documents").value,
    explain: Number(byId("explain").value),
    right: settingsOf("right"),
  };
  if (byId("compare").checked) input.left = settingsOf("left");
  const letters = await pack(input);
  if (letters.length > LONGEST) throw new Error(`The input is too long for a link (${letters.length.toLocaleString("en")} letters; ${LONGEST.toLocaleString("en")} are the most)`);
  return `${location.href.replace(/#.*$/, "")}#input=${letters}`;
}

async function openLink() {
  const match = /^#input=([\w-]+)$/.exec(location.hash);
  if (!match) return false;
  let input;
  try {
    input = await unpack(match[1]);
  } catch {
    throw new Error("The link’s input cannot be read; it may have been cut off");
  }
  byId("query").value = String(input.query ?? "");
  byId("documents").value = String(input.documents ?? "");
  byId("explain").value = Number(input.explain) || 0;
  restore("right", input.right);
  byId("compare").checked = Boolean(input.left);
  if (input.left) restore("left", input.left);
  countInput();
  return true;
}
