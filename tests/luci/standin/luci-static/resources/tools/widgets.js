'use strict';
'require baseclass';
'require form';
'require network';
'require ui';

const NetworkSelect = form.ListValue.extend({
	renderIfaceBadge: (entry) => E('span', { 'class': 'ifacebadge' }, [ entry.getName() ])
});

const DeviceSelect = form.ListValue.extend({
	async load(section_id) {
		this.devices = await network.getDevices();
		return this.cfgvalue(section_id);
	},
	renderWidget(section_id, index, value) {
		const choices = Object.fromEntries([ ...this.devices.map((device) => device.getName()), ...L.toArray(value) ].map((name) => [ name, E('span', {}, [ name ]) ]));

		return new ui.Dropdown(value, choices, { disabled: this.map.readonly, select_placeholder: E('em', {}, [ 'unspecified' ]) }).render();
	}
});

return baseclass.extend({ NetworkSelect, DeviceSelect });
