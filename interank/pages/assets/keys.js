// Keyboard control: arrows within and between lists, letters for actions. Input fields keep their own keys.

function step(list, from, key) {
  const buttons = [...list.querySelectorAll("button")];
  const place = buttons.indexOf(from);
  const goal = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: buttons.length - 1 }[key];
  const target = buttons[Math.max(0, Math.min(buttons.length - 1, goal))];
  if (!target) return;
  for (const button of [from, target]) button.tabIndex = button === target ? 0 : -1;
  target.focus();
}

function across(from, side) {
  const same = byId(`${side}-list`).querySelector(`[data-place="${from.dataset.place}"]`);
  const target = same ?? byId(`${side}-list`).querySelector("button");
  target?.focus();
}

function onListKey(event) {
  const from = event.target.closest("button");
  const list = event.target.closest("ul, ol");
  if (!from || !list) return;
  if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) step(list, from, event.key);
  else if (event.key === "ArrowLeft" && from.dataset.side) across(from, "left");
  else if (event.key === "ArrowRight" && from.dataset.side) across(from, "right");
  else return;
  event.preventDefault();
}

function onLetter(event, actions) {
  const typing = event.target.closest?.("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}
