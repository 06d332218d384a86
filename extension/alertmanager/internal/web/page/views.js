'use strict';
// What is shown. Each view returns elements with a key in data-key; app.js keeps those that have not changed.

const ranks = ['critical', 'page', 'error', 'warning', 'info'];
const rank = (severity) => { const i = ranks.indexOf(severity); return i < 0 ? ranks.length : i; };
const since = (time) => (Date.now() - new Date(time)) / 1000;
const quiet = (a) => a.acknowledgement || a.silenced_by.length || a.inhibited_by.length;

// shownOf is how many alerts of a group are shown until somebody asks for more.
const shownOf = new Map();
const firstShown = 5, moreShown = 50, mostGroups = 100;

function link(text) {
  // Nothing but these: a label must not be able to run anything.
  return /^https?:\/\//.test(text) ? el('a', {href: text, rel: 'noopener noreferrer', target: '_blank'}, text) : text;
}

function card(a) {
  const ack = a.acknowledgement;
  const who = ack ? `acknowledged by ${ack.who}${ack.why ? ': ' + ack.why : ''}` :
    a.silenced_by.length ? 'silenced' : a.inhibited_by.length ? 'inhibited by another alert' : '';
  const labels = Object.entries(a.labels).filter(([key]) => key !== 'alertname' && key !== 'severity' && key !== 'escalation_from');
  const notes = Object.entries(a.annotations || {}).filter(([key]) => key !== 'summary');
  const button = (action, title) => el('button', {'data-button': action, onclick: () => ask(action, a)}, title);
  const known = rules.some((r) => r.name === a.name); // what others have sent has no course here
  return el('article', {class: `${a.severity || 'none'}${who ? ' quiet' : ''}`, 'data-key': a.id, 'data-course': known && a.id},
    el('div', {},
      el('h3', {}, el('span', {class: 'severity'}, a.severity || 'no severity'), ' ', a.annotations?.summary || a.name),
      el('p', {class: 'soft'}, 'since ', when(a.started_at), ' (', el('span', {'data-since': a.started_at}, duration(since(a.started_at))), ')',
        a.escalated_at ? ' · escalated' : ''),
      who && el('p', {class: 'state'}, who, ack?.until ? [' until ', when(ack.until)] : ''),
      ...notes.map(([key, value]) => el('p', {}, el('span', {class: 'soft'}, key, ' '), link(value))),
      labels.length > 0 && el('ul', {class: 'labels', 'aria-label': 'Labels'}, ...labels.map(([k, v]) => el('li', {}, `${k}=${v}`))),
      el('div', {class: 'buttons'},
        button('acknowledge', ack ? 'Acknowledge again' : 'Acknowledge'), ack && button('unacknowledge', 'Take back'),
        button('silence', 'Silence'), button('resolve', 'Resolve'))),
    known && el('div', {class: 'course'}));
}

function grouped(list) {
  const groups = new Map();
  for (const a of list) groups.set(a.name, [...(groups.get(a.name) || []), a]);
  const order = (a, b) => !!quiet(a) - !!quiet(b) || rank(a.severity) - rank(b.severity) || new Date(b.started_at) - new Date(a.started_at);
  for (const alerts of groups.values()) alerts.sort(order);
  return [...groups].sort(([, a], [, b]) => order(a[0], b[0]));
}

function group([name, alerts]) {
  const limit = shownOf.get(name) || firstShown, rest = alerts.length - limit;
  const more = rest > 0 && el('button', {class: 'more', 'data-key': `more/${name}/${rest}`, onclick: () => { shownOf.set(name, limit + moreShown); show(); }},
    rest > moreShown ? `Show ${moreShown} more of ${rest}` : `Show ${rest} more`);
  return [el('h2', {'data-key': `group/${name}/${alerts.length}`}, name, el('span', {class: 'badge'}, alerts.length)), ...alerts.slice(0, limit).map(card), more].filter(Boolean);
}

function summary(list) {
  const counts = new Map();
  for (const a of list) counts.set(a.severity || 'no severity', (counts.get(a.severity || 'no severity') || 0) + 1);
  const parts = [...counts].sort(([a], [b]) => rank(a) - rank(b)).map(([severity, n]) => `${n} ${severity}`);
  const calm = list.filter(quiet).length;
  return parts.join(', ') + (calm ? ` · ${calm} of them quiet` : '');
}

async function showActive() {
  alerts = await api('api/v1/alerts');
  const shown = alerts.filter(matches), groups = grouped(shown);
  say(summary(shown));
  if (!shown.length) return [empty(alerts.length ? 'No alert matches the filter.' : 'Nothing fires.')];
  const left = groups.length - mostGroups;
  return groups.slice(0, mostGroups).flatMap(group).concat(left > 0 ? [empty(`${left} more groups: filter for them.`)] : []);
}

const empty = (text) => el('p', {class: 'empty', 'data-key': text}, text);

