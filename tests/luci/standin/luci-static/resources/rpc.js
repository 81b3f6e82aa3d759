'use strict';
'require baseclass';

let number = 1;
let waiting = [];

/* All calls of one moment are one request. */
function send() {
	const calls = waiting;
	waiting = [];

	fetch(L.env.ubuspath, { method: 'POST', body: JSON.stringify(calls.map((call) => call.message)) })
		.then((reply) => reply.json())
		.then((replies) => calls.forEach((call, i) => call.resolve(replies[i])), (error) => calls.forEach((call) => call.reject(error)));
}

return baseclass.extend({
	declare(options) {
		return (...given) => new Promise((resolve, reject) => {
			const params = {};
			const fail = (what) => reject(new Error('RPC call to %s/%s failed with %s'.format(options.object, options.method, what)));

			(options.params || []).forEach((name, i) => { params[name] = given[i]; });
			if (!waiting.length)
				window.setTimeout(send);
			waiting.push({
				message: { jsonrpc: '2.0', id: number++, method: 'call', params: [ L.env.sessionid, options.object, options.method, params ] },
				reject,
				resolve(reply) {
					if (reply.error) {
						fail('error %d: %s'.format(reply.error.code, reply.error.message));
						return;
					}
					if (options.reject && reply.result[0] !== 0) {
						fail('ubus code %d: ?'.format(reply.result[0]));
						return;
					}

					const [ key, standard ] = Object.entries(options.expect || { '': null })[0];
					const value = (key && reply.result[1]) ? reply.result[1][key] : reply.result[1];

					resolve(L.isObject(value) ? value : standard);
				}
			});
		});
	}
});
