-- id, token, 'delivered', 'given_up' or 'retry', how long to wait before a retry.
local id, what = arg(1), arg(3)
local leased = redis.call('ZSCORE', WEBHOOKS, id) and redis.call('HGET', at(id), 'webhook_token') == arg(2)
if not leased then return 0 end
if what == 'retry' then
  redis.call('ZADD', WEBHOOKS, NOW + arg(4), id)
else
  redis.call('ZREM', WEBHOOKS, id)
  total('webhooks_' .. what, 1)
end
if what ~= 'delivered' then total('webhooks_failed', 1) end
return 1
