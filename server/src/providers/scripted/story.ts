/** A deterministic story about otters in space, as long as asked for, one token at a time. */

const WHO = [
  'the otter',
  'a young otter',
  'the captain',
  'her crew',
  'the old pilot',
  'a stowaway',
  'the navigator',
  'every whisker aboard',
];
const DID = [
  'drifted past',
  'listened to',
  'dreamed of',
  'mapped',
  'swam through',
  'cracked open',
  'waved at',
  'circled',
];
const WHAT = [
  'a river of starlight',
  'the silent moon',
  'an amber nebula',
  'the frozen comet',
  'a shell of glass',
  'the last lighthouse',
  'a tide without water',
  'the quiet engine',
];
const WHEN = [
  'before dawn',
  'in zero gravity',
  'for seven orbits',
  'without a sound',
  'holding paws',
  'far from any shore',
  'again and again',
  'with great care',
];

/** Tokens of a story; the same seed tells the same one. Each but the first begins with its space. */
export function* tellStory(seed: number): Generator<string, never, undefined> {
  const next = randomFrom(seed);
  for (let sentence = 0; ; sentence += 1) {
    const words = [WHO, DID, WHAT, WHEN]
      .map((words) => words[next(words.length)] ?? '')
      .join(' ')
      .split(' ');
    for (const [index, word] of words.entries()) {
      const shown = index === 0 ? word.charAt(0).toUpperCase() + word.slice(1) : word;
      const lead = sentence === 0 && index === 0 ? '' : ' ';
      yield index === words.length - 1 ? `${lead}${shown}.` : `${lead}${shown}`;
    }
  }
}

/** The mulberry32 generator: small, and the same on every machine. Returns whole numbers below `limit`. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit);
  };
}
