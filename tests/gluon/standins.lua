-- What the package's scripts require of Gluon, as far as they use it: own code, with Gluon's names. Configurations are
-- files below `M.configs`.

local M = { configs = nil, domain = {} }

-- gluon.site: site.a.b() is the value, site.a.b(x) that or x.
local function tree(value)
	return setmetatable({}, {
		__index = function(_, key)
			return tree(type(value) == 'table' and value[key] or nil)
		end,
		__call = function(_, default)
			if value == nil then
				return default
			end
			return value
		end,
	})
end

local site = setmetatable({}, { __index = function(_, key) return tree(M.domain[key]) end })

function M.md5(text)
	local path = os.tmpname()
	local file = assert(io.open(path, 'w'))
	file:write(text)
	file:close()
	local pipe = assert(io.popen('md5sum <' .. path))
	local sum = pipe:read(32)
	pipe:close()
	os.remove(path)
	return sum
end

-- gluon.l3: 7 bytes of md5(previous .. key .. seed .. counter); a round gives 16, so the first is enough.
local l3 = {}

function l3.node_client_prefix6()
	local bytes = M.md5('gluon-l3roamd.node_client_prefix6' .. M.domain.domain_seed:lower() .. '1'):sub(1, 14)
	return ('fd' .. bytes):gsub('(%x%x%x%x)(%x%x%x%x)(%x%x%x%x)(%x%x%x%x)', '%1:%2:%3:%4::/64')
end

-- gluon.iputil: the eight groups of an IPv6 address, nothing where it is none.
local iputil = {}

