'use strict';
'require baseclass';
'require l3roamd.words as words';
'require l3roamd.nodes as nodes';

/* Rows at first, so that what is below is not far away, and how many more each time they are asked for. */
const ROWS = 25;
const MORE = 100;
/* Addresses in a row; all of them in its details. */
const SHOWN = 2;

const STATES = [ 'active', 'tentative', 'inactive' ];

/* Those in use first; link-local ones, which say little, last. */
const isLocal = (entry) => /^fe80:/.test(entry.address) ? 1 : 0;
const byUse = (a, b) => (isLocal(a) - isLocal(b)) || (STATES.indexOf(a.state) - STATES.indexOf(b.state)) || (a.last_seen_ms - b.last_seen_ms);

const natural = new Intl.Collator(undefined, { numeric: true });

/* Those with a name first; the others are equal here, and so in the order of their MACs. */
const byName = (client, daemon) => {
	const host = daemon.host(client.mac);

	return host ? 'a ' + host : 'b';
};

/* What clients are sorted by: texts ascending, ages ascending, those without a value last. */
const COLUMNS = [
	{ name: 'client', title: _('Client'), value: byName },
	{ name: 'interface', title: _('Interface'), value: (client) => (client.interface || '') + ' ' + (client.port || '') },
	{ name: 'evidence', title: _('Evidence'), value: (client) => words.word('evidence', client.evidence) },
	{ name: 'addresses', title: _('Addresses'), value: (client) => -client.addresses.length },
	{ name: 'since', title: _('Since'), value: (client, daemon) => daemon.now(client.at, client.since_ms) },
	{ name: 'handover', title: _('Last handover'), value: (client, daemon) => client.last_handover ? daemon.now(client.at, client.last_handover.age_ms) : Infinity }
];

const field = (title, value) => E('div', { 'class': 'l3roamd-field' }, [ E('span', {}, [ title ]), value ]);

