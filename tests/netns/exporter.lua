-- Runs the collector of the package prometheus-node-exporter-lua-l3roamd as the exporter does, with a stand-in for the bus.
--
--   lua5.1 exporter.lua COLLECTOR [REPLIES]      REPLIES: Lua that returns what each method answers; without it there is no bus

local collector, replies = arg[1], arg[2] and dofile(arg[2])

local connection = {}

-- Like libubus: nothing where the object, or the method, is not there.
function connection:call(object, method, arguments)
  assert(self == connection and object == "l3roamd" and type(arguments) == "table")
  return replies[method]
end

function connection:close()
  self.closed = true
end

package.preload.ubus = function()
  return {
    connect = function(socket, timeout)
      assert(socket == nil and timeout <= 5)
      if replies then
        return connection
      end
    end,
  }
end

-- As in the exporter: the type at once, then value by value; labels are not escaped.
function metric(name, kind, labels, value)
  io.write("# TYPE ", name, " ", kind, "\n")
  local function write(said, number)
    local words = {}
    for label, text in pairs(said or {}) do
      words[#words + 1] = label .. '="' .. text .. '"'
    end
    io.write(name, said and "{" .. table.concat(words, ",") .. "}" or "", " ", number, "\n")
  end
  if value then
    write(labels, value)
  end
  return write
end

dofile(collector).scrape()
assert(not replies or connection.closed, "the connection stays open")
