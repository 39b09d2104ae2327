// The card or box that was chosen: its numbers, their distribution, its formula, its line of code.
let chosen = null;

function slotsOf(key, kind) {
  return data.slots.map(function (slot, i) { return slot.of === key && slot.k === kind ? i : -1; }).filter(function (i) {
    return i >= 0;
  });
}

function inspect(key) {
  chosen = key;
  marked('chosen', [key]);
  const node = data.nodes[key];
  const own = node.original || key;
  const parts = [];
  const about = [];
  document.getElementById('chosen').replaceChildren(node.kind + ' ' + called(key));
  if (node.kind === 'op') {
    const lines = frames[moment].t[keys.indexOf(key)].split('\n').slice(1);
    lines.forEach(function (line) { about.push(element('p', { class: 'formula number' }, [line])); });
    about.push(source(key));
    const step = data.steps.find(function (one) { return one.op === key; });
    if (step) parts.push.apply(parts, ways(step));
  } else {
    about.push(element('p', { class: 'muted' }, [shapeOf(node.shape || []) + (node.dtype ? ', ' + node.dtype : '')]));
    const made = data.steps.find(function (one) { return one.out === key; });
    if (made) about.push(element('p', {}, ['made by ' + called(made.op)]), source(made.op));
    [['value', 'values'], ['grad', 'gradient ∂loss/∂' + called(key)]].forEach(function (pair) {
      slotsOf(own, pair[0]).forEach(function (slot) {
        const array = numbersOf(slot);
        const often = histogram(array, pair[1]);
        const body = [element('h3', {}, [pair[1] + (array.rows ? ', every so many rows and columns' : '')])];
        if (isSmall(array)) body.push(table(array, pair[1]));
        if (array.values.length > 1) body.push(heatMap(array, pair[1]));
        if (often) body.push(often);
        parts.push(element('div', {}, body));
      });
    });
  }
  document.getElementById('details').replaceChildren(element('div', {}, about), element('div', { class: 'columns' }, parts));
}

function source(key) {
  const line = data.nodes[key].source;
  if (line) return element('p', {}, ['line of code: ', element('code', {}, [line])]);
  return element('p', { class: 'muted' }, ['line of code: not recorded (compute inside autodiff.record_sources())']);
}

keys.forEach(function (key) {
  const group = groups[key];
  group.setAttribute('tabindex', '0');
  group.setAttribute('role', 'button');
  group.addEventListener('click', function () { inspect(key); });
  group.addEventListener('keydown', function (event) {
    if (event.key === 'Enter') { inspect(key); event.preventDefault(); }
  });
});
