'use strict';
const byId = (id) => document.getElementById(id);
let alerts = [], rules = [];

async function api(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || body.message || `${path}: ${response.status}`);
  return body;
}

function post(path, body) {
  return api(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)});
}

function failed(error) {
  byId('error').hidden = !error;
  byId('error').textContent = error ? error.message : '';
}

const when = (time) => el('time', {datetime: time, title: time}, new Date(time).toLocaleString());
const since = (time) => (Date.now() - new Date(time)) / 1000;

function matches(item) {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = JSON.stringify([item.name, item.severity, item.state, item.labels, item.annotations]).toLowerCase();
  return words.every((word) => text.includes(word));
}

// --- active ---

function group(list) {
  const groups = new Map();
  for (const a of list) groups.set(a.name, [...(groups.get(a.name) || []), a]);
  return groups;
}

function card(a) {
  const ack = a.acknowledgement;
  const quiet = ack ? `acknowledged by ${ack.who}${ack.why ? ': ' + ack.why : ''}` :
    a.silenced_by.length ? 'silenced' : a.inhibited_by.length ? 'inhibited by another alert' : '';
  const labels = Object.entries(a.labels).filter(([key]) => key !== 'alertname' && key !== 'severity');
  const picture = el('div', {class: 'course'});
  course(a).then((p) => picture.replaceChildren(p)).catch(() => picture.replaceChildren());
  return el('article', {class: a.severity || 'info', id: a.id},
    el('div', {},
      el('h3', {}, el('span', {class: 'severity'}, a.severity || 'no severity'), ' · ', a.annotations?.summary || a.name),
      el('p', {class: 'soft'}, 'since ', when(a.started_at), ` (${duration(since(a.started_at))})`, a.escalated_at ? ' · escalated' : ''),
      quiet && el('p', {}, quiet),
      el('ul', {class: 'labels', 'aria-label': 'Labels'}, ...labels.map(([k, v]) => el('li', {}, `${k}=${v}`))),
      el('div', {class: 'buttons'},
        el('button', {onclick: () => ask('acknowledge', a)}, ack ? 'Acknowledge again' : 'Acknowledge'),
        el('button', {onclick: () => ask('silence', a)}, 'Silence'),
        el('button', {onclick: () => ask('resolve', a)}, 'Resolve'))),
    picture);
}

// course plots what the alert's rule looks at, for the series that has the alert's labels.
async function course(a) {
  const named = rules.filter((r) => r.name === a.name && r.type === 'alerting');
  const rule = named.find((r) => Object.entries(r.labels).every(([k, v]) => a.labels[k] === v)) || named[0];
  if (!rule) return '';
  const end = Date.now() / 1000, start = end - 1800;
  const found = await api('api/v1/query_range?' + new URLSearchParams({query: rule.plot_query, start, end, step: 15}));
  const own = found.find((s) => Object.entries(s.labels).every(([k, v]) => k === '__name__' || a.labels[k] === v)) || found[0];
  return plot(own ? own.points : [], start, end, rule.threshold);
}

async function showActive() {
  [alerts, rules] = await Promise.all([api('api/v1/alerts'), api('api/v1/rules')]);
  byId('count').textContent = alerts.length;
  document.title = alerts.length ? `(${alerts.length}) Alerts` : 'Alerts';
  const shown = alerts.filter(matches);
  if (!shown.length) return [el('p', {}, alerts.length ? 'No alert matches the filter.' : 'Nothing fires.')];
  return [...group(shown)].flatMap(([name, list]) => [el('h2', {}, `${name} (${list.length})`), ...list.map(card)]);
}

// --- the other views ---

function table(titles, rows, empty) {
  if (!rows.length) return el('p', {}, empty);
  return el('div', {class: 'scroll'}, el('table', {class: 'cards'},
    el('thead', {}, el('tr', {}, ...titles.map((t) => el('th', {}, t)))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell, i) => {
      const td = cell instanceof HTMLTableCellElement ? cell : el('td', {}, cell);
      td.dataset.title = titles[i];
      return td;
    }))))));
}

async function showHistory() {
  const past = (await api('api/v1/history?limit=200')).filter(matches);
  return [table(['Alert', 'Severity', 'Started', 'Took', 'Acknowledged', 'Ended by'], past.map((a) => [
    el('td', {}, a.annotations?.summary || a.name), el('td', {class: a.severity}, a.severity || ''), when(a.started_at),
    duration((new Date(a.resolved_at) - new Date(a.started_at)) / 1000), a.acknowledgement ? a.acknowledgement.who : '–',
    a.resolved_by || 'recovery']), 'Nothing has been resolved yet.')];
}

