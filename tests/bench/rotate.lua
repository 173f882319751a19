-- Calls of the first N policies of `measure rotation` in turn: wrk … -- N
local requests, at = {}, 0
function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  for n = 0, tonumber(args[1]) - 1 do
    local body = string.format('{"policy_rule_uri":"number-%04d:1.0-test","input_data":{"ip":"10.0.0.1"},' ..
      '"parameters":{"local_allowlist":["127.0.0.1","192.168.0.1","10.0.0.1"]}}', n)
    requests[n + 1] = wrk.format("POST", nil, headers, body)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
