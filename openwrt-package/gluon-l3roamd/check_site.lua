-- gluon-core checks how these prefixes look, this checks that they are some: on the nodes it would be too late.

local function is_prefix4(value)
	if type(value) ~= 'string' then
		return false
	end
	local a, b, c, d, length = value:match('^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$')
	if not length or tonumber(length) > 32 then
		return false
	end
	for _, octet in ipairs({a, b, c, d}) do
		if tonumber(octet) > 255 then
			return false
		end
	end
	-- Addresses of this network, of the host itself, and of groups are none of clients.
	local first = tonumber(a)
	return first ~= 0 and first ~= 127 and first < 224
end

-- Of 64 bits, without the notation of IPv4 addresses in it.
local function is_prefix6(value)
	local address = type(value) == 'string' and value:match('^([%x:]+)/64$')
	if not address then
		return false
	end

	local groups = 0
	for group in address:gmatch('%x+') do
		if #group > 4 then
			return false
		end
		groups = groups + 1
	end

	local _, gaps = address:gsub('::', '')
	if address:match(':::') or address:match('^:[^:]') or address:match('[^:]:$') then
		return false
	end
	return gaps == 1 and groups <= 7 or gaps == 0 and groups == 8
end

need(in_domain({'prefix4'}), is_prefix4, false, 'be an IPv4 prefix such as 10.111.64.0/18')
need(in_domain({'prefix6'}), is_prefix6, true, 'be an IPv6 prefix such as fdca:ffee:babe:1::/64')