async function showStatistics() {
  const figures = (await api('api/v1/statistics')).filter(matches);
  return [table(['Alert', 'Severity', 'Count', 'Active', 'Firing', 'To acknowledge', 'To resolve'], figures.map((s) => [
    s.name, el('td', {class: s.severity}, s.severity || ''), String(s.count), String(s.active), duration(s.firing_seconds),
    s.mean_seconds_to_acknowledge ? duration(s.mean_seconds_to_acknowledge) : '–',
    s.mean_seconds_to_resolve ? duration(s.mean_seconds_to_resolve) : '–']), 'No alert has fired yet.')];
}

async function showRules() {
  rules = await api('api/v1/rules');
  const colour = {firing: 'critical', pending: 'warning', inactive: 'good'};
  return [table(['Rule', 'State', 'Expression', 'For', 'Last evaluation', 'Source'], rules.filter(matches).map((r) => [
    r.name, el('td', {class: r.health === 'err' ? 'critical' : colour[r.state] || ''}, r.last_error || r.state || 'recording'),
    el('td', {}, el('code', {}, r.query)), duration(r.for_seconds), r.last_evaluation ? when(r.last_evaluation) : 'not yet', r.source,
  ]), 'There are no rules.')];
}

const views = {active: showActive, history: showHistory, statistics: showStatistics, rules: showRules};
const current = () => (views[location.hash.slice(1)] ? location.hash.slice(1) : 'active');

// show replaces the view but keeps the keyboard where it was.
async function show() {
  const name = current();
  for (const a of document.querySelectorAll('nav a')) {
    if (a.hash === '#' + name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  try {
    const content = await views[name]();
    if (name !== current()) return;
    const buttons = () => [...byId('view').querySelectorAll('button')];
    const focused = buttons().indexOf(document.activeElement);
    byId('view').replaceChildren(...content);
    if (focused >= 0) buttons()[focused]?.focus();
    failed(null);
  } catch (error) {
    failed(error);
  }
}

// --- acting on an alert ---

const words = {
  acknowledge: ['Acknowledge', 'You take care of it: nobody is notified again.'],
  silence: ['Silence', 'Nobody is notified of this alert for a while.'],
  resolve: ['Resolve', 'It ends now and stays quiet until its rule clears.'],
};

function ask(action, a) {
  const [title, text] = words[action];
  byId('dialog-title').textContent = `${title}: ${a.name}`;
  byId('dialog-text').textContent = text;
  byId('confirm').textContent = title;
  byId('period').hidden = action === 'resolve';
  byId('hours').options[0].disabled = action === 'silence';
  byId('hours').value = action === 'silence' ? '1' : '';
  byId('who').value = localStorage.getItem('who') || '';
  byId('why').value = '';
  byId('form').onsubmit = () => {
    localStorage.setItem('who', byId('who').value);
    act(action, a, byId('who').value, byId('why').value, Number(byId('hours').value)).then(show, failed);
  };
  byId('dialog').showModal();
}

function act(action, a, who, why, hours) {
  const until = hours ? new Date(Date.now() + hours * 3600e3).toISOString() : undefined;
  const path = `api/v1/alerts/${encodeURIComponent(a.id)}/`;
  if (action === 'acknowledge') return post(path + 'acknowledge', {who, why, until});
  if (action === 'resolve') return post(path + 'resolve', {who, why});
  // An alert that escalates is silenced with all its steps, which differ in these two.
  const matchers = Object.entries(a.labels).filter(([name]) => !a.labels.escalation_from || (name !== 'severity' && name !== 'escalation'))
    .map(([name, value]) => ({name, value, isRegex: false, isEqual: true}));
  return post('api/v2/silences', {matchers, startsAt: new Date().toISOString(), endsAt: until, createdBy: who, comment: why || 'silenced'});
}

// --- live ---

// later joins the events of a moment into one update.
let planned;
function later() {
  planned ??= setTimeout(() => { planned = undefined; if (!byId('dialog').open) show(); }, 300);
}

function listen() {
  const stream = new EventSource('api/v1/events');
  stream.onopen = () => { byId('live').textContent = 'live'; later(); };
  stream.onerror = () => { byId('live').textContent = 'not connected'; };
  for (const kind of ['pending', 'firing', 'notified', 'notify_failed', 'acknowledged', 'escalated', 'resolved']) stream.addEventListener(kind, later);
}

byId('cancel').addEventListener('click', () => byId('dialog').close());
byId('filter').addEventListener('input', later);
addEventListener('hashchange', show);
setInterval(later, 15000);
show().then(listen);
