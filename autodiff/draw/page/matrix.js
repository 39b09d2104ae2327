// Elements of the page, and arrays as tables, heat maps and histograms. Text only ever becomes a text node.
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes, children) {
  const made = document.createElement(name);
  Object.entries(attributes || {}).forEach(function (pair) { made.setAttribute(pair[0], pair[1]); });
  (children || []).forEach(function (child) { made.append(child); });
  return made;
}

function drawn(name, attributes, children) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes || {}).forEach(function (pair) { made.setAttribute(pair[0], pair[1]); });
  (children || []).forEach(function (child) { made.append(child); });
  return made;
}

function plot(width, height, label, children) {
  const size = { class: 'plot', width: width, height: height, viewBox: '0 0 ' + width + ' ' + height };
  return drawn('svg', Object.assign(size, { role: 'img', 'aria-label': label }), children);
}

function labelled(title, array, more) {
  const words = title + ', ' + shapeOf(array.shape) + (array.rows ? ', a sample of it' : '');
  return element('div', {}, [element('h3', {}, [words]), matrix(array, words)].concat(more || []));
}

/** Whether a table of all numbers is easily read. */
function isSmall(array) {
  return array.values.length <= 60 && array.c <= 12 && array.r <= 16;
}

/** An array as a table where it is small, else as a heat map. */
function matrix(array, label) {
  return isSmall(array) ? table(array, label) : heatMap(array, label);
}

function table(array, label) {
  const rows = [];
  for (let i = 0; i < array.r; i += 1) {
    const cells = [];
    for (let j = 0; j < array.c; j += 1) cells.push(element('td', {}, [shown(array.values[i * array.c + j])]));
    rows.push(element('tr', {}, cells));
  }
  return element('table', { class: 'matrix', 'aria-label': label }, [element('tbody', {}, rows)]);
}

function largest(values) {
  let most = 0;
  values.forEach(function (x) { if (Number.isFinite(x)) most = Math.max(most, Math.abs(x)); });
  return most;
}

/** Orange for what is above zero, blue for what is below, the fuller the larger. */
function heatMap(array, label) {
  const side = Math.max(6, Math.min(26, Math.floor(420 / Math.max(array.c, 1))));
  const high = Math.max(6, Math.min(26, Math.floor(320 / Math.max(array.r, 1))));
  const width = side * array.c;
  const most = largest(array.values);
  const cells = [drawn('rect', { class: 'ground', width: width, height: high * array.r })];
  array.values.forEach(function (x, i) {
    const row = Math.floor(i / array.c);
    const column = i % array.c;
    const look = Number.isFinite(x) ? (x >= 0 ? 'more' : 'less') : 'bad';
    const full = Number.isFinite(x) ? (most ? Math.abs(x) / most : 0) : 1;
    const where = '[' + (array.rows ? array.rows[row] : row) + ', ' + (array.columns ? array.columns[column] : column) + ']';
    cells.push(drawn('rect', { class: look, 'fill-opacity': full.toFixed(3), x: column * side, y: row * high, width: side,
      height: high }, [drawn('title', {}, [where + ' ' + shown(x)])]));
  });
  const words = 'blue ' + shown(-most) + ' · blank 0 · orange ' + shown(most);
  cells.push(drawn('text', { x: 0, y: high * array.r + 14 }, [words]));
  return plot(Math.max(width, 300), high * array.r + 20, 'heat map of ' + label + ', largest size ' + shown(most), cells);
}

function histogram(array, label) {
  const finite = Array.from(array.values).filter(Number.isFinite);
  if (finite.length < 5) return null;
  const low = Math.min.apply(null, finite);
  const high = Math.max.apply(null, finite);
  const bins = new Array(Math.min(20, Math.max(5, Math.ceil(Math.sqrt(finite.length) * 1.5)))).fill(0);
  finite.forEach(function (x) {
    const at = high > low ? Math.floor((x - low) / (high - low) * bins.length) : 0;
    bins[Math.min(at, bins.length - 1)] += 1;
  });
  const most = Math.max.apply(null, bins);
  const step = 260 / bins.length;
  const bars = bins.map(function (count, i) {
    const tall = count / most * 80;
    return drawn('rect', { class: 'less', x: (i * step).toFixed(1), y: (86 - tall).toFixed(1), width: (step - 1).toFixed(1),
      height: tall.toFixed(1) }, [drawn('title', {}, [String(count)])]);
  });
  bars.push(drawn('path', { class: 'axis', d: 'M0 86.5h260' }));
  bars.push(drawn('text', { x: 0, y: 100 }, [shown(low)]));
  bars.push(drawn('text', { x: 260, y: 100, 'text-anchor': 'end' }, [shown(high)]));
  return element('div', {}, [element('h3', {}, ['how often']), plot(262, 106, 'histogram of ' + label + ' from ' + shown(low) +
    ' to ' + shown(high), bars)]);
}
