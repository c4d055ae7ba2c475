// Makes elements with text. Text from documents is never parsed as markup.

// Characters that are invisible or change the text's direction; they are shown by their code points.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/;

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

// Untrusted text, in an element that isolates its direction from the text around it.
function plain(text, tag = "bdi") {
  const made = element(tag);
  made.dir = "auto";
  for (const part of String(text).replaceAll("\r\n", "\n").split(new RegExp(`(${UNSEEN.source})`))) {
    if (!part) continue;
    if (!UNSEEN.test(part)) made.append(part);
    else made.append(element("span", { class: "unseen", textContent: `[U+${number(part)}]` }));
  }
  return made;
}

const number = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

const oneLine = (text, length) => {
  const line = text.slice(0, 4 * length).split(/\s+/).join(" ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
};

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`;

const direction = (value) => (value > 1e-9 ? "better" : value < -1e-9 ? "worse" : "same");
