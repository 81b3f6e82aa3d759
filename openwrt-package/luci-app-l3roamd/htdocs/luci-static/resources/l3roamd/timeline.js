'use strict';
'require baseclass';
'require l3roamd.words as words';

const SVG = 'http://www.w3.org/2000/svg';
/* Clients that are drawn, those who moved last. */
const LANES = 12;
const LANE = 34;
const AXIS = 22;
/* Where nothing else is asked for, the shortest time is shown that has so many handovers. */
const ENOUGH = 20;
/* Room at the right, where now is. */
const MARGIN = 34;
/* Below this width a client's name stands above its line. */
const NARROW = 560;

/* Times to choose from in milliseconds, into how many parts each is divided, and into how many on a narrow page. */
const WINDOWS = [
	{ span: 60000, title: _('1 minute'), parts: 6, few: 3 },
	{ span: 300000, title: _('5 minutes'), parts: 5, few: 5 },
	{ span: 900000, title: _('15 minutes'), parts: 5, few: 3 },
	{ span: 3600000, title: _('1 hour'), parts: 6, few: 4 },
	{ span: 21600000, title: _('6 hours'), parts: 6, few: 3 }
];

function shape(name, attributes, text) {
	const node = document.createElementNS(SVG, name);

	for (const key of Object.keys(attributes))
		node.setAttribute(key, attributes[key]);
	if (text != null)
		node.textContent = text;
	return node;
}

/* What is too long keeps its end: the beginnings of addresses are all the same. */
const shorten = (text, length) => (text.length > length) ? '…' + text.slice(1 - length) : text;
const shortenName = (text, length) => (text.length > length) ? text.slice(0, length - 1) + '…' : text;