function iputil.IPv6(address)
	local before, after = address:match('^(.*)::(.*)$')
	local function groups(text)
		local list = {}
		for group in text:gmatch('[^:]+') do
			list[#list + 1] = tonumber(group, 16)
		end
		return list
	end
	local list = groups(before or address)
	local rest = groups(after or '')
	if before then
		while #list + #rest < 8 do
			list[#list + 1] = 0
		end
	end
	for _, group in ipairs(rest) do
		list[#list + 1] = group
	end
	if #list == 8 then
		return unpack(list)
	end
end

-- simple-uci. A configuration is a list of { type, name, options } with options a list of { name, value }.
local function path(config)
	return M.configs .. '/' .. config
end

local function load(config)
	local sections = {}
	local file = io.open(path(config))
	if not file then
		return nil
	end
	for line in file:lines() do
		local word, name, value = line:match("^%s*(%a+)%s+'?([%w_-]+)'?%s*'?(.-)'?%s*$")
		local section = sections[#sections]
		if word == 'config' then
			sections[#sections + 1] = { type = name, name = value ~= '' and value or 'cfg' .. #sections, options = {} }
		elseif word == 'option' then
			table.insert(section.options, { name = name, value = value })
		elseif word == 'list' then
			local last = section.options[#section.options]
			if not last or last.name ~= name then
				last = { name = name, value = {} }
				table.insert(section.options, last)
			end
			table.insert(last.value, value)
		end
	end
	file:close()
	return sections
end

local function store(config, sections)
	local file = assert(io.open(path(config), 'w'))
	for _, section in ipairs(sections) do
		file:write(("\nconfig %s '%s'\n"):format(section.type, section.name))
		for _, option in ipairs(section.options) do
			local list = type(option.value) == 'table'
			for _, value in ipairs(list and option.value or { option.value }) do
				file:write(("\t%s %s '%s'\n"):format(list and 'list' or 'option', option.name, value))
			end
		end
	end
	file:write('\n')
	file:close()
end

local function find(list, name)
	for index, item in ipairs(list or {}) do
		if item.name == name then
			return item, index
		end
	end
end

local Cursor = {}
Cursor.__index = Cursor

function Cursor:sections(config)
	self.loaded[config] = self.loaded[config] or load(config)
	return self.loaded[config]
end

function Cursor:get(config, section, option)
	local found = find(self:sections(config), section)
	if not found or not option then
		return found and found.type
	end
	local item = find(found.options, option)
	return item and item.value
end

function Cursor:set(config, section, option, value)
	local sections = assert(self:sections(config), 'no configuration ' .. config)
	local found = find(sections, section)
	if not found then
		assert(value == nil, 'no section ' .. section)
		table.insert(sections, { type = option, name = section, options = {} })
		return true
	end
	if value == nil or (type(value) == 'table' and #value == 0) then
		return self:delete(config, section, option)
	elseif type(value) == 'boolean' then
		value = value and '1' or '0'
	elseif type(value) == 'number' then
		value = tostring(value)
	end
	local item = find(found.options, option)
	if item then
		item.value = value
	else
		table.insert(found.options, { name = option, value = value })
	end
	return true
end

function Cursor:delete(config, section, option)
	local sections = self:sections(config)
	local list, name = sections, section
	if option then
		local found = find(sections, section)
		list, name = found and found.options, option
	end
	local _, index = find(list, name)
	if index then
		table.remove(list, index)
	end
end

-- A section without a name gets one, as libuci shows it.
function Cursor:section(config, kind, name, values)
	name = name or 'cfg' .. #self:sections(config)
	local found = find(self:sections(config), name)
	if found then
		found.type = kind
	else
		self:set(config, name, kind)
	end
	for key, value in pairs(values) do
		self:set(config, name, key, value)
	end
	return name
end

function Cursor:foreach(config, kind, visit)
	for _, section in ipairs({ unpack(self:sections(config) or {}) }) do
		if section.type == kind then
			local values = { ['.name'] = section.name, ['.type'] = section.type }
			for _, option in ipairs(section.options) do
				values[option.name] = option.value
			end
			visit(values)
		end
	end
end

function Cursor:delete_all(config, kind)
	self:foreach(config, kind, function(section) self:delete(config, section['.name']) end)
end

function Cursor:get_first(config, kind)
	local first
	self:foreach(config, kind, function(section) first = first or section['.name'] end)
	return first
end

-- Nothing here depends on the order of sections.
function Cursor:reorder()
end

function Cursor:save(config)
	if self:sections(config) then
		store(config, self:sections(config))
	end
end

package.loaded['gluon.site'] = site
package.loaded['gluon.l3'] = l3
package.loaded['gluon.iputil'] = iputil
package.loaded['simple-uci'] = {
	cursor = function()
		return setmetatable({ loaded = {} }, Cursor)
	end,
}

local function bits(rule)
	return function(a, b)
		local result, place = 0, 1
		while a > 0 or b > 0 do
			if rule(a % 2, b % 2) then
				result = result + place
			end
			a, b, place = math.floor(a / 2), math.floor(b / 2), place * 2
		end
		return result
	end
end

-- From now on Gluon's own Lua from a tree of its sources, on stand-ins of what is not Lua there.
function M.use(gluon)
	for _, package_name in ipairs({ 'gluon-core', 'gluon-mesh-layer3-common' }) do
		package.path = gluon .. '/package/' .. package_name .. '/luasrc/usr/lib/lua/?.lua;' .. package.path
	end
	for _, name in ipairs({ 'fcntl', 'glob', 'syslog', 'unistd' }) do
		package.loaded['posix.' .. name] = {}
	end
	package.loaded.hash = { md5 = M.md5 }
	package.loaded.bit32 = {
		band = bits(function(a, b) return a + b == 2 end),
		bor = bits(function(a, b) return a + b > 0 end),
		bxor = bits(function(a, b) return a + b == 1 end),
	}
	package.loaded['gluon.sysconfig'] = { primary_mac = '02:ca:ff:ee:00:01' }
	package.loaded['gluon.wireless'] = { foreach_radio = function() end }
	package.loaded['gluon.l3'] = nil
	package.loaded['gluon.iputil'] = nil
end

return M
