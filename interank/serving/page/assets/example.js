// The question and the passages of the first ranking in the README (data/passages).

const EXAMPLE = {
  query: "What makes an old house lose so much heat, and what can I do about it?",
  documents: [
    "A new condensing boiler burns less gas than one from the eighties, yet it costs several thousand. Ask for a " +
      "quote in summer, when the installers have time, and have the flue checked before anything is ordered.",
    "A bicycle chain that squeaks is dry, not dirty. Wipe it with a rag, put one drop of oil on each link, turn " +
      "the pedals backwards for a minute and wipe again. What stays outside the links only gathers sand.",
    "Most of the warmth of an old house leaves through gaps: around window frames, under doors, through the " +
      "letter box and up an unused chimney. Rubber strips cost little and are glued on in an afternoon. A candle " +
      "held near the frame shows where the air moves.",
    "An electric fan heater warms a small room within minutes. It is cheap to buy and dear to run: each hour " +
      "costs as much as a whole evening of gas. Never leave it on while you sleep or near a towel.",
    "Warm air rises, and a roof without insulation lets a quarter of it go. Laying mineral wool between and " +
      "across the joists of the loft is work for a weekend. It pays for itself within two or three winters, sooner " +
      "where the house is heated with gas.",
    "Bleed the radiators in autumn, since air in them keeps the upper half cold. Keep curtains and sofas away " +
      "from them. A valve with a thermostat lets each room be as warm as it has to be, so that nobody heats the " +
      "hall all night.",
  ],
};
