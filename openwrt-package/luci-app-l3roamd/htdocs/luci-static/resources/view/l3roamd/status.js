'use strict';
'require view';
'require poll';
'require l3roamd.daemon as daemon';
'require l3roamd.words as words';
'require l3roamd.nodes as nodes';
'require l3roamd.clients as clients';
'require l3roamd.timeline as timeline';
'require l3roamd.actions as actions';

/* Seconds between polls. */
const INTERVAL = 5;
const HOUR = 3600000;
/* Handovers in the table below the time line. */
const LAST = 20;

/* The middle one of sorted numbers; of an even count the lower. */
const median = (sorted) => sorted[Math.floor((sorted.length - 1) / 2)];

function card(title) {
	const number = E('div', { 'class': 'l3roamd-number' });
	const note = E('div', { 'class': 'l3roamd-quiet' });

	return { number, note, node: E('div', { 'class': 'l3roamd-card' }, [ E('div', {}, [ title ]), number, note ]) };
}

function section(title, ...children) {
	return E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ title ]), ...children ]);
}

/* The counts when this page was opened. */
const opened = new Map();

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	async load() {
		await daemon.poll();
		await daemon.first();
	},

	render() {
		const may = L.hasViewPermission() === true;

		this.table = new clients.Table(daemon, may ? {
			probe: (address, mac) => actions.probe(address, mac, () => this.update()),
			drop: (mac) => actions.drop(mac, () => this.update())
		} : null);
		this.timeline = new timeline.Timeline(daemon);

		this.seek = may
			? E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': () => actions.seek(() => this.update()) }, [ _('Seek an address…') ])
			: E('span', {});
		this.banner = E('div', { 'class': 'alert-message warning' });
		this.summary = E('span', { 'class': 'l3roamd-quiet' });
		this.problems = { node: E('div', {}), entries: new Map() };
		this.cards = {
			clients: card(_('Clients now')),
			handovers: card(_('Handovers, last hour')),
			time: card(_('Handover time')),
			relayed: card(_('Packets relayed')),
			drops: card(_('Drops that want attention'))
		};
		this.handovers = nodes.table(
			[ _('Ago'), _('Client'), _('From'), _('To'), _('Took'), _('Addresses'), _('Packets held / relayed'), _('Outcome') ],
			_('No handover is remembered.'));
		this.interfaces = nodes.table([ _('Interface'), _('For'), _('Device'), _('State') ], _('No interface is configured.'));
		this.prefixes = nodes.table([ _('Prefix'), _('Addresses in use here') ], _('No prefix is configured: no client is served.'));
		this.peers = nodes.table([ _('Node'), _('Heard'), _('Round trip'), _('Capabilities') ], _('No other node was heard.'));
		this.statistics = nodes.table([ _('Reason'), _('Count'), _('Since this page was opened'), _('Meaning') ], _('Nothing was dropped or refused.'));
		this.counters = nodes.table([ _('Counter'), _('Count') ], '');

		this.body = E('div', {}, [
			this.problems.node,
			E('div', { 'class': 'l3roamd-cards' }, Object.values(this.cards).map((entry) => entry.node)),
			this.table.render(),
			this.timeline.render(),
			E('details', { 'class': 'cbi-section' }, [ E('summary', {}, [ _('Last handovers as a table') ]), this.handovers.node ]),
			section(_('Interfaces'), this.interfaces.node),
			section(_('Client prefixes'), this.prefixes.node),
			section(_('Peers'), this.peers.node),
			section(_('Dropped and refused, by reason'), this.statistics.node,
				E('details', {}, [ E('summary', {}, [ _('All counters') ]), this.counters.node ]))
		]);

		const page = E('div', { 'class': 'l3roamd' }, [
			E('link', { 'rel': 'stylesheet', 'href': L.resource('l3roamd/style.css') }),
			E('h2', {}, [ _('L3 Roaming') ]),
			E('div', { 'class': 'l3roamd-bar' }, [
				this.summary,
				this.seek
			]),
			this.banner,
			this.body
		]);

		this.update();
		poll.add(() => this.refresh(), INTERVAL);

		return page;
	},

	/* One round: what a page that nobody looks at does not ask for. */
	async refresh() {
		if (document.hidden)
			return;
		// What load() fetched is new enough for the first time.
		if (this.begun)
			await daemon.poll();
		this.begun = true;
		await daemon.pages(this.table.looked(), () => this.update());
		this.update();
	},

	update() {
		const failed = daemon.failure;

		nodes.show(this.banner, failed);
		nodes.show(this.body, !failed);
		nodes.show(this.seek, !failed);
		if (failed) {
			this.explain(failed);
			return;
		}
		this.updateSummary();
		this.updateProblems();
		this.updateCards();
		this.table.update();
		this.timeline.update();
		this.updateHandovers();
		this.updateInterfaces();
		this.updatePeers();
		this.updateStatistics();
	},

	/* Why there is nothing to see, once for each reason. */
	explain(failure) {
		nodes.text(this.summary, '');
		if (this.banner.dataset.failure == failure)
			return;
		this.banner.dataset.failure = failure;

		const link = (path, text) => E('a', { 'href': L.url(path) }, [ text ]);
		const contents = {
			stopped: [
				E('p', {}, [ E('strong', {}, [ _('l3roamd is not running.') ]), ' ', _('Clients that move between nodes lose their connections.') ]),
				E('p', {}, [ link('admin/system/startup', _('Start it on the page of services')), ' · ', link('admin/network/l3roamd', _('Look whether it is enabled')) ])
			],
			silent: [ E('p', {}, [ _('l3roamd does not answer. This page goes on trying.') ]) ],
			denied: [ E('p', {}, [ _('This login may not see the state of l3roamd.') ]) ],
			error: [ E('p', {}, [ _('The state of l3roamd cannot be read: %s').format(daemon.message) ]) ]
		};
		this.banner.replaceChildren(...contents[failure]);
	},

	updateSummary() {
		const status = daemon.status;

		delete this.banner.dataset.failure;
		nodes.text(this.summary, _('l3roamd %s, node %s, up for %s').format(
			status.version, status.node_address, words.age((status.uptime || 0) * 1000)));
	},

	updateProblems() {
		const problems = Array.isArray(daemon.status.problems) ? daemon.status.problems : [];

		nodes.sync(this.problems.node, 0, this.problems.entries, problems, (problem) => problem.subject + '\n' + problem.problem,
			(problem) => ({ node: E('div', { 'class': 'alert-message warning' }, [ '%s: %s'.format(problem.subject, words.word('problem', problem.problem)) ]) }),
			() => {});
	},

	updateCards() {
		const { status, statistics, handovers } = daemon;
		const counters = statistics.counters || {};
		const recent = handovers.filter((handover) => daemon.now(daemon.at, handover.age_ms) <= HOUR);
		const incoming = recent.filter((handover) => handover.direction == 'incoming');
		const took = incoming.filter((handover) => handover.outcome == 'completed').map((handover) => handover.duration_ms).sort((a, b) => a - b);
		const bound = ((daemon.config || {}).tunables || {}).max_handovers;
		// More than the daemon remembers may have been in the hour.
		const least = (recent.length && recent.length >= bound) ? '≥ ' : '';
		const held = recent.reduce((sum, handover) => sum + (handover.packets_buffered || 0), 0);
		const relayed = (counters.relay_sent != null)
			? counters.relay_sent + (counters.relay_passed_on || 0)
			: recent.reduce((sum, handover) => sum + (handover.packets_relayed || 0), 0);
		const alarming = words.reasons(statistics).filter((reason) => reason.alarming);
		const alarms = alarming.reduce((sum, reason) => sum + reason.count, 0);
		const set = (name, number, note) => {
			nodes.text(this.cards[name].number, number);
			nodes.text(this.cards[name].note, note);
		};

		set('clients', words.count(status.clients), '%s; %s'.format(
			N_(status.addresses, '%s address', '%s addresses').format(words.count(status.addresses)),
			N_(status.former_clients, '%s client remembered that left', '%s clients remembered that left').format(words.count(status.former_clients))));
		set('handovers', '%s↘ %d  ↗ %d'.format(least, incoming.length, recent.length - incoming.length),
			_('%d came, %d went; since the start %s and %s').format(incoming.length, recent.length - incoming.length,
				words.count((status.handovers || {}).incoming), words.count((status.handovers || {}).outgoing)));
		set('time', took.length ? words.duration(median(took)) : '–',
			took.length ? _('median of %d, worst %s').format(took.length, words.duration(took[took.length - 1])) : _('nobody came in the last hour'));
		set('relayed', words.count(relayed), _('to where clients went; %s held for those who came').format(words.count(held)));
		set('drops', words.count(alarms), alarming.length ? '%s: %s'.format(alarming[0].name, words.count(alarming[0].count)) : _('none since the start'));
		this.cards.drops.node.classList.toggle('l3roamd-alarm', alarms > 0);
	},

	updateHandovers() {
		this.handovers.fill(daemon.handovers.slice(0, LAST).map((handover, i) => {
			const arrived = handover.direction == 'incoming';
			const host = daemon.host(handover.mac);
			const steps = Object.entries(handover.steps || {}).map(([ step, us ]) => '%s: %s'.format(step, words.duration(us / 1000)));

			return {
				key: i,
				cells: [
					words.age(daemon.now(daemon.at, handover.age_ms)),
					{ text: host || handover.mac, title: handover.mac },
					arrived ? handover.peer : _('here'),
					arrived ? _('here') : handover.peer,
					{ text: words.duration(handover.duration_ms), title: steps.join('\n') || null },
					words.count(handover.addresses),
					'%s / %s'.format(words.count(handover.packets_buffered), words.count(handover.packets_relayed)),
					{ text: words.word('outcome', handover.outcome), class: (handover.outcome == 'completed') ? '' : 'l3roamd-bad' }
				]
			};
		}));
	},

	updateInterfaces() {
		this.interfaces.fill(daemon.interfaces.map((entry) => ({
			key: entry.role + ' ' + entry.name,
			cells: [
				entry.name,
				words.word('role', entry.role),
				entry.device || '–',
				entry.usable
					? { text: _('usable'), class: 'l3roamd-good' }
					: { text: words.word('problem', entry.reason || _('not usable')), class: 'l3roamd-bad' }
			]
		})));
		this.prefixes.fill(daemon.prefixes.map((entry) => ({ key: entry.prefix, cells: [ entry.prefix, words.count(entry.addresses) ] })));
	},

	updatePeers() {
		const capabilities = (peer) => (Array.isArray(peer.capabilities) ? peer.capabilities : []).map((name) => words.word('capability', name));

		this.peers.fill(daemon.peers.map((peer) => ({
			key: peer.address,
			cells: [
				peer.address,
				_('%s ago').format(words.age(daemon.now(daemon.at, peer.last_heard_ms))),
				(peer.round_trip_us != null) ? _('%.1f ms').format(peer.round_trip_us / 1000) : '–',
				peer.c_daemon ? _('older daemon: handovers without extensions') : capabilities(peer).join(', ')
			]
		})));
	},

	updateStatistics() {
		const reasons = words.reasons(daemon.statistics);
		const { counters, kernel, ubus } = daemon.statistics;

		for (const reason of reasons)
			// A count that has become less is that of a daemon that was started anew.
			if (!opened.has(reason.key) || opened.get(reason.key) > reason.count)
				opened.set(reason.key, reason.count);

		this.statistics.fill(reasons.filter((reason) => reason.count > 0).map((reason) => ({
			key: reason.key,
			cells: [
				{ text: reason.name, class: reason.alarming ? 'l3roamd-bad' : '' },
				words.count(reason.count),
				'+' + words.count(reason.count - opened.get(reason.key)),
				words.word('reason', reason.name)
			]
		})));
		this.counters.fill([ [ '', counters ], [ 'kernel ', kernel ], [ 'ubus ', ubus ] ].flatMap(([ group, table ]) =>
			Object.keys(table || {}).map((name) => ({ key: group + name, cells: [ group + name, words.count(table[name]) ] }))));
	}
});
