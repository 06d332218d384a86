'use strict';
// Elements and plots. Text only ever becomes a text node, so that no label can become markup.

function el(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') e.addEventListener('click', value);
    else if (value !== undefined && value !== false) e.setAttribute(key, value);
  }
  e.append(...children.flat().filter((c) => c !== undefined && c !== null && c !== '' && c !== false));
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
  if (seconds > 0 && seconds < 1) return '< 1 s';
  if (seconds < 60) return Math.round(seconds) + ' s';
  if (seconds < 3600) return Math.round(seconds / 60) + ' min';
  if (seconds < 86400) return (seconds / 3600).toFixed(1) + ' h';
  return (seconds / 86400).toFixed(1) + ' d';
}

// when writes a time so that a glance is enough: today's without the date. The whole is in the title.
function when(time) {
  const t = new Date(time), now = new Date();
  const clock = t.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit'});
  const text = t.toDateString() === now.toDateString() ? clock :
    t.toLocaleDateString([], {day: 'numeric', month: 'short', year: t.getFullYear() === now.getFullYear() ? undefined : 'numeric'}) + ', ' + clock;
  return el('time', {datetime: time, title: t.toString()}, text);
}

// plot draws points [seconds, value] from start to end, and the threshold. Where values are missing for three steps the line has a gap.
function plot(points, start, end, step, threshold) {
  const width = 256, height = 84, left = 42, top = 8, bottom = 18;
  const values = points.map((p) => p[1]).concat(threshold === undefined ? [] : [threshold]);
  const now = points[points.length - 1][1];
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) { low -= Math.abs(low) / 2 || 1; high += Math.abs(high) / 2 || 1; }
  const x = (t) => left + (t - start) / (end - start) * (width - left - 4);
  const y = (v) => top + (high - v) / (high - low) * (height - top - bottom);
  const said = `now ${short(now)}${threshold === undefined ? '' : `, limit ${short(threshold)}`}`;
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${said}; from ${short(low)} to ${short(high)} in the last half hour`});
  picture.append(
    svg('text', {x: left - 5, y: top + 4, class: 'value'}, short(high)), svg('text', {x: left - 5, y: height - bottom + 4, class: 'value'}, short(low)),
    svg('line', {class: 'axis', x1: left, x2: left, y1: top, y2: height - bottom}), svg('line', {class: 'axis', x1: left, x2: width, y1: height - bottom, y2: height - bottom}),
    svg('text', {x: left, y: height - 4}, '30 min ago'), svg('text', {x: width, y: height - 4, class: 'value'}, 'now'));
  if (threshold !== undefined) picture.append(svg('line', {class: 'limit', x1: left, x2: width, y1: y(threshold), y2: y(threshold)}));
  const line = points.map((p, i) => `${i && p[0] - points[i - 1][0] <= 3 * step ? 'L' : 'M'}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join('');
  picture.append(svg('path', {d: line, fill: 'none', stroke: 'currentColor', 'stroke-width': 2, 'stroke-linejoin': 'round'}));
  const last = points[points.length - 1];
  picture.append(svg('circle', {cx: x(last[0]).toFixed(1), cy: y(last[1]).toFixed(1), r: 2.5, fill: 'currentColor'}));
  return [picture, el('p', {class: 'soft'}, said)];
}
