'use strict';
'require baseclass';
'require ui';
'require l3roamd.words as words';
'require l3roamd.daemon as daemon';

/* How long an address is sought, in milliseconds. */
const PATIENCE = 3000;
/* After so long a client that was probed has answered, or will not. */
const ANSWER = 1500;

/* What a refusal means. */
function refusal(error) {
	switch (daemon.code(error)) {
	case 2: return _('The daemon refuses this: is it an address that clients may have?');
	case 4: return _('Not found.');
	case 6: return _('This login may not do that.');
	case 7: return _('The daemon did not answer in time.');
	case 8: return _('No interface for clients is usable.');
	default: return _('It failed: %s').format((error && error.message) || error);
	}
}

/* The dialogue of an action: what it does, what it needs, a button that does it, and what came of it. `work` gives a text. */
function confirm(title, description, inputs, label, style, work) {
	const result = E('p', { 'class': 'l3roamd-result', 'role': 'status' });
	const cancel = E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal }, [ _('Cancel') ]);
	const run = () => {
		button.disabled = true;
		button.classList.add('spinning');
		result.textContent = '';
		return Promise.resolve().then(work).then((text) => {
			result.textContent = text;
			button.remove();
			cancel.textContent = _('Close');
		}, (error) => {
			result.textContent = refusal(error);
		}).finally(() => {
			button.disabled = false;
			button.classList.remove('spinning');
		});
	};
	const button = E('button', { 'class': 'btn cbi-button important ' + style, 'click': run }, [ label ]);

	ui.showModal(title, [
		E('p', {}, [ description ]), ...inputs, result,
		E('div', { 'class': 'right button-row' }, [ cancel, ' ', button ])
	]);
	return run;
}

/* What an operator may do, each after a question and with its result shown. `changed` is called when the clients may be others. */
return baseclass.extend({
	probe(address, mac, changed) {
		confirm(_('Probe an address'),
			_('Asks %s now whether it still has %s. An address that does not answer is given up after the probes of the schedule.').format(daemon.host(mac) || mac, address),
			[], _('Probe'), 'cbi-button-action', async () => {
				await daemon.call.probe(address, mac);
				await new Promise((done) => window.setTimeout(done, ANSWER));

				const client = await daemon.single(mac);
				const entry = client && client.addresses.find((known) => known.address == address);

				changed();
				if (!entry)
					return _('It did not answer, and is given up.');
				if (entry.state == 'active' && entry.last_seen_ms <= ANSWER + 500)
					return _('It answered: the address is in use.');
				return _('It has not answered so far: the address is %s.').format(words.word('state', entry.state));
			});
	},

	drop(mac, changed) {
		confirm(_('Drop a client'),
			_('Forgets %s with all its addresses and takes back its host routes. If it is still here, it comes back with its next packet, and loses what is sent to it meanwhile.').format(daemon.host(mac) || mac),
			[], _('Drop'), 'cbi-button-negative', async () => {
				await daemon.call.drop(mac);
				const client = await daemon.single(mac);

				changed();
				return client ? _('Dropped; it was back at once.') : _('Dropped.');
			});
	},

	seek(changed) {
		const input = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'aria-label': _('Address'), 'placeholder': _('IPv6 or IPv4 address') });
		const run = confirm(_('Seek an address'),
			_('Asks the clients here, and then all nodes of the mesh, who has an address, for %d seconds at most.').format(PATIENCE / 1000),
			[ E('p', {}, [ input ]) ], _('Seek'), 'cbi-button-action', async () => {
				const address = input.value.trim();

				if (!address)
					return Promise.reject({ message: 'ubus code 2' });

				const reply = await daemon.call.seek(address, PATIENCE).catch((error) => {
					if (daemon.code(error) == 4)
						return { found: null };
					throw error;
				});
				const after = words.duration(reply.after_ms || 0);

				changed();
				switch (reply.found) {
				case 'here': return _('Found here after %s: client %s on %s.').format(after, reply.mac, reply.interface);
				case 'node': return _('Found after %s: the node %s has it.').format(after, reply.node);
				case 'mesh': return _('Found after %s: the mesh has a route to it.').format(after);
				default: return _('Nobody has it.');
				}
			});

		input.addEventListener('keydown', (ev) => {
			if (ev.key == 'Enter')
				run();
		});
		input.focus();
	}
});
