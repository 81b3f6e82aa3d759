-- The package gluon-l3roamd: its upgrade scripts, run in their order on configurations in a directory, and its check of the site.
--
--   lua5.1 tests/gluon/main.lua DIRECTORY [FILTER]     from the root of the checkout; DIRECTORY is empty and ours
--
-- L3ROAMD_GLUON: a tree of Gluon's sources, whose own Lua is then used where it is Lua.

local directory, filter = arg[1], arg[2] or ''
package.path = 'tests/gluon/?.lua;' .. package.path

local standins = require 'standins'

local PACKAGE = 'openwrt-package/gluon-l3roamd/'
local UPGRADE = PACKAGE .. 'luasrc/lib/gluon/upgrade/'
local SCRIPTS = { '320-firewall-l3roamd', '330-l3roamd', '365-l3roamd-olsrd2' }
local CONFIGS = { 'l3roamd', 'firewall', 'olsrd2' }

local SEED = 'E7B1C1A0' .. ('0123456789abcdef'):rep(3) .. '00FF00ff'
-- printf '%s' "gluon-l3roamd.node_client_prefix6$(lower case of SEED)1" | md5sum, after "fd" 14 digits.
local NODE_CLIENT_PREFIX = 'fdd7:cd15:6f42:2a8b::/64'

local function read(path)
	local file = assert(io.open(path))
	local text = file:read('*a')
	file:close()
	return text
end

local function write(path, text)
	local file = assert(io.open(path, 'w'))
	file:write(text)
	file:close()
end

local function equal(found, expected)
	if found ~= expected then
		error(('found:\n%s\nexpected:\n%s'):format(tostring(found), tostring(expected)), 2)
	end
end

local function config(name)
	return read(directory .. '/' .. name)
end

-- A node with the domain given and what the packages ship; `olsrd2` as gluon-mesh-olsrd has left it.
local function node(domain, olsrd2)
	standins.configs = directory
	standins.domain = domain
	for _, name in ipairs(CONFIGS) do
		os.remove(directory .. '/' .. name)
	end
	write(directory .. '/l3roamd', [[
# Shipped by the package l3roamd.
config l3roamd 'main'
	option enabled '0'

config timers 'timers'

config limits 'limits'
]])
	write(directory .. '/firewall', "config defaults 'defaults'\n\toption input 'REJECT'\n\nconfig zone 'mesh'\n\toption name 'mesh'\n")
	write(directory .. '/network', "config interface 'loopback'\n\toption ip6addr 'fdca:ffee:babe:2:ca:ffff:feee:1/128'\n")
	if olsrd2 then
		write(directory .. '/olsrd2', olsrd2)
	end
end

local function upgrade()
	for _, name in ipairs(SCRIPTS) do
		assert(loadfile(UPGRADE .. name))()
	end
end

local function domain()
	return { domain_seed = SEED, prefix4 = '10.111.64.0/18', prefix6 = 'fdca:ffee:babe:1::/64' }
end

local OLSRD2 = [[

config olsrv2 'cfg0'
	list originator 'fd00::1'

config interface 'loopback'
	list ifname 'loopback'
	list bindto 'fdca:ffee:babe:2:ca:ffff:feee:1/128'
	list bindto 'default_reject'

config lan_import 'l3roamd_clients_v6'
	option name 'l3roamd_clients_v6'
	list matches 'fdca:ffee:babe:1::/64'
	list matches 'default_reject'
	option prefix_length '128'
	option protocol '158'

]]

local function option(name, section, key)
	return require('simple-uci').cursor():get(name, section, key)
end