/* One line for each client: where it was, and each handover with how long it took. */
const Timeline = baseclass.extend({
	__init__(daemon) {
		this.daemon = daemon;
		this.wish = 0;
	},

	render() {
		this.select = E('select', { 'class': 'cbi-input-select', 'aria-label': _('Time shown'), 'change': (ev) => { this.wish = Number(ev.target.value); this.update(); } },
			[ { span: 0, title: _('Latest') }, ...WINDOWS ].map((entry) => E('option', { 'value': entry.span }, [ entry.title ])));
		this.note = E('span', { 'class': 'l3roamd-quiet' });
		this.frame = E('div', { 'class': 'l3roamd-timeline' });

		if (window.ResizeObserver)
			new ResizeObserver(() => this.update()).observe(this.frame);

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ _('Recent handovers') ]),
			E('div', { 'class': 'l3roamd-bar' }, [ this.select, this.note ]),
			this.frame
		]);
	},

	/* The entry of WINDOWS that is shown. */
	chosen() {
		const handovers = this.daemon.handovers || [];
		const last = handovers[Math.min(handovers.length, ENOUGH) - 1];
		const age = last ? this.daemon.now(this.daemon.at, last.age_ms) : 0;
		const fits = (entry) => this.wish ? entry.span == this.wish : entry.span >= age;

		return WINDOWS.find(fits) || WINDOWS[WINDOWS.length - 1];
	},

	/* The clients that moved in the time shown, those who moved last first, each with its handovers, the oldest first. */
	lanes() {
		const lanes = new Map();

		for (const handover of this.daemon.handovers || []) {
			const age = this.daemon.now(this.daemon.at, handover.age_ms);

			if (age > this.span)
				continue;
			if (!lanes.has(handover.mac))
				lanes.set(handover.mac, []);
			lanes.get(handover.mac).unshift({ handover, age });
		}
		return [ ...lanes ];
	},

	update() {
		this.window = this.chosen();
		this.span = this.window.span;
		const all = this.lanes();
		const width = Math.floor(this.frame.clientWidth);
		const lanes = all.slice(0, LANES);
		let note = '';

		if (!all.length)
			note = _('No client was handed over in this time.');
		else if (all.length > lanes.length)
			note = _('The last %d of %d clients that moved.').format(lanes.length, all.length);
		if (this.note.textContent !== note)
			this.note.textContent = note;

		if (!lanes.length || width < 100)
			this.frame.replaceChildren();
		else
			this.frame.replaceChildren(this.draw(lanes, width));
	},

	draw(lanes, width) {
		const narrow = width < NARROW;
		const left = narrow ? 4 : 170;
		const lane = narrow ? LANE + 16 : LANE;
		const height = lanes.length * lane + AXIS;
		const x = (age) => left + (width - left - MARGIN) * (1 - Math.min(age, this.span) / this.span);
		const svg = shape('svg', { 'width': width, 'height': height, 'viewBox': '0 0 %d %d'.format(width, height), 'role': 'img', 'aria-label': _('Recent handovers') });

		this.axis(svg, x, height, narrow ? this.window.few : this.window.parts);
		lanes.forEach(([ mac, events ], i) => {
			const top = i * lane;
			const y = top + lane - 10;
			const name = this.daemon.host(mac) || mac;
			const label = shape('text', { 'x': narrow ? 4 : 0, 'y': narrow ? top + 14 : y + 4, 'class': 'l3roamd-who' }, shortenName(name, narrow ? 40 : 23));

			label.appendChild(shape('title', {}, name + ' ' + mac));
			svg.appendChild(label);
			this.lane(svg, events, x, y, left);
		});
		return svg;
	},

	axis(svg, x, height, steps) {
		for (let i = 0; i <= steps; i++) {
			const age = this.span * i / steps;

			svg.appendChild(shape('line', { 'x1': x(age), 'x2': x(age), 'y1': 0, 'y2': height - AXIS + 4, 'class': 'l3roamd-grid' }));
			svg.appendChild(shape('text', { 'x': x(age), 'y': height - 4, 'class': 'l3roamd-tick', 'text-anchor': i == steps ? 'start' : 'middle' },
				i ? '−' + words.age(age) : _('now')));
		}
	},

	/* Where the client was: before its first handover, between two, and now. */
	lane(svg, events, x, y, left) {
		// Before its start the daemon knows of nobody.
		const start = Math.max(left, x((this.daemon.status.uptime || 0) * 1000 + 1000));

		events.forEach((event, i) => {
			const handover = event.handover;
			const arrived = handover.direction == 'incoming';
			const here = x(event.age);
			const before = i ? x(events[i - 1].age) : Math.min(start, here);
			const after = (i + 1 < events.length) ? x(events[i + 1].age) : x(0);

			if (!i)
				this.stay(svg, before, here, y, arrived ? handover.peer : null);
			this.stay(svg, here, after, y, arrived ? null : handover.peer);
		});
		// Upon the lines.
		let free = left;
		events.forEach((event) => {
			free = this.mark(svg, event.handover, x(event.age), y, free);
		});
	},

	/* A time at a peer, or here where there is none. */
	stay(svg, from, to, y, peer) {
		const line = shape('line', { 'x1': from, 'x2': to, 'y1': y, 'y2': y, 'class': peer ? 'l3roamd-away' : 'l3roamd-here' });
		// Between the times of the handovers at both ends.
		const letters = Math.floor((to - from - 60) / 6.5);

		line.appendChild(shape('title', {}, peer || _('here')));
		svg.appendChild(line);
		if (letters >= 4)
			svg.appendChild(shape('text', { 'x': (from + to) / 2, 'y': y - 5, 'class': 'l3roamd-where', 'text-anchor': 'middle' },
				peer ? shorten(peer, Math.min(letters, 24)) : _('here')));
	},

	/* A handover: a dot, and how long it took where there is room. Gives up to where the room is taken. */
	mark(svg, handover, x, y, free) {
		const completed = handover.outcome == 'completed';
		const arrived = handover.direction == 'incoming';
		const took = completed ? words.duration(handover.duration_ms) : '?';
		const half = took.length * 3.2;
		const dot = shape('circle', { 'cx': x, 'cy': y, 'r': 5, 'class': completed ? (arrived ? 'l3roamd-in' : 'l3roamd-out') : 'l3roamd-lost' });

		dot.appendChild(shape('title', {}, '%s → %s\n%s, %s'.format(
			arrived ? handover.peer : _('here'), arrived ? _('here') : handover.peer, took, words.word('outcome', handover.outcome))));
		svg.appendChild(dot);
		if (x - half < free)
			return free;
		svg.appendChild(shape('text', { 'x': x, 'y': y - 9, 'class': 'l3roamd-took', 'text-anchor': 'middle' }, took));
		return x + half + 4;
	}
});

return baseclass.extend({ Timeline });
