'use strict';
'require baseclass';
'require rpc';

const callDevices = rpc.declare({ object: 'luci-rpc', method: 'getNetworkDevices', expect: { '': {} } });
const callDump = rpc.declare({ object: 'network.interface', method: 'dump', expect: { 'interface': [] } });
const named = (name) => ({ getName: () => name, getI18n: () => 'Device "%s"'.format(name) });

return baseclass.extend({
	getNetworks: () => callDump().then((list) => list.map((entry) => named(entry.interface))),
	getDevices: () => callDevices().then((table) => Object.keys(table).map(named))
});