function table(titles, rows, nothing) {
  if (!rows.length) return [empty(nothing)];
  return [el('table', {class: 'cards', 'data-key': 'table'},
    el('thead', {}, el('tr', {}, ...titles.map((t) => el('th', {scope: 'col'}, t)))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map((cell, i) => {
      const td = cell instanceof HTMLTableCellElement ? cell : el('td', {}, cell);
      if (td.firstChild) td.replaceChildren(el('div', {}, ...td.childNodes));
      td.dataset.title = titles[i];
      return td;
    })))))];
}

const severity = (s) => el('td', {class: s || ''}, s ? el('span', {class: 'severity'}, s) : '');
const named = (name, summary) => el('td', {class: 'wide'}, el('span', {class: 'name'}, name), summary && el('span', {class: 'soft'}, summary));

async function showHistory() {
  const past = (await api('api/v1/history?limit=200')).filter(matches);
  say(past.length ? `the last ${past.length}` : '');
  return table(['Alert', 'Severity', 'Started', 'Took', 'Acknowledged', 'Ended by'], past.map((a) => [
    named(a.name, a.annotations?.summary), severity(a.severity), when(a.started_at),
    duration((new Date(a.resolved_at) - new Date(a.started_at)) / 1000),
    a.acknowledged_at ? [a.acknowledgement?.who || 'yes', ' after ', duration((new Date(a.acknowledged_at) - new Date(a.started_at)) / 1000)] : '–',
    a.resolved_by ? a.resolved_by + (a.resolved_because ? ': ' + a.resolved_because : '') : 'recovery']), 'Nothing has been resolved yet.');
}

async function showStatistics() {
  const figures = (await api('api/v1/statistics')).filter(matches);
  say(figures.length ? 'of the history that is kept, and of what fires now' : '');
  return table(['Alert', 'Severity', 'Count', 'Active', 'Firing in all', 'Mean to acknowledge', 'Mean to resolve'], figures.map((s) => [
    named(s.name), severity(s.severity), String(s.count), String(s.active), duration(s.firing_seconds),
    s.mean_seconds_to_acknowledge ? duration(s.mean_seconds_to_acknowledge) : '–',
    s.mean_seconds_to_resolve ? duration(s.mean_seconds_to_resolve) : '–']), 'No alert has fired yet.');
}

// matcher writes a matcher as Alertmanager does.
const matcher = (m) => m.name + (m.isEqual === false ? '!' : m.isRegex ? '=' : '') + (m.isRegex ? '~' : '=') + m.value;

async function showSilences() {
  const silences = (await api('api/v2/silences')).filter((s) => s.status.state !== 'expired')
    .map((s) => ({...s, labels: Object.fromEntries(s.matchers.map((m) => [m.name, m.value]))}))
    .filter((s) => matches({...s, name: s.createdBy + ' ' + s.comment}));
  const acknowledged = new Map(alerts.filter((a) => a.acknowledgement).map((a) => [a.acknowledgement.silence, a]));
  say('');
  return table(['Matches', 'By', 'Why', 'Ends', ' '], silences.map((s) => {
    const alert = acknowledged.get(s.id);
    return [el('td', {class: 'wide'}, el('ul', {class: 'labels'}, ...s.matchers.map((m) => el('li', {}, matcher(m))))),
    s.createdBy, s.comment, alert && !alert.acknowledgement.until ? 'on recovery' : [s.status.state === 'pending' ? 'from ' : '', when(s.status.state === 'pending' ? s.startsAt : s.endsAt)],
    el('td', {}, el('button', {'data-button': s.id, onclick: () => (alert ? ask('unacknowledge', alert) : ask('end', s))}, alert ? 'Take back' : 'End'))];
  }), 'Nothing is silenced.');
}

// readable writes {"a.metric"} where Prometheus writes {__name__="a.metric"}.
const readable = (query) => query.replace(/\{__name__=("(?:[^"\\]|\\.)*")/g, '{$1');

async function showRules() {
  const shown = rules.filter(matches);
  const states = {err: 'failing', firing: 'firing', pending: 'pending', inactive: 'inactive', unknown: 'not evaluated yet'};
  const colour = {failing: 'critical', firing: 'critical', pending: 'warning', inactive: 'good'};
  const state = (r) => (r.health === 'err' ? states.err : states[r.state] || 'recording');
  const order = ['failing', 'firing', 'pending', 'inactive', 'not evaluated yet', 'recording'];
  const counts = order.map((s) => [shown.filter((r) => state(r) === s).length, s]).filter(([n]) => n);
  say(counts.map(([n, s]) => `${n} ${s}`).join(', '));
  return table(['Rule', 'State', 'Expression', 'For', 'Last evaluation', 'Source'],
    [...shown].sort((a, b) => order.indexOf(state(a)) - order.indexOf(state(b))).map((r) => [
      named(r.name, r.labels?.severity), el('td', {class: colour[state(r)] || ''}, el('span', {class: 'severity'}, state(r)), r.active > 1 ? ` (${r.active})` : ''),
      el('td', {class: 'wide'}, el('code', {}, readable(r.query)), r.last_error && el('span', {class: 'fault'}, r.last_error)),
      r.for_seconds ? duration(r.for_seconds) : '–', r.last_evaluation ? when(r.last_evaluation) : 'not yet', r.source]), 'There are no rules.');
}
