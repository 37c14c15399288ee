-- id; only of a job that was swept.
if redis.call('ZREM', GARBAGE, arg(1)) == 1 then redis.call('UNLINK', at(arg(1)) .. ':items') end
return 1
