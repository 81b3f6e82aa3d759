'use strict';
'require view';
'require form';
'require uci';
'require ui';
'require network';
'require tools.widgets as widgets';

/* The options of /etc/config/l3roamd, those of the sections timers and limits too: uci/schema.md of the sources. */
const CONFIG = 'l3roamd';

const RESTARTS = _('A change restarts the daemon; it takes its clients over from itself.');

/* Interfaces of netifd, and devices: the daemon takes either, and needs neither to exist yet. */
const InterfaceSelect = widgets.NetworkSelect.extend({
	/* Not that of NetworkSelect: its super() in a promise would find this one again, for ever. */
	load(section_id) {
		return Promise.all([ network.getNetworks(), network.getDevices() ]).then(([ networks, devices ]) => {
			this.networks = networks;
			this.devices = devices;
			return form.ListValue.prototype.load.call(this, section_id);
		});
	},

	renderWidget(section_id, option_index, cfgvalue) {
		const values = L.toArray(cfgvalue);
		const choices = {};
		const badge = (name, note) => E('span', { 'class': 'ifacebadge' }, [ name, ' ', E('em', { 'class': 'hide-close' }, [ note ]) ]);

		for (const candidate of this.networks)
			if (candidate.getName() != 'loopback')
				choices[candidate.getName()] = this.renderIfaceBadge(candidate);
		for (const device of this.devices)
			if (device.getName() != 'lo' && !(device.getName() in choices))
				choices[device.getName()] = badge(device.getName(), device.getI18n());
		for (const name of values)
			if (!(name in choices))
				choices[name] = badge(name, _('not there now'));

		return new ui.Dropdown(this.multiple ? values : values[0], choices, {
			id: this.cbid(section_id),
			sort: true,
			multiple: this.multiple,
			optional: true,
			create: true,
			disabled: (this.readonly != null) ? this.readonly : this.map.readonly,
			datatype: this.multiple ? 'list(and(minlength(1),maxlength(15)))' : 'maxlength(15)',
			select_placeholder: E('em', {}, [ this.placeholder ]),
			custom_placeholder: _('name of an interface'),
			display_items: 5,
			dropdown_items: 10
		}).render();
	}
});

/* An option whose values are in another section than the form's: made where it is not there. */
function elsewhere(option, section) {
	const write = option.write, remove = option.remove;

	option.ucisection = section;
	option.write = function(...given) {
		if (!uci.get(CONFIG, section))
			uci.add(CONFIG, section, section);
		return write.apply(this, given);
	};
	option.remove = function(...given) {
		return uci.get(CONFIG, section) ? remove.apply(this, given) : null;
	};
}

/* The length of a prefix. LuCI hands over "64" alone where its own look at "fd00::/64" came first. */
const length = (value) => Number(value.split('/').pop());

/* Nothing, or what the test holds. */
const must = (test, message) => (section_id, value) => (!value || test(value)) ? true : message;

