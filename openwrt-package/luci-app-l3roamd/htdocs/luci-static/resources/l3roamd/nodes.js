'use strict';
'require baseclass';

/*
 * Document nodes that are updated in place. Whatever comes from the network goes through text() or as an item of an array to E(): LuCI
 * takes a bare string for HTML.
 */
return baseclass.extend({
	/* Shows a text where it is not shown already. What is shown is remembered: asking the document is what costs. */
	text(node, text) {
		text = String(text);
		if (node.shownText !== text) {
			node.textContent = text;
			node.shownText = text;
		}
	},

	style(node, name) {
		if (node.shownStyle !== name) {
			node.className = name;
			node.shownStyle = name;
		}
	},

	attribute(node, name, value) {
		if (value == null || value === false)
			node.removeAttribute(name);
		else if (node.getAttribute(name) !== String(value))
			node.setAttribute(name, value);
	},

	show(node, visible) {
		if (node.hidden === !!visible)
			node.hidden = !visible;
	},

	/*
	 * Makes the children of `parent` behind the first `fixed` ones those of `items`, in their order: `create(item)` gives
	 * { node, ... }, `update(entry, item)` brings it up to date. Nodes that stay are neither made anew nor moved without need.
	 * `entries` is a Map that the caller keeps.
	 */
	sync(parent, fixed, entries, items, key, create, update) {
		const wanted = new Set();
		let next = parent.children[fixed] || null;

		for (const item of items)
			wanted.add(key(item));

		for (const [ name, entry ] of entries)
			if (!wanted.has(name)) {
				for (const node of [ entry.node, entry.more ])
					if (node) {
						if (next === node)
							next = node.nextElementSibling;
						node.remove();
					}
				entries.delete(name);
			}

		for (const item of items) {
			let entry = entries.get(key(item));

			if (!entry) {
				entry = create(item);
				entries.set(key(item), entry);
			}
			update(entry, item);

			for (const node of [ entry.node, entry.more ]) {
				if (!node)
					continue;
				if (next === node)
					next = node.nextElementSibling;
				else
					parent.insertBefore(node, next);
			}
		}
	},

	/* A table with these titles, whose rows are given to `fill(list)` as { key, cells: [ text or { text, class, title } ] }. */
	table(titles, empty) {
		const placeholder = E('tr', { 'class': 'tr placeholder' }, [
			E('td', { 'class': 'td', 'colspan': titles.length }, [ E('em', {}, [ empty ]) ])
		]);
		const table = E('table', { 'class': 'table cbi-section-table' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th' }, [ title ]))),
			placeholder
		]);
		const entries = new Map();
		const create = () => {
			const cells = titles.map((title) => E('td', { 'class': 'td', 'data-title': title }));
			return { node: E('tr', { 'class': 'tr' }, cells), cells };
		};
		const update = (entry, row) => row.cells.forEach((cell, i) => {
			const node = entry.cells[i];

			if (typeof(cell) != 'object')
				cell = { text: cell };
			this.text(node, cell.text);
			this.attribute(node, 'title', cell.title);
			this.style(node, cell.class ? 'td ' + cell.class : 'td');
		});

		return {
			node: table,
			fill: (rows) => {
				this.show(placeholder, !rows.length);
				this.sync(table, 2, entries, rows, (row) => row.key, create, update);
			}
		};
	}
});
