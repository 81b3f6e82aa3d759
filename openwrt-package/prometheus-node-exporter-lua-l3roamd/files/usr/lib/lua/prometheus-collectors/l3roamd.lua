-- SPDX-License-Identifier: BSD-2-Clause
--
-- The roaming daemon l3roamd, from its object on ubus. The metrics are described in its README.
--
-- No label names a client or another node: there are as many time series as interfaces and reasons, and nobody can be
-- followed. Whatever the daemon answers, or does not, nothing is raised: the other collectors have their turn.

local ubus = require "ubus"

-- Seconds for each call. Prometheus waits for 10 in all, and the daemon answers within milliseconds.
local TIMEOUT = 3
-- Milliseconds: how far back handovers are looked at. There is nothing to tell of them where nobody roamed.
local RECENT = 300000

local INTERCOM = { seek = true, claim = true, info = true, ack = true }

local function list(value)
  return type(value) == "table" and value or {}
end

-- The exporter writes labels as they are.
local function escape(text)
  return (tostring(text):gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n"))
end

local function labelled(labels)
  local escaped = {}
  for name, value in pairs(labels) do
    escaped[name] = escape(value)
  end
  return escaped
end

-- A function that writes one value of a metric; before the first one its type, which may not be told twice.
local function family(name, kind)
  local write
  return function(labels, value)
    if type(value) == "boolean" then
      value = value and 1 or 0
    end
    if type(value) ~= "number" then
      return
    end
    write = write or metric(name, kind)
    write(labels and labelled(labels), value)
  end
end

local function status(answer)
  family("l3roamd_info", "gauge")({ version = answer.version or "" }, 1)
  for _, name in ipairs({ "clients", "former_clients" }) do
    family("l3roamd_" .. name, "gauge")(nil, answer[name])
  end
  family("l3roamd_routes", "gauge")(nil, answer.addresses)
  family("l3roamd_uptime_seconds", "gauge")(nil, answer.uptime)
  local waiting = list(answer.waiting)
  family("l3roamd_waiting_packets", "gauge")(nil, waiting.packets)
  family("l3roamd_waiting_bytes", "gauge")(nil, waiting.bytes)
  family("l3roamd_problems", "gauge")(nil, #list(answer.problems))
end

-- Every counter becomes a metric, also one that this script has never heard of.
local function statistics(answer)
  local drops, counters = list(answer.drops), list(answer.counters)
  local drop = family("l3roamd_drops_total", "counter")
  for reason, count in pairs(drops) do
    drop({ reason = reason }, count)
  end
  local told = {
    intercom = family("l3roamd_intercom_packets_total", "counter"),
    handover = family("l3roamd_handovers_total", "counter"),
    relay = family("l3roamd_relay_packets_total", "counter"),
    other = family("l3roamd_events_total", "counter"),
  }
  -- One metric after the other: its values must stand together.
  local kinds = { intercom = {}, handover = {}, relay = {}, other = {} }
  for name, count in pairs(counters) do
    local group, rest = tostring(name):match("^(%l+)_(.+)$")
    if INTERCOM[group] and (rest == "sent" or rest == "received") then
      table.insert(kinds.intercom, { { type = group, direction = rest }, count })
    elseif group == "handover" then
      table.insert(kinds.handover, { { direction = rest }, count })
    elseif group == "relay" then
      table.insert(kinds.relay, { { step = rest }, count })
    elseif group ~= "drop" and drops[name] == nil then
      table.insert(kinds.other, { { event = name }, count })
    end
  end
  for kind, values in pairs(kinds) do
    for _, value in ipairs(values) do
      told[kind](value[1], value[2])
    end
  end
  local places = { kernel = "l3roamd_kernel_events_total", ubus = "l3roamd_ubus_events_total" }
  for place, name in pairs(places) do
    local write = family(name, "counter")
    for event, count in pairs(list(answer[place])) do
      write({ event = event }, count)
    end
  end
end

local function interfaces(answer)
  local usable = family("l3roamd_interface_usable", "gauge")
  for _, entry in ipairs(list(answer.interfaces)) do
    usable({ interface = entry.name, role = entry.role }, entry.usable)
  end
end

local function peers(answer)
  local count = { l3roamd = 0, c = 0 }
  for _, peer in ipairs(list(answer.peers)) do
    local daemon = peer.c_daemon and "c" or "l3roamd"
    count[daemon] = count[daemon] + 1
  end
  local write = family("l3roamd_peers", "gauge")
  for daemon, value in pairs(count) do
    write({ daemon = daemon }, value)
  end
end

-- The value below which this share of them lies.
local function quantile(values, share)
  return values[math.max(1, math.ceil(#values * share))]
end

local function spread(write, labels, values)
  table.sort(values)
  for name, share in pairs({ median = 0.5, worst = 1 }) do
    labels.statistic = name
    write(labels, quantile(values, share))
  end
end

-- In order; with the third one all routes stand, and the client is served.
local STEPS = { "evidence_to_claim", "claim_to_info", "info_to_ready", "ready_to_first_packet" }

-- To the microsecond where the steps are known, else in whole milliseconds.
local function duration(handover)
  local steps = list(handover.steps)
  local claim, info, ready = steps.evidence_to_claim_us, steps.claim_to_info_us, steps.info_to_ready_us
  if claim and info and ready then
    return (claim + info + ready) / 1000000
  end
  return handover.duration_ms / 1000
end

local function handovers(answer)
  local durations, steps = {}, {}
  for _, handover in ipairs(list(answer.handovers)) do
    if handover.outcome == "completed" and handover.age_ms <= RECENT then
      local direction = handover.direction
      durations[direction] = durations[direction] or {}
      table.insert(durations[direction], duration(handover))
      for _, step in ipairs(STEPS) do
        local micros = list(handover.steps)[step .. "_us"]
        if micros and direction == "incoming" then
          steps[step] = steps[step] or {}
          table.insert(steps[step], micros / 1000000)
        end
      end
    end
  end
  local whole = family("l3roamd_handover_seconds", "gauge")
  for direction, values in pairs(durations) do
    spread(whole, { direction = direction }, values)
  end
  local part = family("l3roamd_handover_step_seconds", "gauge")
  for step, values in pairs(steps) do
    spread(part, { step = step }, values)
  end
end

local function scrape()
  -- The socket is the usual one.
  local connection = ubus.connect(nil, TIMEOUT)
  local function ask(method)
    local answer = connection and connection:call("l3roamd", method, {})
    return type(answer) == "table" and answer or nil
  end
  local answer = ask("get_status")
  metric("l3roamd_up", "gauge", nil, answer and 1 or 0)
  if answer then
    pcall(status, answer)
    local rest = {
      { "get_statistics", statistics },
      { "get_interfaces", interfaces },
      { "get_peers", peers },
      { "get_handovers", handovers },
    }
    for _, entry in ipairs(rest) do
      answer = ask(entry[1])
      -- Who does not answer now would let the next calls wait, too.
      if not answer then
        break
      end
      pcall(entry[2], answer)
    end
  end
  if connection then
    connection:close()
  end
end

return { scrape = scrape }
