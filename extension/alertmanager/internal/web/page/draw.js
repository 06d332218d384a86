'use strict';
// Elements and plots. Text only ever becomes a text node, so that no label can become markup.

function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') e.addEventListener('click', value);
    else if (value !== undefined && value !== false) e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c !== undefined && c !== null && c !== ''));
  return e;
}

function svg(name, attributes = {}, text = '') {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.textContent = text;
  return e;
}

function short(number) {
  const size = Math.abs(number);
  if (size >= 1e9) return (number / 1e9).toPrecision(3) + 'G';
  if (size >= 1e6) return (number / 1e6).toPrecision(3) + 'M';
  if (size >= 1e4) return (number / 1e3).toPrecision(3) + 'k';
  return String(Number(number.toPrecision(3)));
}

function duration(seconds) {
  if (seconds < 60) return Math.round(seconds) + ' s';
  if (seconds < 3600) return Math.round(seconds / 60) + ' min';
  if (seconds < 86400) return (seconds / 3600).toFixed(1) + ' h';
  return (seconds / 86400).toFixed(1) + ' d';
}

// plot draws points [seconds, value] from start to end, and the threshold.
function plot(points, start, end, threshold) {
  const width = 256, height = 80, left = 44, top = 8, bottom = 8;
  const picture = svg('svg', {class: 'plot', viewBox: `0 0 ${width} ${height}`, role: 'img'});
  const values = points.map((p) => p[1]).concat(threshold === undefined ? [] : [threshold]);
  if (points.length === 0) {
    picture.append(svg('text', {x: left, y: height / 2}, 'no values'));
    return picture;
  }
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) { low -= Math.abs(low) / 2 || 1; high += Math.abs(high) / 2 || 1; }
  const x = (t) => left + (t - start) / (end - start) * (width - left - 4);
  const y = (v) => top + (high - v) / (high - low) * (height - top - bottom);
  picture.append(svg('title', {}, `from ${short(low)} to ${short(high)} in the last half hour`));
  picture.append(svg('text', {x: 0, y: top + 4}, short(high)), svg('text', {x: 0, y: height - bottom + 4}, short(low)));
  if (threshold !== undefined) {
    picture.append(svg('line', {class: 'limit', x1: left, x2: width, y1: y(threshold), y2: y(threshold)}));
  }
  const line = points.map((p, i) => `${i ? 'L' : 'M'}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join('');
  picture.append(svg('path', {d: line, fill: 'none', stroke: 'currentColor', 'stroke-width': 2}));
  return picture;
}
