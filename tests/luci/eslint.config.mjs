// LuCI runs a script as the body of a function; what its 'require' lines name are arguments of that function.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const APP = 'openwrt-package/luci-app-l3roamd/htdocs/luci-static/resources';

const readonly = (names) => Object.fromEntries(names.map((name) => [ name, 'readonly' ]));

const BROWSER = readonly([
	'window', 'document', 'performance', 'CustomEvent', 'Event', 'Intl', 'Node', 'DocumentFragment', 'ResizeObserver', 'IntersectionObserver', 'fetch', 'console'
]);
const LUCI = readonly([ 'L', 'E', '_', 'N_' ]);

const RULES = {
	'array-callback-return': 'error',
	'block-scoped-var': 'error',
	'consistent-return': 'off',
	'no-cond-assign': 'error',
	'no-const-assign': 'error',
	'no-constant-condition': 'error',
	'no-dupe-args': 'error',
	'no-dupe-class-members': 'error',
	'no-dupe-else-if': 'error',
	'no-dupe-keys': 'error',
	'no-duplicate-case': 'error',
	'no-empty': 'error',
	'no-eval': 'error',
	'no-fallthrough': 'error',
	'no-func-assign': 'error',
	'no-implied-eval': 'error',
	'no-loss-of-precision': 'error',
	'no-prototype-builtins': 'error',
	'no-redeclare': 'error',
	'no-self-assign': 'error',
	'no-sparse-arrays': 'error',
	'no-undef': 'error',
	'no-unreachable': 'error',
	'no-unsafe-finally': 'error',
	'no-unsafe-optional-chaining': 'error',
	'no-unused-vars': [ 'error', { args: 'after-used' } ],
	'no-useless-escape': 'error',
	'no-var': 'error',
	'prefer-const': [ 'error', { destructuring: 'all' } ],
	'use-isnan': 'error',
	'valid-typeof': 'error'
};

const NO_HTML = {
	'no-restricted-properties': [ 'error', ...[ 'innerHTML', 'outerHTML', 'insertAdjacentHTML' ].map((property) => ({ property, message: 'Text from the network is no HTML.' })) ]
};

function required(path) {
	const names = [];

	for (const line of readFileSync(path, 'utf8').split('\n')) {
		const found = line.match(/^'require (\S+)(?: as (\w+))?';$/);
		if (found)
			names.push(found[2] || found[1].replace(/\W/g, '_'));
	}
	return names;
}

const scripts = [ 'l3roamd', 'view/l3roamd' ].flatMap((directory) =>
	readdirSync(join(APP, directory)).filter((name) => name.endsWith('.js')).map((name) => `${APP}/${directory}/${name}`));

const languageOptions = (globals) => ({
	ecmaVersion: 2022, sourceType: 'script', parserOptions: { ecmaFeatures: { globalReturn: true } }, globals
});

export default [
	...scripts.map((path) => ({
		files: [ path ],
		languageOptions: languageOptions({ ...BROWSER, ...LUCI, ...readonly(required(path)) }),
		linterOptions: { reportUnusedDisableDirectives: true },
		rules: { ...RULES, ...NO_HTML, strict: [ 'error', 'global' ] }
	})),
	{
		files: [ 'tests/luci/standin/**/*.js' ],
		languageOptions: languageOptions(BROWSER),
		rules: { ...RULES, 'no-eval': 'off', 'no-undef': 'off', 'no-unused-vars': [ 'error', { vars: 'local', args: 'after-used' } ] }
	}
];
