// What Python wrote: the data of the page, and the numbers of each frame.
const data = JSON.parse(document.getElementById('data').textContent);
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Numbers by their upper bytes: three of a float of four, or four of one of eight. */
function floats(text) {
  const bytes = atob(text);
  const kept = data.wide ? 4 : 3;
  const view = new DataView(new ArrayBuffer(8));
  const numbers = new Float64Array(bytes.length / kept);
  for (let i = 0; i < numbers.length; i += 1) {
    for (let k = 0; k < kept; k += 1) view.setUint8(k, bytes.charCodeAt(kept * i + k));
    numbers[i] = data.wide ? view.getFloat64(0) : view.getFloat32(0);
  }
  return numbers;
}

/** Whole numbers of `width` digits to the base of 64 each. */
function whole(text, width) {
  const found = [];
  for (let i = 0; i < text.length; i += width) {
    let n = 0;
    for (let k = 0; k < width; k += 1) n = 64 * n + DIGITS.indexOf(text[i + k]);
    found.push(n);
  }
  return found;
}

/** Texts from those before and what is new: 0 nothing, "=…" the text, else its numbers, empty ones as before. */
function renewed(changes, before) {
  const number = /(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)/;
  return changes.map(function (change, i) {
    if (change === 0) return before[i];
    if (change[0] === '=') return change.slice(1);
    const parts = before[i].split(number);
    change.split('|').forEach(function (text, k) { if (text) parts[2 * k + 1] = text; });
    return parts.join('');
  });
}

// Where the numbers of each slot begin, among those that stay as they are or those of a frame.
const starts = [];
const ends = { still: 0, moving: 0 };
data.slots.forEach(function (slot) {
  const kind = slot.still ? 'still' : 'moving';
  starts.push(ends[kind]);
  ends[kind] += slot.r * slot.c;
});
const still = floats(data.still);
const frames = [];
data.frames.forEach(function (frame, i) {
  const made = { packed: frame.n, numbers: null, marks: whole(frame.m, 2), widths: whole(frame.w, 1) };
  ['t', 'c', 'd'].forEach(function (kind) { made[kind] = renewed(frame[kind], i ? frames[i - 1][kind] : []); });
  frames.push(made);
});
let moment = 0;

/** The numbers of one slot in the frame that is shown, with its shape; null for slot −1. */
function numbersOf(slot) {
  if (slot < 0) return null;
  const held = frames[moment];
  if (held.numbers === null) held.numbers = floats(held.packed);
  const about = data.slots[slot];
  const values = (about.still ? still : held.numbers).subarray(starts[slot], starts[slot] + about.r * about.c);
  return { values: values, r: about.r, c: about.c, shape: about.shape, rows: about.rows, columns: about.columns };
}

/** A number with four digits, as the cards write theirs with three. */
function shown(x) {
  if (Number.isNaN(x)) return 'NaN';
  if (!Number.isFinite(x)) return x > 0 ? 'Inf' : '-Inf';
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size >= 1e6 || size < 1e-4) return x.toExponential(3).replace(/\.?0+e/, 'e').replace('e+', 'e');
  const text = x.toPrecision(4);
  if (text.includes('e')) return String(Math.round(x));
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** A number with two digits, for an axis. */
function brief(x) {
  const size = Math.abs(x);
  return size !== 0 && (size < 0.001 || size >= 1e5) ? x.toExponential(1).replace('e+', 'e') : String(Number(x.toPrecision(2)));
}

function shapeOf(shape) {
  return shape.length === 0 ? 'a number' : shape.length === 1 ? '(' + shape[0] + ',)' : '(' + shape.join(', ') + ')';
}
