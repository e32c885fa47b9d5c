// What Grafana's server does between its data source in the browser and Prometheus: fills in the intervals, asks, and answers
// with data frames. https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
'use strict';

const { from } = require('rxjs');

const SCRAPE_SECONDS = 15;

function backend(prometheus) {
  async function ask(path, parameters) {
    const body = new URLSearchParams(parameters);
    const answer = await (await fetch(`${prometheus}/api/v1/${path}`, { method: 'POST', body })).json();
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data;
  }

  async function queried(query, start, end) {
    const step = Math.max(SCRAPE_SECONDS, query.intervalMs / 1000);
    const rate = Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS);
    const expr = query.expr.replaceAll('$__rate_interval', `${rate}s`).replaceAll('$__interval', `${step}s`)
      .replaceAll('$__range', `${Math.round((end - start) / 1000)}s`);
    // A range starts and ends on a step.
    const [first, last] = [start, end].map((ms) => Math.floor(ms / 1000 / step) * step);
    const data = query.instant ? await ask('query', { query: expr, time: end / 1000 }) : await ask('query_range', { query: expr, start: first, end: last, step });
    const frames = data.result.map((one) => frame(query, one, expr));
    if (query.exemplar) frames.push(...exemplars(query, await ask('query_exemplars', { query: expr, start: start / 1000, end: end / 1000 })));
    return frames;
  }

  async function fetched({ url, method, data }) {
    if (url.startsWith('/api/ds/query')) {
      const results = {};
      for (const query of data.queries) {
        try {
          results[query.refId] = { status: 200, frames: await queried(query, Number(data.from), Number(data.to)) };
        } catch (error) {
          results[query.refId] = { status: 400, error: error.message, frames: [] };
        }
      }
      return { ok: true, status: 200, data: { results } };
    }
    const path = url.split('/resources/')[1];
    if (!path) throw new Error(`Grafana asks for ${url}, which is not stood in for`);
    const answer = await fetch(`${prometheus}/${path}`, method === 'POST' ? { method, body: new URLSearchParams(data) } : {});
    return { ok: answer.ok, status: answer.status, data: await answer.json() };
  }
  return { fetch: (options) => from(fetched(options)) };
}

function legend(query, labels) {
  return query.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, key) => labels[key] ?? '');
}

function frame(query, one, expr) {
  const values = one.values ?? [one.value];
  return {
    schema: { refId: query.refId, meta: { type: 'timeseries-multi', custom: { resultType: one.values ? 'matrix' : 'vector' }, executedQueryString: `Expr: ${expr}` },
      fields: [{ name: 'Time', type: 'time' }, { name: 'Value', type: 'number', labels: one.metric, config: { displayNameFromDS: legend(query, one.metric) } }] },
    data: { values: [values.map(([time]) => time * 1000), values.map(([, value]) => Number(value))] },
  };
}

function exemplars(query, found) {
  const rows = found.flatMap((series) => series.exemplars.map((one) => ({ ...series.seriesLabels, ...one.labels, Time: one.timestamp * 1000, Value: Number(one.value) })));
  if (!rows.length) return [];
  const names = [...new Set(['Time', 'Value', ...rows.flatMap(Object.keys)])];
  const types = { Time: 'time', Value: 'number' };
  return [{
    schema: { refId: query.refId, name: 'exemplar', meta: { custom: { resultType: 'exemplar' } }, fields: names.map((name) => ({ name, type: types[name] ?? 'string' })) },
    data: { values: names.map((name) => rows.map((row) => row[name] ?? null)) },
  }];
}

module.exports = { backend };
