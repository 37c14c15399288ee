// Asking again and again, gently: at once when the page is seen, not while it is hidden, slower while nothing answers.

/** Calls the async function `look` each `everyMs` while the page is visible, after failures up to `slowestMs` apart
 *  (what `look` throws goes to `onError`). Gives `{now, stop}`: `now()` looks at once. */
export function poll(look, { everyMs = 1000, slowestMs = 15_000, onError = () => {} } = {}) {
  let timer = 0;
  let failures = 0;
  let running = false;
  let again = false;
  let stopped = false;

  const plan = (delay) => {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(run, delay);
  };

  async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    clearTimeout(timer);
    try {
      await look();
      failures = 0;
    } catch (error) {
      failures += 1;
      if (!stopped) onError(error);
    }
    running = false;
    if (again) {
      again = false;
      plan(0);
    } else plan(Math.min(everyMs * 2 ** failures, Math.max(slowestMs, everyMs)));
  }

  const seen = () => (document.hidden ? clearTimeout(timer) : run());
  document.addEventListener("visibilitychange", seen);
  run();
  return {
    now: run,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
