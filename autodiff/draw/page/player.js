// The backward pass, step by step, with its numbers.
const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
let at = 0;
let playing = null;

/** What has reached a tensor up to a step: how many gradients, of how many, and their sum. */
function received(tensor, until) {
  let count = 0;
  let all = 0;
  let sum = null;
  data.steps.forEach(function (step, i) {
    step.to.filter(function (way) { return way.t === tensor; }).forEach(function (way) {
      all += 1;
      if (i > until) return;
      count += 1;
      const array = numbersOf(way.b);
      if (array && sum === null) sum = Object.assign({}, array, { values: Float64Array.from(array.values) });
      else if (array) array.values.forEach(function (x, k) { sum.values[k] += x; });
    });
  });
  return { count: count, all: all, sum: sum };
}

/** The arrays of one step, for the player and for the box of the op. */
function ways(step) {
  const parts = [];
  const g = numbersOf(step.g);
  if (g) parts.push(labelled('incoming: ∂loss/∂' + called(step.out), g));
  step.to.forEach(function (way) {
    const f = numbersOf(way.f);
    const back = numbersOf(way.b);
    if (f) parts.push(labelled('× local factor', f));
    const title = (f ? '= ' : way.formula + ' ') + 'back to ' + called(way.t);
    if (back) parts.push(labelled(title, back));
  });
  return parts;
}

function show(number) {
  at = Math.max(0, Math.min(number, data.steps.length - 1));
  const step = data.steps[at];
  document.getElementById('step').value = String(at);
  document.getElementById('back').disabled = at === 0;
  document.getElementById('next').disabled = at === data.steps.length - 1;
  document.getElementById('where').textContent = 'step ' + (at + 1) + ' of ' + data.steps.length + ': ' + called(step.op);
  marked('current', [step.op]);
  marked('receives', step.to.map(function (way) { return way.at; }));
  const rows = [element('p', {}, [
    element('strong', {}, [called(step.op)]), ' gets the gradient of its result, ' + called(step.out) +
    ', and gives back: ', element('span', { class: 'formula number' }, [step.to.map(function (way) {
      return way.formula;
    }).join('   ')])])];
  const members = data.nodes[step.op].members;
  if (members) {
    rows.push(element('p', { class: 'muted' }, ['It stands for ' + members + ' repetitions; these are the numbers of the second.']));
  }
  rows.push(element('div', { class: 'columns' }, ways(step)));
  step.to.forEach(function (way, k) {
    const first = step.to.findIndex(function (other) { return other.t === way.t; });
    const seen = received(way.t, at);
    if (seen.all < 2 || first !== k) return;
    const words = seen.count < 2 ? called(way.t) + ' is used ' + seen.all + ' times: more gradients will be added to this one (+=)'
      : called(way.t) + ' += : ' + seen.count + ' of its ' + seen.all + ' gradients have arrived; their sum';
    const body = [element('p', { class: 'sum' }, [words])];
    if (seen.count > 1 && seen.sum) body.push(matrix(seen.sum, 'sum for ' + called(way.t)));
    rows.push(element('div', {}, body));
  });
  document.getElementById('explained').replaceChildren.apply(document.getElementById('explained'), rows);
  intoView(step.op);
}

function stop() {
  if (playing !== null) window.clearInterval(playing);
  playing = null;
  document.getElementById('play').textContent = 'Play';
}

function play() {
  if (playing !== null) { stop(); return; }
  if (at >= data.steps.length - 1) show(0);
  document.getElementById('play').textContent = 'Stop';
  // Where motion is to be reduced, steps stay long enough to be read and nothing moves in between.
  playing = window.setInterval(function () {
    if (at >= data.steps.length - 1) stop(); else show(at + 1);
  }, calm.matches ? 3000 : 1200);
}
