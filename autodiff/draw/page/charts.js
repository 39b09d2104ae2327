// Curves over the epochs, and the decision boundary.
const WIDTH = 430;
const HEIGHT = 190;
const EDGE = { left: 58, right: 12, top: 12, bottom: 26 };

/** Lines over the epochs; `level` is drawn as a dashed line with its words. On a logarithmic scale zeros are left out. */
function curves(title, series, options) {
  const values = [];
  series.forEach(function (one) { one.values.forEach(function (y) { if (fits(y, options.log)) values.push(y); }); });
  if (options.level) values.push(options.level);
  if (!values.length) return null;
  const scale = options.log ? Math.log10 : function (y) { return y; };
  let low = Math.min.apply(null, values.map(scale));
  let high = Math.max.apply(null, values.map(scale));
  if (!options.log) low = Math.min(low, 0);
  if (high - low < 1e-12) { high += 0.5; low -= options.log ? 0.5 : 0; }
  const epochs = data.training.epochs;
  const last = epochs.length - 1;
  const x = function (i) {
    const span = epochs[last] - epochs[0] || 1;
    return EDGE.left + (epochs[i] - epochs[0]) / span * (WIDTH - EDGE.left - EDGE.right);
  };
  const y = function (value) { return EDGE.top + (high - scale(value)) / (high - low) * (HEIGHT - EDGE.top - EDGE.bottom); };
  const parts = [drawn('path', { class: 'axis', d: 'M' + EDGE.left + ' ' + EDGE.top + 'V' + (HEIGHT - EDGE.bottom) + 'H' +
    (WIDTH - EDGE.right) })];
  [low, (low + high) / 2, high].forEach(function (level) {
    const value = options.log ? Math.pow(10, level) : level;
    parts.push(drawn('path', { class: 'grid', d: 'M' + EDGE.left + ' ' + y(value).toFixed(1) + 'H' + (WIDTH - EDGE.right) }));
    parts.push(drawn('text', { x: EDGE.left - 4, y: (y(value) + 4).toFixed(1), 'text-anchor': 'end' }, [brief(value)]));
  });
  parts.push(drawn('text', { x: EDGE.left, y: HEIGHT - 8 }, [String(epochs[0])]));
  parts.push(drawn('text', { x: WIDTH - EDGE.right, y: HEIGHT - 8, 'text-anchor': 'end' }, ['epoch ' + epochs[last]]));
  series.forEach(function (one, k) {
    let d = '';
    let pen = 'M';
    one.values.forEach(function (value, i) {
      if (!fits(value, options.log)) { pen = 'M'; return; }
      d += pen + x(i).toFixed(1) + ' ' + y(value).toFixed(1);
      pen = 'L';
    });
    const dashes = ['', '7 3', '2 3', '9 3 2 3', '4 4', '1 3'][k % 6];
    parts.push(drawn('path', { class: 'curve', d: d, 'stroke-dasharray': dashes }, [drawn('title', {}, [one.name])]));
  });
  if (options.level) {
    parts.push(drawn('path', { class: 'base', d: 'M' + EDGE.left + ' ' + y(options.level).toFixed(1) + 'H' + (WIDTH - EDGE.right) }));
    parts.push(drawn('text', { class: 'basetext', x: WIDTH - EDGE.right, y: (y(options.level) - 4).toFixed(1), 'text-anchor': 'end' },
      ['always guessing: ' + shown(options.level)]));
  }
  const line = drawn('path', { class: 'now', d: '' });
  parts.push(line);
  const key = element('p', { class: 'muted' }, []);
  const body = [element('h3', {}, [title]), plot(WIDTH, HEIGHT, title, parts), key];
  return {
    element: element('div', {}, body),
    show: function () {
      const i = moment;
      line.setAttribute('d', 'M' + x(i).toFixed(1) + ' ' + EDGE.top + 'V' + (HEIGHT - EDGE.bottom));
      key.textContent = series.map(function (one, k) {
        const sign = ['—', '– –', '···', '– ·', '- -', '· ·'][k % 6];
        return sign + ' ' + one.name + ' ' + (one.values[i] === null ? 'not finite' : shown(one.values[i]));
      }).join('   ');
    },
  };
}

function fits(value, log) {
  return value !== null && Number.isFinite(value) && (!log || value > 0);
}

/** What the model says where: orange for 1, blue for 0, and the samples. */
function boundary() {
  const training = data.training;
  if (!training.grids) return null;
  const n = training.grid;
  const side = 220;
  const cell = side / n;
  const cells = [];
  for (let i = 0; i < n * n; i += 1) {
    const row = n - 1 - Math.floor(i / n);
    cells.push(drawn('rect', { x: (i % n * cell).toFixed(2), y: (row * cell).toFixed(2), width: (cell + 0.2).toFixed(2),
      height: (cell + 0.2).toFixed(2) }));
  }
  const e = training.extent;
  const marks = (training.points || []).map(function (point, i) {
    const cx = (point[0] - e[0]) / (e[1] - e[0]) * side;
    const cy = side - (point[1] - e[2]) / (e[3] - e[2]) * side;
    const one = training.labels[i] > 0.5;
    const label = drawn('title', {}, ['(' + point.join(', ') + ') is ' + training.labels[i]]);
    if (one) return drawn('circle', { class: 'one', cx: cx.toFixed(1), cy: cy.toFixed(1), r: 5 }, [label]);
    return drawn('rect', { class: 'zero', x: (cx - 4.5).toFixed(1), y: (cy - 4.5).toFixed(1), width: 9, height: 9 }, [label]);
  });
  const words = 'what the model says over its two inputs';
  const all = [drawn('rect', { class: 'ground', width: side, height: side })].concat(cells, marks);
  const note = element('p', { class: 'muted' }, ['orange: 1 · blue: 0 · pale: undecided · circles are labelled 1, squares 0']);
  const body = [element('h3', {}, ['Decision boundary']), plot(side, side, words, all), note];
  return {
    element: element('div', {}, body),
    show: function () {
      const levels = whole(training.grids[moment], 1);
      cells.forEach(function (rect, i) {
        const p = levels.length ? levels[i] / 63 : 0.5;
        rect.setAttribute('class', p >= 0.5 ? 'more' : 'less');
        rect.setAttribute('fill-opacity', Math.abs(2 * p - 1).toFixed(3));
      });
    },
  };
}
