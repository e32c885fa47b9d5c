// Runs the dashboard's variables and queries with Grafana's own code, and turns exemplars into links to their traces.
//
// In: a JSON object on stdin: dashboard, datasources (the provisioning), prometheus (URL), from, to (ms), values (variable -> chosen).
// Out: a JSON object: variables (name -> options), panels (title -> series, links of exemplars, links of series, queries).
// A Grafana server is not to be had: what its Go part does between browser and Prometheus stands in backend.cjs.
'use strict';

require('./browser.cjs');
const { dateTime, getFieldDisplayName, mapInternalLinkToExplore, FieldType, CoreApp } = require('@grafana/data');
const { config, setBackendSrv, setDataSourceSrv, setTemplateSrv } = require('@grafana/runtime');
const { CustomVariable, EmbeddedScene, SceneReactObject, SceneVariableSet, sceneGraph } = require('@grafana/scenes');
const { PrometheusDatasource } = require('@grafana/prometheus');
const { lastValueFrom } = require('rxjs');
const { backend } = require('./backend.cjs');

const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const range = { from: dateTime(input.from), to: dateTime(input.to), raw: { from: dateTime(input.from), to: dateTime(input.to) } };

function settings(source) {
  return { id: 1, uid: source.uid, name: source.name, type: source.type, access: source.access, jsonData: source.jsonData,
    url: `/api/datasources/proxy/uid/${source.uid}`, meta: { id: source.type }, readOnly: true };
}
const instances = input.datasources.map(settings);
const prometheus = instances.find((instance) => instance.type === 'prometheus');

// The dashboard's variables with the chosen values, in Grafana's own variable system.
function scene() {
  const variables = input.dashboard.templating.list.map((variable) => {
    const chosen = input.values[variable.name] ?? variable.current?.value ?? instances.find((i) => i.type === variable.query)?.uid;
    return new CustomVariable({ name: variable.name, isMulti: variable.multi, includeAll: variable.includeAll,
      allValue: variable.allValue, value: chosen, text: chosen, query: '', skipUrlSync: true });
  });
  return new EmbeddedScene({ $variables: new SceneVariableSet({ variables }), body: new SceneReactObject({}) });
}
const board = scene();
const replace = (text, scopedVars, format) => sceneGraph.interpolate(board, text, scopedVars, format);

setTemplateSrv({ replace, getVariables: () => input.dashboard.templating.list, containsTemplate: () => true, updateTimeRange() {} });
setDataSourceSrv({ getInstanceSettings: (ref) => instances.find((i) => i.uid === replace(ref?.uid ?? ref)), get: async () => source, getList: () => instances });
setBackendSrv(backend(input.prometheus));
config.featureToggles = {};
const source = new PrometheusDatasource(prometheus);

function request(panel) {
  return { app: CoreApp.Dashboard, requestId: 'Q1', timezone: 'browser', range, interval: '15s', intervalMs: 15000, maxDataPoints: 800,
    scopedVars: {}, startTime: input.to, targets: panel.targets.map((target) => ({ ...target, datasource: undefined })) };
}

function link(field, row) {
  return field.config.links.map((one) => mapInternalLinkToExplore({ link: one, internalLink: one.internal, field, range,
    scopedVars: {}, replaceVariables: (text) => text.replace('${__value.raw}', field.values[row]) })).map(({ title, href }) => ({ title, href }));
}

// A series' links as a click on its last point opens them.
function opened(panel, frame, field, data) {
  const context = { value: { data, frame, field, frameIndex: data.indexOf(frame), rowIndex: field.values.length - 1 } };
  return (panel.fieldConfig.defaults.links ?? []).map(({ title, url }) => ({ title, url: replace(url, { __dataContext: context }) }));
}

async function run(panel) {
  const { data, errors } = await lastValueFrom(source.query(request(panel)));
  if (errors?.length) throw new Error(`${panel.title}: ${errors[0].message}`);
  const series = {}, links = [], clicks = {};
  for (const frame of data) {
    const id = frame.fields.find((field) => field.config.links?.length);
    if (id) id.values.forEach((trace, row) => links.push({ trace, to: link(id, row) }));
    else for (const field of frame.fields.filter((f) => f.type === FieldType.number)) {
      const name = getFieldDisplayName(field, frame, data);
      series[name] = frame.fields[0].values.map((time, row) => [time, field.values[row]]);
      clicks[name] = opened(panel, frame, field, data);
    }
  }
  return { series, links, clicks, queries: data.map((frame) => frame.meta?.executedQueryString) };
}

async function options(variable) {
  const found = await source.metricFindQuery(variable.query.query, { range, scopedVars: {}, variable });
  return found.map((option) => option.text);
}

async function main() {
  const variables = {}, panels = {};
  for (const variable of input.dashboard.templating.list) if (variable.type === 'query') variables[variable.name] = await options(variable);
  for (const panel of input.dashboard.panels.flatMap((one) => [one, ...(one.panels ?? [])])) if (panel.type !== 'row') panels[panel.title] = await run(panel);
  return JSON.stringify({ variables, panels });
}
main().then((answer) => process.stdout.write(answer, () => process.exit(0)), (error) => { process.stderr.write(`${error.stack}\n`); process.exit(1); });
