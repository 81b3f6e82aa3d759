'use strict';
'require baseclass';
'require rpc';

/* Clients of a page, as many as the daemon gives where nothing is said. */
const PAGE = 100;
/* Pages that a poll fetches at most: of more clients than that only a part is fetched anew each time. */
const PAGES = 3;
/* Clients that are asked for one by one beyond that: those that were handed over just now, and those looked at. */
const SINGLES = 8;
/* Host names change seldom. */
const HINTS_MS = 60000;

const declare = (method, params) => rpc.declare({ object: 'l3roamd', method, params, expect: { '': {} }, reject: true });

const call = {
	status: declare('get_status'),
	clients: declare('get_clients', [ 'mac', 'after', 'limit' ]),
	handovers: declare('get_handovers'),
	interfaces: declare('get_interfaces'),
	prefixes: declare('get_prefixes'),
	peers: declare('get_peers'),
	statistics: declare('get_statistics'),
	config: declare('get_config'),
	probe: declare('probe', [ 'address', 'mac' ]),
	seek: declare('seek', [ 'address', 'timeout' ]),
	drop: declare('drop_client', [ 'mac' ])
};

const callHostHints = rpc.declare({ object: 'luci-rpc', method: 'getHostHints', expect: { '': {} } });

/* The ubus status in an error of LuCI's; 4 also where the object is not on the bus, 0 where there is none in it. */
function code(error) {
	const message = String(error && error.message);
	const found = message.match(/ubus code (\d+)/);

	if (found)
		return Number(found[1]);
	if (/-32002/.test(message))
		return 6;
	return /-32000/.test(message) ? 4 : 0;
}

/* A list of a reply, whatever the reply is. */
const list = (reply, name) => Array.isArray(reply && reply[name]) ? reply[name] : [];

return baseclass.extend({
	__init__() {
		this.clients = new Map();
		this.complete = false;
		this.cursor = null;
		this.hosts = {};
		this.hintsAt = -Infinity;
		this.polledAt = null;
	},

	call,
	code,

	/* Fetches everything but the clients. `this.failure` says what is wrong instead: 'stopped', 'silent', 'denied' or 'error'. */
	async poll() {
		const now = performance.now();
		const hints = (now - this.hintsAt >= HINTS_MS) ? L.resolveDefault(callHostHints(), null) : null;

		try {
			const [ status, handovers, interfaces, prefixes, peers, statistics, config ] = await Promise.all([
				call.status(), call.handovers(), call.interfaces(), call.prefixes(), call.peers(), call.statistics(),
				this.config || call.config()
			]);

			Object.assign(this, { status, statistics, config, failure: null });
			this.at = performance.now();
			this.handovers = list(handovers, 'handovers');
			this.interfaces = list(interfaces, 'interfaces');
			this.prefixes = list(prefixes, 'prefixes');
			this.peers = list(peers, 'peers');
		}
		catch (error) {
			this.fail(error);
		}

		const table = await hints;
		if (L.isObject(table)) {
			this.hosts = table;
			this.hintsAt = now;
		}
	},

	fail(error) {
		this.failure = ({ 4: 'stopped', 6: 'denied', 7: 'silent', 10: 'stopped' })[code(error)] || 'error';
		this.message = String((error && error.message) || error);
		this.clients.clear();
		this.complete = false;
		this.cursor = null;
		this.config = null;
	},

	/* Fetches the first page of clients where none is known. */
	async first() {
		if (!this.failure && !this.clients.size)
			await this.page().catch((error) => this.fail(error));
	},

	/*
	 * Fetches clients anew, as much as a poll may; the rest is the next one's. `macs` are looked at: they are fetched in any case.
	 * `progress` is called while a list that is not complete yet grows.
	 */
	async pages(macs, progress) {
		const since = this.polledAt;
		this.polledAt = performance.now();

		try {
			while (!this.failure && !this.complete) {
				await this.page();
				progress();
			}

			if (since == null)
				return;
			for (let n = 0; n < PAGES && !this.failure; n++) {
				await this.page();
				if (this.cursor == null)
					return;
			}

			const moved = this.handovers.filter((handover) => handover.age_ms < this.polledAt - since).map((handover) => handover.mac);
			await Promise.all([ ...new Set([ ...macs, ...moved ]) ].slice(0, SINGLES).map((mac) => this.single(mac)));
		}
		catch (error) {
			this.fail(error);
		}
	},

	/* Fetches the page behind the cursor and forgets who is not in it any more. */
	async page() {
		const after = this.cursor;
		const reply = await call.clients(undefined, after || undefined, PAGE);
		const clients = list(reply, 'clients');
		const last = (reply.more && clients.length) ? clients[clients.length - 1].mac : null;
		const seen = new Set(clients.map((client) => client.mac));

		for (const mac of this.clients.keys())
			if ((after == null || mac > after) && (last == null || mac <= last) && !seen.has(mac))
				this.clients.delete(mac);

		clients.forEach((client) => this.keep(client));
		this.cursor = last;
		if (last == null)
			this.complete = true;
	},

	/* Fetches one client. Gives it, or null where it is not served here. */
	async single(mac) {
		try {
			list(await call.clients(mac), 'clients').forEach((client) => this.keep(client));
		}
		catch (error) {
			if (code(error) != 4)
				throw error;
			this.clients.delete(mac);
		}
		return this.clients.get(mac) || null;
	},

	keep(client) {
		client.at = performance.now();
		client.addresses = list(client, 'addresses');
		this.clients.set(client.mac, client);
	},

	/* The name of a host as the router knows it, or an empty text. */
	host(mac) {
		const key = String(mac).toUpperCase();
		const hint = Object.hasOwn(this.hosts, key) ? this.hosts[key] : null;

		return (L.isObject(hint) && typeof(hint.name) == 'string') ? hint.name : '';
	},

	/* An age that was told a while ago, as it is now. */
	now(at, age) {
		return age + Math.max(0, performance.now() - at);
	}
});
