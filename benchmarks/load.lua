-- The script for wrk: sends the files of a list in turn, with requests prepared in advance; prints the figures as JSON.
--   wrk ... -s load.lua URL -- LIST CONTENT_TYPE [FIELD]
-- LIST is a file with one path per line. With FIELD, each body is a form (multipart/form-data) with the file in that
-- field.

local BOUNDARY = "xray-benchmark-boundary"
local threads = {}
local requests = {}
local turn = 0
statuses = {} -- global, like the functions below, because wrk and thread:get require it

local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read("*a")
  file:close()
  return data
end

local function form(field, content_type, data)
  local head = '--%s\r\nContent-Disposition: form-data; name="%s"; filename="image"\r\nContent-Type: %s\r\n\r\n'
  return head:format(BOUNDARY, field, content_type) .. data .. "\r\n--" .. BOUNDARY .. "--\r\n"
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local list, content_type, field = args[1], args[2], args[3]
  for path in io.lines(list) do
    local body, kind = read(path), content_type
    if field then
      body, kind = form(field, content_type, body), "multipart/form-data; boundary=" .. BOUNDARY
    end
    wrk.headers["Content-Type"] = kind -- beside those of wrk's option -H
    table.insert(requests, wrk.format("POST", nil, nil, body))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      counts[status] = (counts[status] or 0) + count
    end
  end
  local fields = {}
  for status, count in pairs(counts) do
    table.insert(fields, ('"%d": %d'):format(status, count))
  end
  local errors = summary.errors
  print(
    ('{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f, "statuses": {%s}, '):format(
      summary.requests,
      summary.duration / 1e6,
      latency:percentile(50) / 1e3,
      latency:percentile(90) / 1e3,
      latency:percentile(99) / 1e3,
      table.concat(fields, ", ")
    )
      .. ('"connect": %d, "read": %d, "write": %d, "timeout": %d}'):format(
        errors.connect,
        errors.read,
        errors.write,
        errors.timeout
      )
  )
end
