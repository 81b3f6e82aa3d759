'use strict';
'require baseclass';

const datatypes = {
	and: (value, tests) => tests.every((test) => test(value)),
	or: (value, tests) => tests.some((test) => test(value)),
	list: (value, tests) => value.split(/\s+/).every((item) => tests[0](item)),
	uinteger: (value) => /^\d+$/.test(value),
	range: (value, tests, [ low, high ]) => Number(value) >= Number(low) && Number(value) <= Number(high),
	minlength: (value, tests, [ low ]) => value.length >= Number(low),
	maxlength: (value, tests, [ high ]) => value.length <= Number(high),
	ip6addr: (value) => /^[0-9a-f:.]+$/i.test(value) && value.split(':').length > 2,
	cidr6: (value) => /^[0-9a-f:.]+\/\d{1,3}$/i.test(value) && value.split(':').length > 2,
	cidr4: (value) => /^\d+\.\d+\.\d+\.\d+\/\d{1,2}$/.test(value)
};

/* Splits at the commas that are in no parentheses. */
function parts(text) {
	const found = [ '' ];
	let depth = 0;

	for (const letter of text) {
		depth += (letter == '(') - (letter == ')');
		if (letter == ',' && !depth)
			found.push('');
		else
			found[found.length - 1] += letter;
	}
	return found;
}

/* The test that a datatype such as and(uinteger,range(1,9)) is. */
function compile(type) {
	const [ , name, inside ] = type.match(/^([a-z0-9]+)(?:\((.*)\))?$/) || [];
	const given = inside ? parts(inside) : [];
	const nested = [ 'and', 'or', 'list' ].includes(name) ? given.map(compile) : [];

	if (!datatypes[name])
		throw new SyntaxError('datatype ' + type);
	return (value) => datatypes[name](value, nested, given);
}

const modal = E('div', { 'class': 'modal' });
const overlay = E('div', { 'id': 'modal_overlay', 'hidden': '' }, [ modal ]);
document.body.appendChild(overlay);

/* A list to choose from, and a field for what is not in it. */
const Dropdown = baseclass.extend({
	__init__(value, choices, options) {
		Object.assign(this, { value: L.toArray(value), choices, options });
	},
	render() {
		const box = (name) => {
			const input = E('input', { 'type': 'checkbox', 'value': name, 'disabled': this.options.disabled ? '' : null });
			input.checked = this.value.includes(name);
			return E('label', {}, [ input, this.choices[name] ]);
		};

		this.node = E('div', { 'class': 'cbi-dropdown', 'id': this.options.id, 'disabled': this.options.disabled ? '' : null }, [
			this.value.length ? '' : E('ul', {}, [ E('li', { 'placeholder': '' }, [ this.options.select_placeholder ]) ]),
			...Object.keys(this.choices).map(box)
		]);
		this.node.widget = this;
		return this.node;
	},
	getValue() {
		const chosen = [ ...this.node.querySelectorAll('input:checked') ].map((input) => input.value);

		return this.options.multiple ? chosen : (chosen[0] || '');
	}
});

return baseclass.extend({
	Dropdown,
	compile,
	showModal(title, children) {
		modal.replaceChildren(E('h4', {}, title), ...children);
		overlay.hidden = false;
	},
	hideModal() {
		overlay.hidden = true;
	},
	instantiateView(path) {
		return L.require('view.' + path.replace(/\//g, '.'));
	}
});
