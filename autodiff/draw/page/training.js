// The epochs: a slider over the frames, and what it moves.
const charts = [];
let running = null;

function layered(learnt) {
  return data.training.layers.filter(function (layer) { return layer.learnt === learnt; }).slice(0, 6).map(function (layer) {
    return { name: layer.name, values: layer.rms };
  });
}

function openTraining() {
  const training = data.training;
  document.getElementById('training').hidden = false;
  document.getElementById('more-keys').hidden = false;
  document.getElementById('moment').max = String(frames.length - 1);
  const figures = Object.entries(training.figures).filter(function (pair) { return pair[0] !== 'lr'; });
  const losses = figures.filter(function (pair) { return /loss$/.test(pair[0]); });
  const others = figures.filter(function (pair) { return !/loss$/.test(pair[0]); });
  const named = function (pairs) { return pairs.map(function (pair) { return { name: pair[0], values: pair[1] }; }); };
  [
    curves('Loss', named(losses), { log: false, level: training.base }),
    boundary(),
    others.length ? curves('Metrics', named(others), { log: false }) : null,
    curves('Activations: rms of each layer\'s output', layered(false), { log: false }),
    curves('Gradients: rms of each weight\'s', layered(true), { log: true }),
  ].forEach(function (chart) { if (chart) charts.push(chart); });
  const columns = element('div', { class: 'columns' }, charts.map(function (chart) { return chart.element; }));
  document.getElementById('charts').append(columns);
  document.getElementById('moment').addEventListener('input', function (event) { toMoment(Number(event.target.value)); });
  document.getElementById('train-play').addEventListener('click', function () {
    if (running !== null) { stopTraining(); return; }
    if (moment >= frames.length - 1) toMoment(0);
    document.getElementById('train-play').textContent = 'Stop';
    running = window.setInterval(function () {
      if (moment >= frames.length - 1) stopTraining(); else toMoment(moment + 1);
    }, calm.matches ? 1500 : 120);
  });
}

function stopTraining() {
  window.clearInterval(running);
  running = null;
  document.getElementById('train-play').textContent = 'Play';
}

function toMoment(number) {
  moment = Math.max(0, Math.min(number, frames.length - 1));
  const training = data.training;
  document.getElementById('moment').value = String(moment);
  const loss = training.figures.loss ? training.figures.loss[moment] : null;
  document.getElementById('moment').setAttribute('aria-valuetext', 'epoch ' + training.epochs[moment]);
  document.getElementById('epoch').textContent = training.epochs[moment] + (loss === null ? '' : ', loss ' + shown(loss));
  recolour();
  charts.forEach(function (chart) { chart.show(); });
  if (data.steps.length) show(at);
  if (chosen !== null) inspect(chosen);
}
