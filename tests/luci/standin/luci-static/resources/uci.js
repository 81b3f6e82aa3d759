'use strict';
'require baseclass';
'require rpc';

const call = (method, params) => rpc.declare({ object: 'uci', method, params, expect: { '': {} }, reject: true });
const callGet = call('get', [ 'config' ]);
const callAdd = call('add', [ 'config', 'type', 'name', 'values' ]);
const callSet = call('set', [ 'config', 'section', 'values' ]);
const callDelete = call('delete', [ 'config', 'section', 'options' ]);

return baseclass.extend({
	__init__() {
		this.values = {};
		this.changes = [];
	},
	load(config) {
		return callGet(config).then((reply) => { this.values[config] = reply.values || {}; });
	},
	get(config, section, option) {
		const found = (this.values[config] || {})[section];

		return option ? (found || {})[option] : (found || null);
	},
	add(config, type, name) {
		this.values[config][name] = { '.type': type, '.name': name };
		this.changes.push(() => callAdd(config, type, name, {}));
	},
	set(config, section, option, value) {
		this.values[config][section][option] = value;
		this.changes.push(() => callSet(config, section, { [option]: value }));
	},
	unset(config, section, option) {
		delete this.values[config][section][option];
		this.changes.push(() => callDelete(config, section, [ option ]));
	},
	async save() {
		for (const change of this.changes.splice(0))
			await change();
	}
});
