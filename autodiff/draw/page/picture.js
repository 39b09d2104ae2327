// The picture itself: the texts, colours and widths of the frame that is shown.
const picture = document.querySelector('#picture svg');
const keys = Object.keys(data.nodes);
const groups = {};
keys.forEach(function (key) { groups[key] = picture.querySelector('g[id="' + key + '"]'); });
const wires = Array.from(picture.querySelectorAll('path.e'));

function recolour() {
  const frame = frames[moment];
  let mark = 0;
  keys.forEach(function (key, n) {
    const lines = frame.t[n].split('\n');
    groups[key].querySelectorAll('text:not(.badge)').forEach(function (text, i) {
      text.textContent = (lines[i] || '').replace(/ {2}/g, '\u00a0\u00a0');
      const bar = text.previousElementSibling;
      const ground = bar && bar.previousElementSibling;
      if (bar && bar.tagName === 'path' && ground && ground.tagName === 'rect') {
        gradient(ground, bar, text, frame.marks[mark]);
        mark += 1;
      }
    });
    groups[key].setAttribute('aria-label', data.nodes[key].kind + ' ' + called(key) + ': ' + lines.join(', '));
  });
  wires.forEach(function (wire, i) {
    const width = frame.widths[i];
    if (width === 0) return;
    wire.setAttribute('class', width > 1 ? 'e flow' : 'e line dash');
    wire.setAttribute('stroke-width', String(width > 1 ? width / 8 : 1.5));
  });
  const caption = frame.c.slice(1).map(function (line) { return element('p', {}, [line]); });
  document.getElementById('caption').replaceChildren.apply(document.getElementById('caption'), caption);
  const findings = frame.d.map(function (line) { return element('li', {}, [line.replace(/^\d+ +/, '')]); });
  document.getElementById('findings').replaceChildren.apply(document.getElementById('findings'), findings);
}

/** Colour the line of a gradient: 0 is zero, 1 none, 2 not finite; from 3 on a step of the ramp with its bar. */
function gradient(ground, bar, text, mark) {
  ground.removeAttribute('fill');
  bar.setAttribute('d', '');
  if (mark >= 3) {
    const step = Math.floor((mark - 3) / 600);
    const x = Number(ground.getAttribute('x')) + 2;
    const y = Number(ground.getAttribute('y')) + Number(ground.getAttribute('height')) - 2;
    const length = ((mark - 3) % 600 / 599 * (Number(ground.getAttribute('width')) - 4)).toFixed(1);
    ground.setAttribute('class', 'g' + step);
    bar.setAttribute('class', 'i' + step);
    bar.setAttribute('d', 'M' + x + ' ' + y + 'h' + length + 'v1.5h-' + length + 'z');
    text.setAttribute('class', 'i' + step);
    return;
  }
  if (mark === 0) ground.setAttribute('fill', 'url(#ngz)');
  ground.setAttribute('class', ['', 'none dash', 'alarm'][mark]);
  text.setAttribute('class', ['', 'muted', 'alarmt b'][mark]);
}

/** Mark nodes with a look, and no others. */
function marked(look, chosenKeys) {
  keys.forEach(function (key) { groups[key].classList.toggle(look, chosenKeys.includes(key)); });
}

/** Bring a node into view, sideways only: the page itself does not jump. */
function intoView(key) {
  const frame = document.getElementById('picture');
  const outer = frame.getBoundingClientRect();
  const inner = groups[key].getBoundingClientRect();
  if (inner.left < outer.left || inner.right > outer.right) {
    frame.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  }
}

/** What to call a node in a sentence. */
function called(key) {
  return data.nodes[key].name;
}
