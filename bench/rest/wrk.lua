-- wrk's side: sends the requests of the plan in turn and prints one line of JSON.
local plan = dofile(os.getenv("BENCH_PLAN"))
local prepared, last = {}, 0

function init()
  for number, path in ipairs(plan.paths) do
    prepared[number] = wrk.format(plan.method, path, plan.headers, plan.body)
  end
end

function request()
  last = last % #prepared + 1
  return prepared[last]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