/* The table of clients. `actions` are those of an operator: { probe(address, mac), drop(mac) }, or null where nothing may be changed. */
const Clients = baseclass.extend({
	__init__(daemon, actions) {
		this.daemon = daemon;
		this.actions = actions;
		this.rows = new Map();
		this.open = new Set();
		this.limit = ROWS;
		this.column = COLUMNS[0];
		this.descending = false;
	},

	render() {
		this.observer = window.IntersectionObserver ? new IntersectionObserver((changes) => this.scrolled(changes), { rootMargin: '300px' }) : null;
		this.search = E('input', {
			'type': 'search', 'class': 'cbi-input-text', 'aria-label': _('Search'),
			'placeholder': _('Search host, MAC, address, interface…'),
			'input': () => { this.limit = ROWS; this.update(); }
		});
		this.order = E('select', { 'class': 'cbi-input-select', 'aria-label': _('Sort by'), 'change': (ev) => this.sort(ev.target.value, false) },
			COLUMNS.map((column) => E('option', { 'value': column.name }, [ column.title ])));
		this.shown = E('span', { 'class': 'l3roamd-quiet', 'aria-live': 'polite' });
		this.more = E('button', { 'class': 'btn cbi-button', 'click': () => { this.limit += MORE; this.update(); } }, [ _('Show more') ]);
		this.empty = E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td', 'colspan': COLUMNS.length }, [ E('em', {}) ]) ]);

		this.heads = COLUMNS.map((column) => E('th', { 'class': 'th' }, [
			E('button', { 'class': 'l3roamd-sort', 'click': () => this.sort(column.name, true) }, [ column.title ])
		]));
		this.table = E('table', { 'class': 'table cbi-section-table l3roamd-clients' }, [
			E('tr', { 'class': 'tr table-titles' }, this.heads), this.empty
		]);

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Clients') ]),
			E('div', { 'class': 'l3roamd-bar' }, [ this.search, this.order, this.shown ]),
			this.table,
			E('div', { 'class': 'l3roamd-bar' }, [ this.more ])
		]);
	},

	sort(name, toggle) {
		const column = COLUMNS.find((candidate) => candidate.name == name);

		this.descending = toggle && column == this.column && !this.descending;
		this.column = column;
		this.update();
	},

	/* Those who match what is searched for, in their order. */
	matching() {
		const wanted = this.search.value.trim().toLowerCase().split(/\s+/);
		const entries = [];

		for (const client of this.daemon.clients.values()) {
			const text = [
				this.daemon.host(client.mac), client.mac, client.interface, client.port, client.evidence,
				...client.addresses.map((entry) => entry.address)
			].join(' ').toLowerCase();

			if (wanted.every((word) => text.includes(word)))
				entries.push({ client, value: this.column.value(client, this.daemon) });
		}

		const sign = this.descending ? -1 : 1;
		const order = (a, b) => (a < b) ? -1 : ((a > b) ? 1 : 0);
		const compare = (a, b) => (typeof(a) == 'string') ? natural.compare(a, b) : order(a, b);
		entries.sort((a, b) => sign * compare(a.value, b.value) || order(a.client.mac, b.client.mac));

		return entries.map((entry) => entry.client);
	},

	update() {
		const clients = this.matching();
		const total = this.daemon.clients.size;
		const visible = clients.slice(0, this.limit);

		COLUMNS.forEach((column, i) => nodes.attribute(this.heads[i], 'aria-sort',
			(column == this.column) ? (this.descending ? 'descending' : 'ascending') : null));
		this.order.value = this.column.name;
		nodes.text(this.shown, this.daemon.complete
			? N_(total, '%d of %d client', '%d of %d clients').format(visible.length, total)
			: _('%d clients so far…').format(total));
		nodes.text(this.empty.firstElementChild.firstElementChild, total ? _('No client matches.') : _('No client is served here now.'));
		nodes.show(this.empty, !visible.length);
		nodes.show(this.more, clients.length > visible.length);

		nodes.sync(this.table, 2, this.rows, visible, (client) => client.mac,
			(client) => this.row(client.mac), (row, client) => this.refresh(row, client));
	},

	/* Brings a row up to date where it can be seen. Others wait until they can: with thousands of rows only few are in the window. */
	refresh(row, client) {
		const current = row.client != null;

		row.client = client;
		if (!current || row.seen || !this.observer || this.open.has(client.mac))
			this.fill(row, client);
	},

	scrolled(changes) {
		for (const change of changes) {
			const row = change.target.row;

			row.seen = change.isIntersecting;
			if (row.seen && this.rows.has(row.client.mac))
				this.fill(row, row.client);
		}
	},

	/* What is open and on the page: the daemon is asked for it in any case. */
	looked() {
		return [ ...this.open ].filter((mac) => this.rows.has(mac));
	},

	row(mac) {
		const row = { cells: {}, lines: [] };
		const text = () => E('span', {});

		row.host = E('button', { 'class': 'l3roamd-open', 'click': () => this.toggle(row, mac) });
		row.mac = E('div', { 'class': 'l3roamd-quiet' });
		for (const name of [ 'interface', 'evidence', 'since', 'handover' ])
			row[name] = text();
		row.addresses = E('div', {});
		for (let i = 0; i < SHOWN; i++) {
			row.lines.push({ address: text(), state: text(), age: text() });
			row.lines[i].node = E('div', { 'class': 'l3roamd-address' }, [ row.lines[i].address, ' ', row.lines[i].state, ' ', row.lines[i].age ]);
			row.addresses.appendChild(row.lines[i].node);
		}
		row.rest = E('div', { 'class': 'l3roamd-quiet' });
		row.addresses.appendChild(row.rest);

		const contents = [ [ row.host, row.mac ], [ row.interface ], [ row.evidence ], [ row.addresses ], [ row.since ], [ row.handover ] ];
		row.node = E('tr', { 'class': 'tr' }, COLUMNS.map((column, i) => E('td', { 'class': 'td', 'data-title': column.title }, contents[i])));
		row.node.row = row;
		if (this.observer)
			this.observer.observe(row.node);

		return row;
	},

	fill(row, client) {
		const daemon = this.daemon;
		const host = daemon.host(client.mac);
		const addresses = [ ...client.addresses ].sort(byUse);
		const handover = client.last_handover;

		nodes.text(row.host, host || client.mac);
		nodes.text(row.mac, host ? client.mac : '');
		nodes.text(row.interface, this.place(client));
		nodes.text(row.evidence, words.word('evidence', client.evidence));
		nodes.text(row.since, words.age(daemon.now(client.at, client.since_ms)));
		nodes.text(row.handover, handover ? this.handover(client) : '–');
		nodes.attribute(row.handover, 'title', handover ? handover.peer : null);

		row.lines.forEach((line, i) => {
			const entry = addresses[i];

			nodes.show(line.node, entry);
			if (!entry)
				return;
			nodes.text(line.address, entry.address);
			this.state(line.state, entry);
			nodes.text(line.age, words.age(daemon.now(client.at, entry.last_seen_ms)));
		});
		nodes.text(row.rest, (addresses.length > SHOWN) ? N_(addresses.length - SHOWN, '%d more', '%d more').format(addresses.length - SHOWN) : '');

		const open = this.open.has(client.mac);
		nodes.attribute(row.host, 'aria-expanded', String(open));
		if (open && !row.more)
			this.details(row, client.mac);
		if (open)
			this.fillDetails(row, client, addresses);
	},

	place(client) {
		const name = client.interface || '?';

		return (client.port && client.port != name) ? '%s (%s)'.format(name, client.port) : name;
	},

	handover(client) {
		const handover = client.last_handover;
		const ago = _('%s ago').format(words.age(this.daemon.now(client.at, handover.age_ms)));
		const text = (handover.outcome == 'completed') ? words.duration(handover.duration_ms) : words.word('outcome', handover.outcome);

		return '%s %s, %s'.format((handover.direction == 'incoming') ? '↘' : '↗', text, ago);
	},

	state(node, entry) {
		nodes.text(node, words.word('state', entry.state));
		nodes.style(node, 'l3roamd-badge' + (STATES.includes(entry.state) ? ' l3roamd-' + entry.state : ''));
	},

	toggle(row, mac) {
		if (this.open.delete(mac)) {
			row.more.remove();
			row.more = null;
		}
		else {
			this.open.add(mac);
		}
		this.update();
	},

	/* The row below a client's, with everything that is known of it. */
	details(row, mac) {
		const text = () => E('span', {});
		const table = E('table', { 'class': 'table l3roamd-addresses' }, [
			E('tr', { 'class': 'tr table-titles' }, [ _('Address'), _('State'), _('Seen'), _('Known because'), '' ].map((title) => E('th', { 'class': 'th' }, [ title ])))
		]);

		row.detail = { table, lines: new Map(), seen: text(), node: text(), peer: text(), settled: text() };
		row.more = E('tr', { 'class': 'tr l3roamd-details' }, [
			E('td', { 'class': 'td', 'colspan': COLUMNS.length }, [
				E('div', { 'class': 'l3roamd-fields' }, [
					field(_('Last sign of life'), row.detail.seen),
					field(_('Node-client address'), row.detail.node),
					field(_('Last handover with'), row.detail.peer),
					field(_('Claim'), row.detail.settled)
				]),
				table,
				this.actions ? E('div', { 'class': 'right' }, [
					E('button', { 'class': 'btn cbi-button cbi-button-negative', 'click': () => this.actions.drop(mac) }, [ _('Drop client…') ])
				]) : ''
			])
		]);
	},

	fillDetails(row, client, addresses) {
		const detail = row.detail;
		const create = (entry) => this.addressRow(client.mac, entry.address);

		nodes.text(detail.seen, _('%s ago').format(words.age(this.daemon.now(client.at, client.last_seen_ms))));
		nodes.text(detail.node, client.node_client_address || '–');
		nodes.text(detail.peer, client.last_handover ? client.last_handover.peer : '–');
		nodes.text(detail.settled, client.settled ? _('settled') : _('waiting for the node before'));
		nodes.sync(detail.table, 1, detail.lines, addresses, (entry) => entry.address, create, (line, entry) => {
			nodes.text(line.address, entry.address);
			this.state(line.state, entry);
			nodes.text(line.seen, _('%s ago').format(words.age(this.daemon.now(client.at, entry.last_seen_ms))));
			nodes.text(line.source, words.word('source', entry.source));
		});
	},

	addressRow(mac, address) {
		const line = { address: E('span', {}), state: E('span', {}), seen: E('span', {}), source: E('span', {}) };
		const probe = this.actions
			? E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': () => this.actions.probe(address, mac) }, [ _('Probe…') ])
			: '';
		const cell = (title, content) => E('td', { 'class': 'td', 'data-title': title }, [ content ]);

		line.node = E('tr', { 'class': 'tr' }, [
			cell(_('Address'), line.address), cell(_('State'), line.state), cell(_('Seen'), line.seen),
			cell(_('Known because'), line.source), E('td', { 'class': 'td right' }, [ probe ])
		]);
		return line;
	}
});

return baseclass.extend({ Table: Clients });
