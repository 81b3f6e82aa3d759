'use strict';
'require baseclass';

/* The daemon's words in those of people; a word that is not known here is shown as it is. */
const WORDS = {
	evidence: {
		frame: _('Frame'),
		fdb: _('Forwarding database'),
		neighbour: _('Neighbour table'),
		station: _('Association'),
		hostapd: _('Association (hostapd)'),
		operator: _('Operator'),
		adopted: _('Earlier run')
	},
	state: {
		active: _('active'),
		tentative: _('tentative'),
		inactive: _('inactive')
	},
	source: {
		client: _('the client used it'),
		dad: _('the client asked whether it may use it'),
		info: _('told by the node before'),
		memory: _('remembered from an earlier stay'),
		adopted: _('left by an earlier run'),
		operator: _('added by an operator')
	},
	outcome: {
		completed: _('completed'),
		unanswered: _('unanswered')
	},
	role: {
		mesh: _('mesh'),
		client: _('clients')
	},
	problem: {
		'does not exist': _('does not exist'),
		'is down': _('is down')
	},
	capability: {
		tails: _('extensions'),
		relay: _('relays packets')
	},
	reason: {
		not_mesh_interface: _('Came in on an interface that is no mesh interface'),
		bad_sender: _('Sent from an address that cannot be a node\'s'),
		bad_port: _('Not sent from the port of the daemons'),
		not_a_node: _('Sent by a client, or in the name of one'),
		forged_sender: _('Names another node than it comes from'),
		no_host_route: _('Sender without a host route over the mesh: see node_prefix'),
		sender_unknown: _('Too many senders whose routes are not known yet'),
		own_packet: _('Our own packet came back'),
		truncated: _('Shorter than it says'),
		version: _('A version that is not known'),
		unknown_type: _('A type that is not known'),
		bad_length: _('A part of impossible length'),
		missing_tlv: _('The part with the meaning is missing'),
		ttl_zero: _('Sent with ttl 0'),
		duplicate: _('Flooded packet that was seen before'),
		flood_table_full: _('Too many floods to remember: raise max_seen_floods'),
		flood_rate: _('A node floods more than flood_rate allows'),
		multicast_of_unicast_type: _('Multicast of what must be unicast'),
		bad_client: _('The MAC in it is no station\'s'),
		capture_ignored: _('Captured packet that is not for a client'),
		queue_full: _('Too many packets wait: raise max_queue_packets, or look who scans addresses'),
		search_limit: _('Too many addresses are looked for: raise max_searches, or look who scans addresses'),
		queue_expired: _('Waited longer than queue_age for an address that nobody has'),
		search_negative: _('For an address that was just sought in vain'),
		address_contested: _('Address held by another client that answers: duplicate address'),
		address_limit: _('A client has more than max_addresses addresses'),
		client_limit: _('More than max_clients clients'),
		seek_rate: _('More questions to the mesh than seek_rate allows'),
		action_failed: _('The kernel refused an order: see the system log'),
		relay_no_packet: _('Relayed bytes that are no packet'),
		relay_forbidden: _('Relayed packet for an address that is no client\'s'),
		relay_unclaimed: _('Relayed by a node that no client was claimed from'),
		relay_unknown: _('Relayed for a client that is not known here any more'),
		relay_outdated: _('Relayed for an earlier stay of its client'),
		relay_hops: _('Relayed too often'),
		tail_broken: _('Extension that could not be read'),
		time_went_back: _('The clock went back')
	}
};

/* Drops that belong to a healthy mesh. */
const HARMLESS = [
	'own_packet', 'duplicate', 'ttl_zero', 'capture_ignored', 'queue_expired', 'search_negative',
	'relay_outdated', 'relay_hops', 'relay_unknown'
];

/* Counters that are no drops and want attention all the same. */
const ALARMING = [
	'address_contested', 'address_limit', 'client_limit', 'seek_rate', 'action_failed', 'tail_broken', 'time_went_back'
];

return baseclass.extend({
	word(kind, word) {
		return (WORDS[kind] && Object.hasOwn(WORDS[kind], word)) ? WORDS[kind][word] : String(word);
	},

	/* An age or a delay in milliseconds. */
	age(ms) {
		const seconds = Math.max(0, Math.floor(ms / 1000));

		if (seconds < 60)
			return _('%d s').format(seconds);
		if (seconds < 3600)
			return _('%d min').format(seconds / 60);
		if (seconds < 86400)
			return this.both(_('%d h').format(seconds / 3600), _('%d min').format((seconds % 3600) / 60), seconds % 3600 >= 60);
		return this.both(_('%d d').format(seconds / 86400), _('%d h').format((seconds % 86400) / 3600), seconds % 86400 >= 3600);
	},

	both(large, small, needed) {
		return needed ? large + ' ' + small : large;
	},

	/* How long something took, in milliseconds. */
	duration(ms) {
		return (ms < 1000) ? _('%d ms').format(ms) : _('%.1f s').format(ms / 1000);
	},

	count(number) {
		return Number(number || 0).toLocaleString();
	},

	/* Every reason that something was dropped or refused for, those that want attention first. */
	reasons(statistics) {
		const list = [];
		const add = (table, group, alarming) => {
			for (const name of Object.keys(table || {}))
				list.push({ key: group + name, name, group, count: table[name] || 0, alarming: alarming(name) });
		};
		const counters = statistics.counters || {};
		const alarms = {};

		for (const name of ALARMING)
			if (counters[name] != null)
				alarms[name] = counters[name];

		add(statistics.drops, 'drop', (name) => !HARMLESS.includes(name));
		add(alarms, 'counter', () => true);
		for (const reason of list)
			reason.alarming = reason.alarming && reason.count > 0;

		return list.sort((a, b) => (b.alarming - a.alarming) || (b.count - a.count) || (a.name < b.name ? -1 : 1));
	}
});
