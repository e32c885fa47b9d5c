// The parts of a browser that Grafana's packages look for when they are loaded.
'use strict';

const { JSDOM } = require('jsdom');

const { window } = new JSDOM('<!doctype html><html></html>', { url: 'http://localhost:3000/', pretendToBeVisual: true });
window.matchMedia = () => ({ matches: false, addListener() {}, removeListener() {}, addEventListener() {}, removeEventListener() {} });
window.grafanaBootData = { settings: {}, user: {}, navTree: [] };
class Observer { observe() {} unobserve() {} disconnect() {} }
Object.assign(window, { ResizeObserver: Observer, IntersectionObserver: Observer });

// Node has some of these itself; the browser's events must be the browser's.
const browsers = new Set(['navigator', 'Event', 'CustomEvent', 'EventTarget', 'MessageEvent']);
for (const name of Object.getOwnPropertyNames(window)) {
  if (!(name in globalThis) || browsers.has(name)) Object.defineProperty(globalThis, name, { value: window[name], configurable: true, writable: true });
}
Object.defineProperty(globalThis, 'window', { value: window, configurable: true });
require.extensions['.css'] = () => {};

// Grafana's packages for plugins meet a bundler, never Node: these files are modules without saying so.
const Module = require('module');
const { transformSync } = require('esbuild');
const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  return resolve.call(this, /_types\.gen$/.test(request) ? `${request}.js` : request, ...rest);
};
const compile = require.extensions['.js'];
require.extensions['.js'] = (module, file) => {
  if (!file.endsWith('_types.gen.js')) return compile(module, file);
  return module._compile(transformSync(require('fs').readFileSync(file, 'utf8'), { format: 'cjs' }).code, file);
};
// The query editor, which nobody opens here.
const load = Module._load;
Module._load = function (request, ...rest) {
  return /^monaco-/.test(request) ? { promLanguageDefinition: { id: 'promql' } } : load.call(this, request, ...rest);
};
