'use strict';
'require baseclass';
'require ui';
'require uci';

const Value = baseclass.extend({
	__init__(section, name, title, help) {
		Object.assign(this, { section, map: section.map, name, title, help, choices: [] });
	},
	value(key, title) {
		this.choices.push([ key, title ]);
	},
	cbid(section_id) {
		return 'cbid.%s.%s.%s'.format(this.map.config, section_id, this.name);
	},
	place(section_id) {
		return this.ucisection || section_id;
	},
	cfgvalue(section_id) {
		return uci.get(this.map.config, this.place(section_id), this.name);
	},
	load(section_id) {
		return this.cfgvalue(section_id);
	},
	write(section_id, value) {
		uci.set(this.map.config, this.place(section_id), this.name, value);
	},
	remove(section_id) {
		if (this.cfgvalue(section_id) != null)
			uci.unset(this.map.config, this.place(section_id), this.name);
	},
	/* A field for one value that tells when it is wrong. */
	input(section_id, value) {
		const node = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'placeholder': this.placeholder, 'disabled': this.map.readonly ? '' : null });
		const test = this.datatype ? ui.compile(this.datatype) : () => true;

		node.value = (value == null) ? '' : value;
		node.addEventListener('input', () => {
			const good = !node.value || (test(node.value) && (!this.validate || this.validate(section_id, node.value) === true));

			node.classList.toggle('cbi-input-invalid', !good);
		});
		return node;
	},
	renderWidget(section_id, index, value) {
		this.field = this.input(section_id, value);
		return this.field;
	},
	formvalue() {
		return this.field.value;
	},
	async render(section_id) {
		const value = await this.load(section_id);

		this.node = await this.renderWidget(section_id, 0, value);
		return E('div', { 'class': 'cbi-value', 'data-name': this.name }, [
			E('label', { 'class': 'cbi-value-title' }, [ this.title ]),
			E('div', { 'class': 'cbi-value-field' }, [ this.node, E('div', { 'class': 'cbi-value-description' }, [ this.help ]) ])
		]);
	},
	save(section_id) {
		const value = this.node.widget ? this.node.widget.getValue() : this.formvalue();
		const before = this.cfgvalue(section_id);
		const empty = value === '' || (Array.isArray(value) && !value.length);

		if (JSON.stringify(value) === JSON.stringify(before))
			return;
		if (empty || (this.rmempty && value === this.default))
			this.remove(section_id);
		else
			this.write(section_id, value);
	}
});

const Flag = Value.extend({
	renderWidget(section_id, index, value) {
		this.field = E('input', { 'type': 'checkbox', 'disabled': this.map.readonly ? '' : null });
		this.field.checked = (value == null ? this.default : value) == '1';
		return this.field;
	},
	formvalue() {
		return this.field.checked ? '1' : '0';
	}
});

const ListValue = Value.extend({
	renderWidget(section_id, index, value) {
		this.field = E('select', { 'disabled': this.map.readonly ? '' : null }, this.choices.map(([ key, title ]) => E('option', { 'value': key }, [ title ])));
		this.field.value = (value == null) ? this.default : value;
		this.rmempty = true;
		return this.field;
	}
});

const DynamicList = Value.extend({
	renderWidget(section_id, index, value) {
		this.fields = [ null, ...L.toArray(value) ].map((item) => this.input(section_id, item));
		return E('div', { 'class': 'cbi-dynlist' }, this.fields);
	},
	formvalue() {
		return this.fields.map((field) => field.value).filter((item) => item);
	}
});

const NamedSection = baseclass.extend({
	__init__(map, name) {
		Object.assign(this, { map, name, tabs: [] });
	},
	tab(name, title, description) {
		this.tabs.push({ name, title, description, options: [] });
	},
	taboption(tab, Type, name, title, help) {
		const option = new Type(this, name, title, help);

		this.tabs.find((entry) => entry.name == tab).options.push(option);
		return option;
	},
	async render() {
		const panes = [];
		const show = (name) => panes.forEach((pane) => { pane.hidden = pane.dataset.pane != name; });

		for (const tab of this.tabs) {
			const options = await Promise.all(tab.options.map((option) => option.render(this.name)));

			panes.push(E('div', { 'data-pane': tab.name }, [ E('p', {}, [ tab.description || '' ]), ...options ]));
		}
		show(this.tabs[0].name);
		return E('div', { 'class': 'cbi-section' }, [
			E('ul', { 'class': 'cbi-tabmenu' }, this.tabs.map((tab) => E('li', { 'data-tab': tab.name }, [ E('a', { 'click': () => show(tab.name) }, [ tab.title ]) ]))),
			...panes
		]);
	},
	save() {
		for (const tab of this.tabs)
			for (const option of tab.options)
				option.save(this.name);
	}
});

const Map = baseclass.extend({
	__init__(config, title, description) {
		Object.assign(this, { config, title, description, sections: [], readonly: !L.hasViewPermission() });
	},
	section(Type, name) {
		const section = new Type(this, name);

		this.sections.push(section);
		return section;
	},
	async render() {
		await uci.load(this.config);
		const node = E('div', { 'class': 'cbi-map' }, [ E('h2', {}, [ this.title ]), E('p', {}, [ this.description ]) ]);

		for (const section of this.sections)
			node.appendChild(await section.render());
		node.map = this;
		return node;
	},
	save() {
		this.sections.forEach((section) => section.save());
		return uci.save();
	}
});

return baseclass.extend({ Map, NamedSection, Value, Flag, ListValue, DynamicList });