-- Options in their order, so that a table's order does not matter.
local function sorted(text)
	local lines = {}
	for line in text:gmatch('[^\n]+') do
		lines[#lines + 1] = line
	end
	table.sort(lines)
	return table.concat(lines, '\n')
end

local tests = {}

local function test(name, body)
	tests[#tests + 1] = { name = name, body = body }
end

local gluon = os.getenv('L3ROAMD_GLUON')

-- The last ones: they change what scripts require.
local function test_with_gluon(name, body)
	tests[#tests + 1] = { name = name, body = body, skip = not gluon and 'L3ROAMD_GLUON is not set' }
end

test('a new node gets its configuration from the site', function()
	node(domain())
	upgrade()
	local main = config('l3roamd'):match("config l3roamd 'main'\n(.-)\n\n")
	equal(sorted(main), sorted([[
	option enabled '1'
	list prefix 'fdca:ffee:babe:1::/64'
	list prefix '10.111.64.0/18'
	option node_client_prefix ']] .. NODE_CLIENT_PREFIX .. [['
	list client_interface 'local_node'
	option client_bridge 'br-client'
	option mesh_proto 'gluon_mesh'
	option metric '1'
	option control_socket '/var/run/l3roamd.sock']]))
end)

test('the node-client prefix is the one that Gluon derives from the domain seed', function()
	node(domain())
	upgrade()
	equal(option('l3roamd', 'main', 'node_client_prefix'), NODE_CLIENT_PREFIX)
	-- In upper or lower case it is the same seed.
	local other = domain()
	other.domain_seed = SEED:upper()
	node(other)
	upgrade()
	equal(option('l3roamd', 'main', 'node_client_prefix'), NODE_CLIENT_PREFIX)
end)

test('a second upgrade changes nothing', function()
	node(domain(), OLSRD2)
	upgrade()
	local before = {}
	for _, name in ipairs(CONFIGS) do
		before[name] = config(name)
	end
	-- Gluon writes its section of olsrd2 anew each time.
	write(directory .. '/olsrd2', OLSRD2)
	upgrade()
	for _, name in ipairs(CONFIGS) do
		equal(config(name), before[name])
	end
	upgrade()
	for _, name in ipairs(CONFIGS) do
		equal(config(name), before[name])
	end
end)

test('what the operator set survives an upgrade', function()
	node(domain(), OLSRD2)
	upgrade()
	local uci = require('simple-uci').cursor()
	uci:set('l3roamd', 'main', 'enabled', '0')
	uci:set('l3roamd', 'main', 'metric', '8')
	uci:set('l3roamd', 'main', 'control_socket', 'none')
	uci:set('l3roamd', 'main', 'log_level', 'debug')
	uci:set('l3roamd', 'main', 'mesh_interface', { 'lan9' })
	uci:set('l3roamd', 'timers', 'probe_interval', '60000')
	uci:save('l3roamd')
	local before = config('l3roamd')
	write(directory .. '/olsrd2', OLSRD2)
	upgrade()
	equal(config('l3roamd'), before)
	equal(option('olsrd2', 'l3roamd_clients_v6', 'metric'), '8')
end)

test('another domain brings its prefixes and takes those of the former one', function()
	node(domain())
	upgrade()
	standins.domain = { domain_seed = ('0'):rep(64), prefix6 = '2001:db8:1:2::/64' }
	upgrade()
	equal(table.concat(option('l3roamd', 'main', 'prefix'), ' '), '2001:db8:1:2::/64')
	assert(option('l3roamd', 'main', 'node_client_prefix') ~= NODE_CLIENT_PREFIX)
end)

test('host bits of prefixes are cleared', function()
	for given, expected in pairs({
		['10.111.111.0/18'] = '10.111.64.0/18',
		['10.0.0.0/8'] = '10.0.0.0/8',
		['10.7.255.255/16'] = '10.7.0.0/16',
		['192.168.1.1/32'] = '192.168.1.1/32',
		['223.255.255.255/1'] = '128.0.0.0/1',
		['172.16.0.129/25'] = '172.16.0.128/25',
	}) do
		local here = domain()
		here.prefix4 = given
		node(here)
		upgrade()
		equal(option('l3roamd', 'main', 'prefix')[2], expected)
	end
	for given, expected in pairs({
		['fdca:ffee:babe:1::1/64'] = 'fdca:ffee:babe:1::/64',
		['FDCA:FFEE:BABE:1:2:3:4:5/64'] = 'fdca:ffee:babe:1::/64',
		['2001:db8::/64'] = '2001:db8:0:0::/64',
	}) do
		local here = domain()
		here.prefix6 = given
		node(here)
		upgrade()
		equal(option('l3roamd', 'main', 'prefix')[1], expected)
	end
end)

test('the firewall lets packets into the capture device and out of it, and the daemons talk', function()
	node(domain())
	upgrade()
	equal(option('firewall', 'l3roamd', 'device'), 'l3roam+')
	equal(option('firewall', 'l3roamd', 'input'), 'ACCEPT')
	equal(option('firewall', 'l3roamd', 'forward'), 'REJECT')
	for name, ends in pairs({
		flc = 'l3roamd loc_client', fcl = 'loc_client l3roamd', flm = 'l3roamd mesh', fml = 'mesh l3roamd',
	}) do
		equal(option('firewall', name), 'forwarding')
		equal(option('firewall', name, 'src') .. ' ' .. option('firewall', name, 'dest'), ends)
	end
	equal(option('firewall', 'mesh_l3roamd', 'src'), 'mesh')
	equal(option('firewall', 'mesh_l3roamd', 'dest_port'), '5523')
	equal(option('firewall', 'mesh_l3roamd', 'proto'), 'udp')
	equal(option('firewall', 'mesh_l3roamd', 'target'), 'ACCEPT')
	equal(option('firewall', 'mesh', 'name'), 'mesh')
end)

test('olsrd2 imports by what served and drained routes have in common', function()
	node(domain(), OLSRD2)
	upgrade()
	local section = 'l3roamd_clients_v6'
	equal(option('olsrd2', section, 'protocol'), nil)
	equal(option('olsrd2', section, 'metric'), option('l3roamd', 'main', 'metric'))
	equal(option('olsrd2', section, 'prefix_length'), '128')
	equal(table.concat(option('olsrd2', section, 'matches'), ' '), 'fdca:ffee:babe:1::/64 default_reject')
	assert(#option('olsrd2', section, 'name') <= 15)
	equal(option('olsrd2', 'cfg0'), 'olsrv2')
end)

test("olsrd2 does not tell its neighbours the clients' addresses on lo", function()
	node(domain(), OLSRD2)
	upgrade()
	local told = option('olsrd2', 'loopback', 'ifaddr_filter')
	equal(table.concat(told, ' '), 'fdca:ffee:babe:2:ca:ffff:feee:1/128 default_reject')
end)

test('without olsrd2 its configuration is not made', function()
	node(domain())
	upgrade()
	assert(not io.open(directory .. '/olsrd2'))
	node(domain(), "\nconfig olsrv2 'cfg0'\n\n")
	upgrade()
	equal(config('olsrd2'), "\nconfig olsrv2 'cfg0'\n\n")
end)

test('the check of the site accepts what works and refuses what does not', function()
	local function accepts(values)
		local function need(path, check, required, message)
			local value = values[path[1]]
			if required == false and value == nil then
				return nil
			end
			assert(type(message) == 'string')
			if not check(value) then
				error('refused')
			end
		end
		local scope = setmetatable({ need = need, in_domain = function(path) return path end }, { __index = _G })
		return (pcall(setfenv(assert(loadfile(PACKAGE .. 'check_site.lua')), scope)))
	end
	local good6, good4 = 'fdca:ffee:babe:1::/64', '10.111.111.0/18'
	for _, prefix in ipairs({ good6, '2001:db8::/64', 'fdca:0:0:1:0:0:0:0/64', 'FDCA:FFEE::/64', '2001:db8:1:2::1/64' }) do
		assert(accepts({ prefix6 = prefix }), prefix)
	end
	for _, prefix in ipairs({
		'fdca::ffee:babe:1::/64', 'fdca:ffee:babe:1::/63', 'fdca:ffee:babe:1:/64', 'fdca:::/64', '12345::/64', 'fdca:1/64',
		'1:2:3:4:5:6:7:8:9/64', '1:2:3:4:5:6:7:8::/64', ':1::/64', 'fdca:ffee::', '10.0.0.0/8', '', 64, {},
	}) do
		assert(not accepts({ prefix6 = prefix }), tostring(prefix))
	end
	assert(not accepts({ prefix4 = good4 }), 'prefix6 is missing')
	for _, prefix in ipairs({ good4, '10.0.0.0/8', '192.168.0.0/24', '100.64.1.1/32' }) do
		assert(accepts({ prefix6 = good6, prefix4 = prefix }), prefix)
	end
	for _, prefix in ipairs({
		'10.xxx.0.0/20', '10.256.0.0/16', '10.0.0.0/33', '10.0.0.0', '10.0.0/8', '0.0.0.0/0', '127.0.0.0/8', '224.0.0.0/4', good6, '', 10, {},
	}) do
		assert(not accepts({ prefix6 = good6, prefix4 = prefix }), tostring(prefix))
	end
end)

test_with_gluon("all of it is the same with Gluon's own Lua and after Gluon's own scripts", function()
	node(domain(), OLSRD2)
	upgrade()
	local before = config('l3roamd')

	standins.use(gluon)
	local here = domain()
	here.node_prefix6 = 'fdca:ffee:babe:2::/64'
	here.mesh = { olsrd = { v2 = { config = {} } } }
	node(here, '\n')
	write(directory .. '/network', "config interface 'loopback'\n\toption device 'lo'\n")
	write(directory .. '/gluon', '\n')
	local commands = {}
	-- Anything that a script executes is only noted.
	local scope = setmetatable({
		os = setmetatable({ execute = function(command) table.insert(commands, command) end }, { __index = os }),
	}, { __index = _G })
	for _ = 1, 2 do
		for _, script in ipairs({
			gluon .. '/package/gluon-mesh-layer3-common/luasrc/lib/gluon/upgrade/250-layer3-ip6',
			gluon .. '/package/gluon-core/luasrc/lib/gluon/upgrade/300-firewall-rules',
			gluon .. '/package/gluon-mesh-layer3-common/luasrc/lib/gluon/upgrade/310-layer3-firewall',
			UPGRADE .. SCRIPTS[1],
			UPGRADE .. SCRIPTS[2],
			gluon .. '/package/gluon-mesh-olsrd/luasrc/lib/gluon/upgrade/360-gluon-mesh-olsrd-setup-intf',
			UPGRADE .. SCRIPTS[3],
		}) do
			setfenv(assert(loadfile(script)), scope)()
		end
		equal(sorted(config('l3roamd')), sorted(before))
		equal(option('olsrd2', 'l3roamd_clients_v6', 'protocol'), nil)
		equal(option('olsrd2', 'l3roamd_clients_v6', 'metric'), '1')
		equal(option('olsrd2', 'loopback', 'ifaddr_filter')[1], option('network', 'loopback', 'ip6addr'))
		equal(option('firewall', 'fmm', 'dest'), 'mesh')
		equal(option('firewall', 'fml', 'dest'), 'l3roamd')
		assert(option('network', 'loopback', 'ip6addr'):match('^fdca:ffee:babe:2:'))
	end
	equal(commands[1], '/etc/init.d/olsrd2 enable')
end)

test_with_gluon("the present package's firewall sections are those of ours, and two more", function()
	node(domain())
	assert(loadfile(gluon .. '/package/gluon-l3roamd/luasrc/lib/gluon/upgrade/320-firewall-l3roamd'))()
	local before = config('firewall')
	upgrade()
	local added = config('firewall'):sub(#before + 1)
	equal(config('firewall'):sub(1, #before - 1), before:sub(1, -2))
	local names = {}
	for name in added:gmatch("config forwarding '(%w+)'") do
		names[#names + 1] = name
	end
	equal(table.concat(names, ' '), 'flm fml')
end)

test_with_gluon("Gluon's check of the site takes ours in", function()
	write(directory .. '/jsonc.lua', "return { load = function() return { prefix6 = os.getenv('PREFIX6') } end }\n")
	local function status(prefix)
		return os.execute(("PREFIX6='%s' LUA_PATH='%s/?.lua;%s/package/gluon-core/luasrc/usr/lib/lua/?.lua' IPKG_INSTROOT='%s'"
			.. " lua5.1 '%s/package/gluon-core/luasrc/lib/gluon/check-site.lua' <%scheck_site.lua 2>'%s/said'"):format(
			prefix, directory, gluon, directory, gluon, PACKAGE, directory))
	end
	equal(status('fdca:ffee:babe:1::/64'), 0)
	assert(status('fdca:ffee:babe:1::/63') ~= 0)
	local said = config('said')
	assert(said:find('site.conf error: expected prefix6 to be an IPv6 prefix', 1, true), said)
end)

local failed, passed, ignored = 0, 0, 0
for _, item in ipairs(tests) do
	if item.skip then
		print(('test %s ... ignored, %s'):format(item.name, item.skip))
		ignored = ignored + 1
	elseif item.name:find(filter, 1, true) then
		local ok, problem = pcall(item.body)
		print(('test %s ... %s'):format(item.name, ok and 'ok' or 'FAILED'))
		if ok then
			passed = passed + 1
		else
			failed = failed + 1
			print(problem)
		end
	end
end
print(('test result: %s. %d passed; %d failed; %d ignored'):format(failed == 0 and 'ok' or 'FAILED', passed, failed, ignored))
os.exit(failed == 0 and 0 or 1)
