'use strict';
const byId = (id) => document.getElementById(id);
let alerts = [], rules = [];

async function api(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || body.message || (typeof body === 'string' && body) || `${path.split('?')[0]}: status ${response.status}`);
  return body;
}

function post(path, body) {
  return api(path, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)});
}

function failed(where, error) {
  byId(where).hidden = !error;
  byId(where).textContent = error ? error.message : '';
}

const say = (text) => { if (byId('summary').textContent !== text) byId('summary').textContent = text; };

function matches(item) {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const text = JSON.stringify([item.name, item.severity, item.state, item.labels, item.annotations]).toLowerCase() +
    Object.entries(item.labels || {}).map(([k, v]) => ` ${k}=${v}`).join('').toLowerCase();
  return words.every((word) => text.includes(word));
}

const views = {active: showActive, silences: showSilences, history: showHistory, statistics: showStatistics, rules: showRules};
const current = () => (views[location.hash.slice(1)] ? location.hash.slice(1) : 'active');

// replace changes only what has changed, so that nobody loses the place, a selection, or the focus, which stays with the button of the same data-button.
function replace(view, content) {
  const before = new Map([...view.children].map((e) => [e.dataset.key, e]));
  content.forEach((fresh, i) => {
    const old = before.get(fresh.dataset.key);
    fresh.made = fresh.outerHTML.replace(/(data-since="[^"]*">)[^<]*/g, '$1');
    let kept = fresh;
    if (old && old.made === fresh.made) kept = old;
    else if (old) {
      const focused = old.contains(document.activeElement) && document.activeElement.dataset.button;
      const [course, space] = [old, fresh].map((e) => e.querySelector('.course'));
      if (course && space) space.replaceChildren(...course.childNodes);
      old.replaceWith(fresh);
      if (focused) [...fresh.querySelectorAll('[data-button]')].find((e) => e.dataset.button === focused)?.focus();
    }
    before.delete(fresh.dataset.key);
    if (view.children[i] !== kept) view.insertBefore(kept, view.children[i] || null);
  });
  for (const gone of before.values()) gone.remove();
  for (const e of view.querySelectorAll('[data-since]')) e.textContent = duration(since(e.dataset.since));
}

// --- courses: of the alerts that are in sight ---

const step = 15, length = 1800;
const inSight = new IntersectionObserver((entries) => {
  for (const e of entries) {
    e.target.inSight = e.isIntersecting;
    if (e.isIntersecting) draw(e.target);
  }
}, {rootMargin: '200px'});

async function draw(card) {
  const end = Math.floor(Date.now() / 1000 / step) * step, start = end - length;
  if (card.drawn === end) return;
  card.drawn = end;
  const query = new URLSearchParams({start, end, step});
  const c = await api(`api/v1/alerts/${encodeURIComponent(card.dataset.course)}/course?${query}`).catch(() => ({points: []}));
  card.querySelector('.course').replaceChildren(...(c.points.length ? plot(c.points, start, end, step, c.threshold) : []));
}

function drawAll() {
  for (const card of document.querySelectorAll('[data-course]')) {
    if (card.inSight === undefined) inSight.observe(card);
    else if (card.inSight) draw(card);
  }
}

// --- the view ---

let shown;
async function show() {
  const name = current();
  for (const a of document.querySelectorAll('nav a')) {
    if (a.hash === '#' + name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  try {
    rules = await api('api/v1/rules');
    if (name !== 'active') alerts = await api('api/v1/alerts');
    const content = await views[name]();
    if (name !== current()) return;
    if (shown !== name) byId('view').replaceChildren();
    shown = name;
    replace(byId('view'), content);
    drawAll();
    byId('count').textContent = alerts.length > 999 ? '999+' : alerts.length;
    document.title = alerts.length ? `(${alerts.length}) Alerts` : 'Alerts';
    const broken = rules.filter((r) => r.health === 'err').length;
    byId('broken').hidden = !broken;
    byId('broken').replaceChildren(String(broken), el('span', {class: 'word'}, ' failing'));
    failed('error', null);
  } catch (error) {
    if (name === current()) failed('error', error);
  }
}

// --- acting ---

const words = {
  acknowledge: ['Acknowledge', 'You take care of it: nobody is notified again, and nothing escalates.'],
  unacknowledge: ['Take back', 'People are notified again.'],
  silence: ['Silence', 'Nobody is notified of this alert for a while.'],
  resolve: ['Resolve', 'It ends now and stays quiet until its rule clears.'],
  end: ['End the silence', 'People are notified again.'],
};

function ask(action, item) {
  const [title, text] = words[action];
  byId('dialog-title').textContent = `${title}: ${action === 'end' ? item.matchers.map(matcher).join(', ') : item.name}`;
  byId('dialog-text').textContent = text;
  byId('confirm').textContent = title;
  byId('period').hidden = action !== 'acknowledge' && action !== 'silence';
  byId('hours').options[0].disabled = action === 'silence';
  byId('hours').value = action === 'silence' ? '1' : '';
  // Nobody is asked for what is not kept.
  byId('who').required = action !== 'end';
  for (const id of ['who', 'why']) byId(id).parentElement.hidden = action === 'end';
  byId('who').value = localStorage.getItem('who') || '';
  byId('why').value = '';
  byId('confirm').disabled = false;
  failed('dialog-error', null);
  byId('form').onsubmit = (event) => {
    event.preventDefault(); // the dialog stays until it is done
    localStorage.setItem('who', byId('who').value);
    byId('confirm').disabled = true;
    act(action, item, byId('who').value, byId('why').value, Number(byId('hours').value)).then(() => {
      byId('dialog').close();
      show();
    }, (error) => {
      failed('dialog-error', error);
      byId('confirm').disabled = false;
    });
  };
  byId('dialog').showModal();
  byId(byId('who').value ? (action === 'end' ? 'confirm' : 'why') : 'who').focus();
}

function act(action, item, who, why, hours) {
  const until = hours ? new Date(Date.now() + hours * 3600e3).toISOString() : undefined;
  const path = `api/v1/alerts/${encodeURIComponent(item.id)}/`;
  switch (action) {
    case 'acknowledge': return post(path + action, {who, why, until});
    case 'unacknowledge': case 'resolve': return post(path + action, {who, why});
    case 'end': return api(`api/v2/silence/${encodeURIComponent(item.id)}`, {method: 'DELETE'});
    default: {
      // An alert that escalates is silenced with all its steps, which differ in these two.
      const differ = item.labels.escalation_from ? ['severity', 'escalation'] : [];
      // Others of its name that have its labels and more are not: they differ in what is empty here.
      const names = alerts.filter((a) => a.name === item.name).flatMap((a) => Object.keys(a.labels));
      const empty = Object.fromEntries(['severity', ...names].map((name) => [name, '']));
      const matchers = Object.entries({...empty, ...item.labels}).filter(([name]) => !differ.includes(name))
        .map(([name, value]) => ({name, value, isRegex: false, isEqual: true}));
      return post('api/v2/silences', {matchers, startsAt: new Date().toISOString(), endsAt: until, createdBy: who, comment: why || 'silenced'});
    }
  }
}

// --- live ---

// later joins the events of a moment into one update.
let planned;
function later() {
  planned ??= setTimeout(() => { planned = undefined; if (!byId('dialog').open) show(); }, 300);
}

function listen() {
  const stream = new EventSource('api/v1/events');
  const tell = (text) => { byId('live').textContent = text; byId('live').className = text === 'live' ? 'on' : 'off'; };
  stream.onopen = () => { tell('live'); later(); };
  stream.onerror = () => {
    tell('not connected');
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // the browser has given up: an answer was no stream
  };
  for (const kind of ['pending', 'firing', 'notified', 'notify_failed', 'acknowledged', 'unacknowledged', 'escalated', 'resolved']) stream.addEventListener(kind, later);
}

byId('cancel').addEventListener('click', () => byId('dialog').close());
byId('dialog').addEventListener('close', later);
byId('filter').addEventListener('input', later);
addEventListener('keydown', (e) => {
  if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || byId('dialog').open || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
  e.preventDefault();
  byId('filter').focus();
});
addEventListener('hashchange', show);
setInterval(later, 15000);
show().then(listen);