return view.extend({
	load() {
		return uci.load(CONFIG).then(() => {
			if (!uci.get(CONFIG, 'main'))
				uci.add(CONFIG, CONFIG, 'main');
		});
	},

	render() {
		const map = new form.Map(CONFIG, _('L3 Roaming'),
			_('Clients of a routed mesh keep their addresses when they move to another node. Changes apply without interrupting them.'));
		const section = map.section(form.NamedSection, 'main', CONFIG);

		section.addremove = false;
		section.tab('general', _('General'));
		section.tab('interfaces', _('Interfaces'));
		section.tab('routing', _('Prefixes and routing'));
		section.tab('detection', _('Detection'));
		section.tab('timers', _('Timers'),
			_('In milliseconds. The defaults are good for a mesh with 2000 clients; change one only where you know why.'));
		section.tab('limits', _('Limits'),
			_('What the daemon holds at most, so that no neighbour can exhaust this router.'));

		this.general(section);
		this.interfaces(section);
		this.routing(section);
		this.detection(section);
		this.timers(section);
		this.limits(section);

		return map.render();
	},

	flag(section, tab, name, value, title, help) {
		const option = section.taboption(tab, form.Flag, name, title, help);

		option.default = value;
		option.rmempty = true;
		return option;
	},

	value(section, tab, type, name, placeholder, datatype, title, help) {
		const option = section.taboption(tab, type, name, title, help);

		option.placeholder = placeholder;
		option.datatype = datatype;
		option.rmempty = true;
		option.optional = true;
		return option;
	},

	general(section) {
		let option = this.flag(section, 'general', 'enabled', '1', _('Enabled'), _('Start the daemon, now and at boot.'));
		// The shipped file says 0: a tick must be written.
		option.rmempty = false;

		this.value(section, 'general', form.Value, 'node_address', _('the first ip6addr of interface loopback'), 'ip6addr("nomask")',
			_('Node address'), _('IPv6 address of this node, which the routing protocol announces to the mesh.') + ' ' + RESTARTS);

		option = section.taboption('general', form.ListValue, 'log_level', _('Log level'), _('How much is written to the system log.'));
		for (const [ level, title ] of [ [ 'error', _('Errors') ], [ 'warn', _('Warnings') ], [ 'info', _('Handovers and configuration') ], [ 'debug', _('Every change of a client') ], [ 'trace', _('Every packet') ] ])
			option.value(level, title);
		option.default = 'info';
		option.optional = true;

		this.flag(section, 'general', 'log_addresses', '0', _('Log addresses'),
			_('Show MACs and addresses of clients in the log. They are personal data: switch it on to look for a fault, and off again.'));
		this.flag(section, 'general', 'ubus', '1', _('Offer on ubus'), _('Without it, this page has no status to show.') + ' ' + RESTARTS);

		option = this.value(section, 'general', form.Value, 'control_socket', '/var/run/l3roamd.sock', null, _('Control socket'),
			_('For scripts made for the older daemon; "none" switches it off.') + ' ' + RESTARTS);
		option.validate = must((value) => value == 'none' || value.startsWith('/'), _('Expecting: a path, or none'));
	},

	interfaces(section) {
		const select = (type, name, placeholder, multiple, title, help) => {
			const option = section.taboption('interfaces', type, name, title, help);

			option.placeholder = placeholder;
			option.multiple = multiple;
			option.optional = true;
			option.rmempty = true;
			return option;
		};

		select(InterfaceSelect, 'client_interface', _('none'), true, _('Client interfaces'),
			_('Where the clients are: usually the bridge of the access points.'));
		select(InterfaceSelect, 'mesh_interface', _('none'), true, _('Mesh interfaces'),
			_('Where the other nodes are: the interfaces that the routing protocol uses.'));

		let option = this.value(section, 'interfaces', form.Value, 'mesh_proto', _('none'), 'and(maxlength(63),minlength(1))', _('Mesh protocol'),
			_('All interfaces with this protocol in the network configuration are mesh interfaces too: "gluon_mesh" on Gluon.'));
		option.validate = must((value) => /^[A-Za-z0-9_.-]+$/.test(value), _('Expecting: name of a protocol'));

		option = select(widgets.DeviceSelect, 'client_bridge', _('found by itself'), false, _('Client bridge'),
			_('Only where no client interface is the bridge itself or plugged into it; else it is found by itself.'));
		option.noaliases = true;

		select(InterfaceSelect, 'clat_interface', _('none'), false, _('CLAT interface'),
			_('The local translator of IPv4, for programs that ask for it.'));
		this.value(section, 'interfaces', form.Value, 'capture_device', 'l3roam0', 'and(minlength(1),maxlength(15))', _('Capture device'),
			_('Name of the device that the daemon makes to see packets for addresses that nobody has yet.') + ' ' + RESTARTS);
	},

	routing(section) {
		const prefix96 = must((value) => length(value) == 96, _('Expecting: a prefix of 96 bits'));

		this.value(section, 'routing', form.DynamicList, 'prefix', _('none'), 'or(cidr4,cidr6)', _('Client prefixes'),
			_('Prefixes that clients have their addresses in, the same on all nodes. Without any no client is served.'));
		this.value(section, 'routing', form.Value, 'export_table', '254', 'and(uinteger,range(1,4294967295))', _('Routing table'),
			_('Where the daemon puts a host route for each address of a client; the routing daemon must announce them from there.'));
		this.value(section, 'routing', form.Value, 'metric', '16', 'and(uinteger,range(1,65534))', _('Metric'),
			_('Must be better, that is lower, than that of the routes which the routing daemon installs.') + ' ' + RESTARTS);

		this.value(section, 'routing', form.Value, 'drain_metric', _('none'), 'and(uinteger,range(1,65534))', _('Metric of a second drained route'),
			_('Only for routing daemons that announce the metric of the kernel\'s routes.') + ' ' + RESTARTS);

		let option = this.value(section, 'routing', form.Value, 'protocols', '158,159,160', null, _('Protocol numbers'),
			_('Of host routes, of routes of clients that have left, and of client prefixes: the routing daemon tells them apart by these.') + ' ' + RESTARTS);
		option.validate = must((value) => {
			const numbers = value.split(',');
			return numbers.length == 3 && new Set(numbers.map(Number)).size == 3 &&
				numbers.every((number) => /^[0-9]{1,3}$/.test(number) && Number(number) >= 5 && Number(number) <= 255);
		}, _('Expecting: three different numbers from 5 to 255, with commas'));

		this.value(section, 'routing', form.DynamicList, 'node_prefix', _('none'), 'cidr6', _('Node prefixes'),
			_('Only where the mesh has no host route to each node: prefixes of node addresses that it announces as a whole. No client may have an address in them.'));

		option = this.value(section, 'routing', form.Value, 'node_client_prefix', 'fec0::/64', 'cidr6', _('Node-client prefix'),
			_('Addresses by which nodes find the node that has a client; the same on all nodes, and routed by the mesh.') + ' ' + RESTARTS);
		option.validate = must((value) => length(value) <= 64, _('Expecting: a prefix of at most 64 bits'));

		option = this.value(section, 'routing', form.Value, 'v4_prefix', '::ffff:0.0.0.0/96', 'cidr6', _('IPv4 prefix'),
			_('Stands for IPv4 between nodes; the same on all nodes.') + ' ' + RESTARTS);
		option.validate = prefix96;

		option = this.value(section, 'routing', form.Value, 'plat_prefix', _('none'), 'cidr6', _('PLAT prefix'),
			_('Prefix of the NAT64 that the clients of this node use; it moves with them.'));
		option.validate = prefix96;
	},

	detection(section) {
		this.flag(section, 'detection', 'source_netlink', '1', _('Neighbour tables and bridges'),
			_('Learn clients from what the kernel knows anyway.') + ' ' + RESTARTS);
		this.flag(section, 'detection', 'source_ndp', '1', _('Neighbour discovery and ARP'),
			_('Learn clients from what they say on their ports: the fastest sign on cables.') + ' ' + RESTARTS);
		this.flag(section, 'detection', 'source_nl80211', '1', _('Access points, by the kernel'),
			_('Learn clients when they associate with an access point of this node.') + ' ' + RESTARTS);
		this.flag(section, 'detection', 'source_hostapd', '1', _('Access points, by hostapd'),
			_('The same from hostapd, which also tells when a client leaves.'));
	},

	timers(section) {
		const timer = (name, value, min, max, title, help) =>
			elsewhere(this.value(section, 'timers', form.Value, name, value, 'and(uinteger,range(%d,%d))'.format(min, max), title, help), 'timers');

		timer('probe_interval', '30000', 1000, 3600000, _('Probe interval'),
			_('An address that says nothing is asked after this time whether it is still there.'));
		timer('probe_interval_associated', '300000', 1000, 86400000, _('Probe interval while associated'),
			_('The same while the access point says that the client is there: phones sleep.'));
		elsewhere(this.value(section, 'timers', form.DynamicList, 'probe_schedule', '300 700 1000', 'and(uinteger,range(20,60000))', _('Probe schedule'),
			_('Waits after each probe, 1 to 8 of them; after the last one the address is given up.')), 'timers');
		timer('client_age', '60000', 1000, 86400000, _('Age of clients'),
			_('A client without address and association is forgotten after this time without a sign of life.'));
		timer('former_age', '300000', 1000, 86400000, _('Age of former clients'),
			_('So long the addresses of a client that left are remembered: it is back at once if it returns.'));
		timer('adoption_age', '30000', 1000, 600000, _('Age of adopted routes'),
			_('After a start, clients of the run before must show themselves within this time.'));
		timer('seek_delay', '30', 0, 10000, _('Seek delay'),
			_('An unknown address is looked for here so long before the mesh is asked.'));
		timer('seek_interval', '3000', 500, 60000, _('Seek interval'),
			_('The mesh is asked again after this time while packets wait.'));
		timer('seek_negative_age', '5000', 0, 600000, _('Age of vain searches'),
			_('An address that nobody had is not sought again for this time.'));
		timer('queue_age', '5000', 100, 60000, _('Age of waiting packets'),
			_('A packet for an unknown address waits so long.'));
		timer('seen_flood_age', '2000', 100, 2900, _('Age of floods'),
			_('A flooded question is recognised as a duplicate for this time.'));
		timer('overlap', '10000', 0, 3600000, _('Overlap'),
			_('A client\'s route stays so long after the client went to another node, until the mesh has found the new way; 0 withdraws it at once.'));
		timer('overlap_without_relay', '1000', 0, 3600000, _('Overlap with older nodes'),
			_('The same where the other node runs the older daemon.'));
		timer('lost_age', '5000', 0, 60000, _('Age of packets for lost clients'),
			_('Packets for a client whose station was lost wait so long for its return.'));
	},

	limits(section) {
		const limit = (name, value, min, max, title, help) =>
			elsewhere(this.value(section, 'limits', form.Value, name, value, 'and(uinteger,range(%d,%d))'.format(min, max), title, help), 'limits');

		limit('max_clients', '8192', 1, 65536, _('Clients'), _('Clients served at the same time.'));
		limit('max_addresses', '16', 1, 48, _('Addresses of a client'), _('Further addresses of a client get no host route.'));
		limit('max_former', '8192', 0, 65536, _('Former clients'), _('Clients remembered that left.'));
		limit('max_drained', '16384', 0, 65536, _('Drained routes'), _('Routes of clients that have left, kept for the overlap.'));
		limit('max_handovers', '128', 0, 4096, _('Handovers remembered'), _('What the status page shows of the past.'));
		limit('max_peers', '1024', 1, 65536, _('Peers'), _('Other nodes remembered.'));
		limit('max_searches', '256', 1, 65536, _('Searches'), _('Addresses looked for at the same time.'));
		limit('max_queue_per_address', '512', 1, 65536, _('Waiting packets of an address'), _('Packets that wait for one unknown address.'));
		limit('max_queue_packets', '2048', 1, 1000000, _('Waiting packets'), _('Packets that wait in all.'));
		limit('max_queue_bytes', '2097152', 65536, 1073741824, _('Waiting bytes'), _('Bytes of packets that wait in all: memory of this router.'));
		limit('max_unicast_copies', '32', 0, 8192, _('Unicast copies'),
			_('Up to so many clients are asked one by one for an address, which sleeping phones hear; above, all at once by multicast.'));
		limit('max_claims_in_flight', '64', 1, 8192, _('Claims in flight'), _('Handovers begun at the same time.'));
		limit('max_seen_floods', '2048', 1, 1000000, _('Floods remembered'), _('Flooded questions remembered as duplicates.'));
		limit('seek_rate', '50', 1, 1000000, _('Seek rate'), _('Questions to the mesh per second.'));
		limit('flood_rate', '200', 1, 1000000, _('Flood rate'), _('Questions of another node passed on and answered per second.'));
		limit('unreachable_rate', '100', 0, 1000000, _('Unreachable rate'), _('ICMP errors sent per second.'));
	}
});
